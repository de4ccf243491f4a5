"""Leave paths out of a tree, or leave all others out, by shell globs.

A glob means what it means in a .gitignore: without a slash it matches a name anywhere; with one, at its start or inside,
it is anchored at the tree's root; a slash at its end makes it match directories only. `*` and `?` do not match a slash,
`**` as a whole component matches any number of components, `[a-z]` and `[!a-z]` are sets, a backslash takes the next
character as it stands. Names are bytes, and so are globs.

Filters go by name, not by node: of a hard-linked file whose first name is left out, the others stay.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import TypeAlias

from imgcore.errors import PathError
from imgcore.model import Dir, Node, Tree, glob_component

__all__ = ["Glob", "Globs", "exclude", "only"]

Glob: TypeAlias = "str | bytes"


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


def exclude(tree: Tree, globs: Sequence[Glob] | Globs) -> Tree:
    """Return `tree` without the entries that a glob stands for, and all that is below them."""
    chosen = globs if isinstance(globs, Globs) else Globs(globs)
    if not chosen:
        return tree
    root: dict[bytes, Node] = {}
    todo = [(b"/", tree.root, root)]
    while todo:
        parent, directory, target = todo.pop()
        for name, node in directory.children.items():
            path = parent + name
            if chosen.match(path, node):
                continue
            if isinstance(node, Dir):
                children: dict[bytes, Node] = {}
                target[name] = dataclasses.replace(node, children=children)
                todo.append((path + b"/", node, children))
            else:
                target[name] = node
    return _like(tree, root)


def only(tree: Tree, globs: Sequence[Glob]) -> Tree:
    """Return `tree` with nothing but what the globs stand for, all that is below, and the directories on the way.

    Raises PathError when they stand for nothing at all.
    """
    chosen = Globs(globs)
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
        raise PathError("nothing in the tree matches", found=", ".join(f"`{os.fsdecode(glob)}`" for glob in globs))
    return _like(tree, root)


def _like(tree: Tree, children: dict[bytes, Node]) -> Tree:
    return Tree(dataclasses.replace(tree.root, children=children), tree.limits, time_step_ns=tree.time_step_ns)
