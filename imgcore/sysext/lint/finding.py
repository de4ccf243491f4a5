"""A finding of the linter, what rules look at, and the list of all rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

from imgcore.model import Dir, File, Node, Tree, same_content
from imgcore.sysext.extension import Extension
from imgcore.sysext.host import Host
from imgcore.sysext.kinds import Kind
from imgcore.sysext.version import SystemdVersion
from imgcore.values import value_class

__all__ = ["RULES", "Context", "LintFinding", "Rule", "Severity", "rule"]

Severity: TypeAlias = Literal["error", "warning", "info"]


@value_class
class LintFinding:
    """One finding: the rule, how bad it is, the extension and the path in it, what was found, why it matters, what helps."""

    rule: str
    name: str
    severity: Severity
    extension: bytes
    path: bytes
    message: str
    why: str
    fix: str


class Context:
    """An extension that could be opened, the host that it is for, and the other extensions."""

    def __init__(
        self,
        extension: Extension,
        tree: Tree,
        kind: Kind,
        systemd: SystemdVersion,
        host: Tree | None,
        facts: Host | None,
        others: Sequence[Extension],
    ) -> None:
        self.extension, self.tree, self.kind, self.systemd = extension, tree, kind, systemd
        self.host, self.facts, self.others = host, facts, others

    @cached_property
    def entries(self) -> list[tuple[bytes, Node]]:
        """Every path of the extension with its node, in walk order."""
        return [(path, node) for path, node in self.tree.walk() if path != b"/"]

    @cached_property
    def merged(self) -> list[tuple[bytes, Node]]:
        """The entries that are below a hierarchy, which alone are merged."""
        tops = tuple(path + b"/" for path in self.kind.hierarchies)
        return [(path, node) for path, node in self.entries if path.startswith(tops)]

    def files(self, *suffixes: bytes) -> Iterator[tuple[bytes, File]]:
        """Yield regular files that are merged, of these suffixes where there are any."""
        for path, node in self.merged:
            if isinstance(node, File) and (not suffixes or path.endswith(suffixes)):
                yield path, node

    def on_host(self, path: bytes) -> Node | None:
        """Return what the host has at a path, links in directories not followed."""
        return None if self.host is None else at(self.host, path)

    def same(self, one: Node, other: Node) -> bool:
        """Whether two nodes are files, links or devices of the same content."""
        if isinstance(one, File) and isinstance(other, File):
            return same_content(one.content, other.content)
        return type(one) is type(other) and getattr(one, "target", 0) == getattr(other, "target", 0)


def at(tree: Tree, path: bytes) -> Node | None:
    """Return what a tree has at a path by itself."""
    node: Node = tree.root
    for name in path.split(b"/"):
        if name:
            below = node.children.get(name) if isinstance(node, Dir) else None
            if below is None:
                return None
            node = below
    return node


Found: TypeAlias = tuple[Severity, bytes, str]
Check: TypeAlias = Callable[[Context], Iterator[Found]]


@value_class
class Rule:
    """A rule: its id, a word for scripts, the worst severity that it gives, why it is one, what helps, and who checks it."""

    id: str
    name: str
    severity: Severity
    why: str
    fix: str
    check: Check


RULES: list[Rule] = []


def rule(number: int, name: str, severity: Severity, why: str, fix: str) -> Callable[[Check], Check]:
    """Add a function to the rules."""

    def decorate(check: Check) -> Check:
        RULES.append(Rule(f"L{number}", name, severity, why, fix, check))
        return check

    return decorate
