"""Leave paths out of a tree, or leave all others out, by shell globs, regular expressions or a function.

A glob means what it means in a .gitignore: without a slash it matches a name anywhere; with one, at its start or inside,
it is anchored at the tree's root; a slash at its end makes it match directories only. `*` and `?` do not match a slash,
`**` as a whole component matches any number of components, `[a-z]` and `[!a-z]` are sets, a backslash takes the next
character as it stands. Names are bytes, and so are globs.

A regular expression is Python's, over the bytes of the absolute path, and may match anywhere in it.

Of several rules the last one that stands for an entry decides; what is below an entry that was left out is left out too,
unless a rule keeps it: then the directories on the way stay. Filters go by name, not by node: of a hard-linked file
whose first name is left out, the others stay.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from imgcore.errors import Corrupt, PathError
from imgcore.model import Dir, Node, Tree, glob_component

__all__ = ["Glob", "Globs", "Matcher", "Regexes", "Rule", "exclude", "max_depth", "only", "prune_empty", "read_ignore_file"]

Glob: TypeAlias = "str | bytes"


class Matcher(Protocol):
    """What stands for entries."""

    def match(self, path: bytes, node: Node) -> bool:
        """Return whether it stands for the entry at the absolute `path`."""
        ...


class Rule(NamedTuple):
    """What stands for entries, and whether these are kept or left out."""

    matcher: Matcher
    keep: bool = False


class _Pattern:
    """One glob, compiled; `match` takes a path without its leading slash, and the name that ends it."""

    __slots__ = ("_anchored", "_expression", "only_dirs", "used")

    def __init__(self, glob: Glob) -> None:
        raw = os.fsencode(glob)
        body = raw.rstrip(b"/")
        if not body:
            raise ValueError(f"`{os.fsdecode(raw)}` is not a glob")
        self.only_dirs = len(body) < len(raw)
        self._anchored = b"/" in body
        self.used = False
        parts = [part for part in body.split(b"/") if part]
        out: list[bytes] = []
        for position, part in enumerate(parts):
            last = position == len(parts) - 1
            if part == b"**" and self._anchored:
                out.append(b".+" if last else b"(?:[^/]+/)*")
            else:
                out.append(glob_component(part) + (b"" if last else b"/"))
        self._expression = re.compile(b"".join(out), re.DOTALL)

    def match(self, path: bytes, name: bytes, is_dir: bool) -> bool:
        """Return whether the glob stands for this entry."""
        if self.only_dirs and not is_dir:
            return False
        if self._expression.fullmatch(path if self._anchored else name) is None:
            return False
        self.used = True
        return True


class Globs:
    """Several globs; raises ValueError for an empty one. `unused` says which never matched."""

    def __init__(self, globs: Sequence[Glob]) -> None:
        self._globs = tuple(globs)
        self._patterns = [_Pattern(glob) for glob in globs]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def match(self, path: bytes, node: Node) -> bool:
        """Return whether any glob stands for the entry at the absolute `path`."""
        bare, name, is_dir = path[1:], path[path.rfind(b"/") + 1 :], isinstance(node, Dir)
        found = [pattern.match(bare, name, is_dir) for pattern in self._patterns]  # each of them, for `unused`
        return any(found)

    def unused(self) -> list[Glob]:
        """Return the globs that matched nothing so far."""
        return [glob for glob, pattern in zip(self._globs, self._patterns, strict=True) if not pattern.used]


class Regexes:
    """Several regular expressions; raises ValueError for one that is none. `unused` says which never matched."""

    def __init__(self, expressions: Sequence[Glob]) -> None:
        self._expressions = tuple(expressions)
        try:
            self._compiled = [re.compile(os.fsencode(text), re.DOTALL) for text in expressions]
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        self._used = [False] * len(self._compiled)

    def match(self, path: bytes, node: Node) -> bool:
        """Return whether any expression matches somewhere in the path."""
        found = [expression.search(path) is not None for expression in self._compiled]
        self._used = [was or now for was, now in zip(self._used, found, strict=True)]
        return any(found)

    def unused(self) -> list[Glob]:
        """Return the expressions that matched nothing so far."""
        return [text for text, used in zip(self._expressions, self._used, strict=True) if not used]


class _Function:
    def __init__(self, function: Callable[[bytes, Node], bool]) -> None:
        self.match = function


def read_ignore_file(text: bytes) -> list[Rule]:
    """Return the rules of a file like .gitignore: a glob a line, `#` for comments, `!` before one that keeps.

    Raises Corrupt, with the line.
    """
    rules = []
    for number, line in enumerate(text.split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line.endswith(b"\\ "):
            line = line.rstrip(b" ")
        if not line or line.startswith(b"#"):
            continue
        keep = line.startswith(b"!")
        try:
            rules.append(Rule(Globs([line[1:] if keep else line]), keep))
        except ValueError as error:
            raise Corrupt(str(error), line=number) from None
    return rules


def exclude(tree: Tree, rules: Sequence[Glob] | Matcher | Sequence[Rule] | Callable[[bytes, Node], bool]) -> Tree:
    """Return `tree` without the entries that the rules leave out, and all that is below them.

    `rules` are globs, something that matches, a function of path and node that says what to leave out, or `Rule`s.
    """
    chosen = _as_rules(rules)
    if not chosen:
        return tree
    has_keep = any(rule.keep for rule in chosen)
    root: dict[bytes, Node] = {}
    # Each level: path, directory, its new children, whether it was left out itself, its names still to look at. Of one
    # that was left out it is known only at its end whether it has to stay for what is below.
    stack = [(b"/", tree.root, root, False, list(tree.root.children))]
    while stack:
        parent, directory, target, dropped, names = stack[-1]
        if not names:
            stack.pop()
            if stack and (target or not dropped):
                name = parent[parent.rfind(b"/", 0, -1) + 1 : -1]
                stack[-1][2][name] = dataclasses.replace(directory, children=target)
            continue
        name = names.pop()
        node, path = directory.children[name], parent + name
        decided = [rule.keep for rule in chosen if rule.matcher.match(path, node)]  # each is asked, for `unused`
        drop = not decided[-1] if decided else dropped
        if isinstance(node, Dir):
            if not drop or has_keep:
                stack.append((path + b"/", node, {}, drop, list(node.children)))
        elif not drop:
            target[name] = node
    return _like(tree, root)


def _as_rules(rules: Sequence[Glob] | Matcher | Sequence[Rule] | Callable[[bytes, Node], bool]) -> list[Rule]:
    if isinstance(rules, Sequence):
        if all(isinstance(rule, Rule) for rule in rules):
            return list(rules)  # type: ignore[arg-type]
        return [Rule(Globs(rules))]  # type: ignore[arg-type]
    if isinstance(rules, Globs):
        return [Rule(rules)] if rules else []
    if callable(rules):
        return [Rule(_Function(rules))]
    return [Rule(rules)]


def max_depth(tree: Tree, levels: int) -> Tree:
    """Return `tree` down to `levels` levels below the root: with 1, what the root holds, its directories empty."""
    if levels < 0:
        raise ValueError("a depth is at least 0")
    return exclude(tree, lambda path, node: path.count(b"/") > levels)


def prune_empty(tree: Tree) -> Tree:
    """Return `tree` without directories that hold nothing, or only such; the root stays."""
    full: set[bytes] = set()
    for path, node in tree.walk():
        while not isinstance(node, Dir) and (cut := path.rfind(b"/")) > 0 and path[:cut] not in full:
            path = path[:cut]
            full.add(path)
    return exclude(tree, lambda path, node: isinstance(node, Dir) and path not in full)


def only(tree: Tree, globs: Sequence[Glob] | Matcher | Callable[[bytes, Node], bool]) -> Tree:
    """Return `tree` with nothing but what the globs stand for, all that is below, and the directories on the way.

    In place of globs, something else that matches, or a function of path and node that says what stays. Raises PathError
    when they stand for nothing at all.
    """
    chosen: Matcher
    if isinstance(globs, Sequence):
        chosen, what = Globs(globs), ", ".join(f"`{os.fsdecode(glob)}`" for glob in globs)
    else:
        chosen, what = _Function(globs) if callable(globs) else globs, "what was chosen"
    root: dict[bytes, Node] = {}
    # Each level: path, node, its new children, their names still to look at. A directory on the way is known to be
    # needed only when something below it was kept, so levels are added to their parents when they are left.
    stack = [(b"/", tree.root, root, list(tree.root.children))]
    while stack:
        parent, directory, target, names = stack[-1]
        if not names:
            stack.pop()
            if stack and target:
                above, name = stack[-1], parent[parent.rfind(b"/", 0, -1) + 1 : -1]
                above[2][name] = dataclasses.replace(directory, children=target)
            continue
        name = names.pop()
        node = directory.children[name]
        if chosen.match(parent + name, node):
            target[name] = node
        elif isinstance(node, Dir):
            stack.append((parent + name + b"/", node, {}, list(node.children)))
    if not root:
        raise PathError("nothing in the tree matches", found=what)
    return _like(tree, root)


def _like(tree: Tree, children: dict[bytes, Node]) -> Tree:
    return tree.with_root(dataclasses.replace(tree.root, children=children))
