"""A tree that is made name by name, in any order that has directories first: what readers of listings fill.

Directories are found by their path in one step, so 100,000 names take no longer than they have to. `tree()` gives what
was made; the builder must not be used after it.
"""

from __future__ import annotations

import dataclasses

from imgcore.errors import PathError, show
from imgcore.limits import Limits
from imgcore.model.node import Dir, Meta, Node
from imgcore.model.path import join
from imgcore.model.tree import Tree

__all__ = ["TreeBuilder"]


class TreeBuilder:
    """Names added one by one.

    It begins with a copy of `base`, else with an empty root. `missing` is the metadata of directories that are made on
    the way to a name; without it, a name in a directory that is not there is a PathError. Paths are absolute and clean
    (`normalize`).
    """

    def __init__(self, base: Tree | None = None, *, missing: Meta | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or (base.limits if base is not None else Limits.default())
        self.missing = missing
        self._time_step_ns = base.time_step_ns if base is not None else 1
        copied = base.map(lambda path, node: node).root if base is not None else Dir(children={})
        self._dirs: dict[bytes, Dir] = {b"/": copied}
        self._metas: dict[int, tuple[Node, Meta]] = {}  # the node is held, so that its id stays its own
        self._names = 1
        if base is not None:
            for path, node in Tree(copied).walk():
                self._names += 1
                if isinstance(node, Dir):
                    self._dirs[path] = node

    def get(self, path: bytes) -> Node | None:
        """Return the node at `path`, None when there is none."""
        if path in self._dirs:
            return self._dirs[path]
        cut = path.rfind(b"/")
        parent = self._dirs.get(path[:cut] or b"/")
        return None if parent is None else parent.children.get(path[cut + 1 :])

    def add(self, path: bytes, node: Node) -> None:
        """Add a name, and what is below a directory. Raises PathError when it is there, or its directory is not."""
        if self.get(path) is not None:
            raise PathError("named twice", path=path)
        self._names += 1
        self.limits.require("max_entries", self._names)
        self.limits.require("max_path", len(path))
        cut = path.rfind(b"/")
        children = self._children(path[:cut] or b"/")
        if isinstance(node, Dir):
            node = dataclasses.replace(node, children=dict(node.children))
            self._dirs[path] = node
            self._enter(path, node)
        children[path[cut + 1 :]] = node

    def _enter(self, path: bytes, node: Dir) -> None:
        """Know the directories below one that was added."""
        todo = [(path, node)]
        while todo:
            above, directory = todo.pop()
            assert isinstance(directory.children, dict)
            for name, child in list(directory.children.items()):
                self._names += 1
                if isinstance(child, Dir):
                    copy = dataclasses.replace(child, children=dict(child.children))
                    directory.children[name] = self._dirs[join(above, name)] = copy
                    todo.append((join(above, name), copy))

    def meta(self, path: bytes) -> Meta:
        """Return the metadata that the node at `path` will have. Raises PathError when there is none."""
        node = self._existing(path)
        return self._metas[id(node)][1] if id(node) in self._metas else node.meta

    def set_meta(self, path: bytes, meta: Meta) -> None:
        """Give the node at `path`, with all its names, other metadata. Raises PathError when there is none."""
        node = self._existing(path)
        self._metas[id(node)] = (node, meta)

    def set_root(self, root: Dir) -> None:
        """Make `root`, which has no children, the empty tree's root. Raises PathError when a name was added before."""
        if self._names > 1:
            raise PathError("the tree is not empty any more", path=b"/")
        self._dirs[b"/"] = dataclasses.replace(root, children={})

    def _existing(self, path: bytes) -> Node:
        node = self.get(path)
        if node is None:
            raise PathError("no such path", path=path)
        return node

    def _children(self, path: bytes) -> dict[bytes, Node]:
        """Return the children of the directory at `path`, made if need be."""
        found = self._dirs.get(path)
        if found is None:
            there = self.get(path)
            if there is not None:
                raise PathError("below something that is not a directory", path=path)
            if self.missing is None:
                raise PathError("its directory is missing", path=path, hint=f"add `{show(path)}` as a directory")
            self.limits.require("max_depth", path.count(b"/"))
            self._make(path)
            found = self._dirs[path]
        assert isinstance(found.children, dict)
        return found.children

    def _make(self, path: bytes) -> None:
        """Make the directories down to `path`."""
        assert self.missing is not None
        todo = []
        while path not in self._dirs:
            todo.append(path)
            path = path[: path.rfind(b"/")] or b"/"
        for missing in reversed(todo):
            self.add(missing, Dir(self.missing, {}))

    def tree(self) -> Tree:
        """Return what was made."""
        made = Tree(self._dirs[b"/"], self.limits, time_step_ns=self._time_step_ns)
        if not self._metas:
            return made
        metas = self._metas
        return made.map(lambda path, node: dataclasses.replace(node, meta=metas[id(node)][1]) if id(node) in metas else node)
