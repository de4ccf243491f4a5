"""Tree: immutable names to nodes, with the walks everybody needs. Nothing here recurses, so depth is bounded by memory."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from imgcore.errors import NoSuchPath, PathError, context
from imgcore.limits import Limits
from imgcore.model.node import Dir, File, Node, Symlink, Whiteout
from imgcore.model.path import PathLike, join, normalize, split
from imgcore.model.table import Table

__all__ = ["Entry", "Tree", "path_order"]


class Entry(NamedTuple):
    """A name of a tree: its absolute path and its node."""

    path: bytes
    node: Node


class Tree:
    """Immutable names to nodes; `root` is always a directory.

    A tree may be columns at first (`table`), of which nodes are made when somebody asks for one.

    `limits` bound every walk; a reader hands on its own. `time_step_ns` is the resolution of the source's times, so that a
    difference between two trees can compare them at the coarser one. `is_layer` says that the tree was made to lie over
    another one: the marks of overlayfs in it are meant, and a policy keeps them.
    """

    __slots__ = ("_load", "_lock", "_root", "is_layer", "limits", "table", "time_step_ns")

    def __init__(
        self,
        root: Dir,
        limits: Limits | None = None,
        *,
        time_step_ns: int = 1,
        load: Callable[[], Table | None] | None = None,
        is_layer: bool = False,
    ) -> None:
        self._root: Dir | None = root
        self._load = load
        self._lock: threading.Lock | None = None
        self.table: Table | None = None
        self.limits = limits if limits is not None else Limits.trusted()
        self.time_step_ns = time_step_ns
        self.is_layer = is_layer

    @classmethod
    def of_table(cls, table: Table, limits: Limits | None = None, *, time_step_ns: int = 1, is_layer: bool = False) -> Tree:
        """Return the tree whose columns these are."""
        tree = cls.__new__(cls)
        tree._root, tree._lock, tree.table, tree._load = None, threading.Lock(), table, None
        tree.limits = limits if limits is not None else Limits.trusted()
        tree.time_step_ns = time_step_ns
        tree.is_layer = is_layer
        return tree

    def with_root(self, root: Dir) -> Tree:
        """Return the tree of the same kind (limits, resolution of times, whether it is a layer) that has another root."""
        return Tree(root, self.limits, time_step_ns=self.time_step_ns, is_layer=self.is_layer)

    def columns(self) -> Table | None:
        """Return the tree as columns where its source gives it so; None where `Table.of` would have to walk over it.

        An image's reader gives them by `load`, which every call asks again.
        """
        if self.table is not None:
            return self.table
        return None if self._load is None else self._load()

    @property
    def root(self) -> Dir:
        """The directory that everything is in."""
        if self._root is None:
            assert self._lock is not None
            assert self.table is not None
            with self._lock:
                if self._root is None:
                    self._root = self.table.root()
        return self._root

    def walk(self) -> Iterator[Entry]:
        """Yield every entry, a directory before what it holds, names of one directory in bytewise order.

        Raises LimitExceeded for trees beyond `max_entries`, `max_depth` or `max_path`.
        """
        limits = self.limits
        count = 1
        yield Entry(b"/", self.root)
        stack: list[tuple[bytes, Mapping[bytes, Node], list[bytes]]] = [_level(b"/", self.root)]
        while stack:
            parent, children, names = stack[-1]
            if not names:
                stack.pop()
                continue
            name = names.pop()
            node = children[name]
            path = join(parent, name)
            count += 1
            if count > limits.max_entries or len(path) > limits.max_path:
                _refuse(limits, path, count, 0)
            yield Entry(path, node)
            if isinstance(node, Dir):
                if len(stack) > limits.max_depth:
                    _refuse(limits, path, 0, len(stack))
                stack.append(_level(path, node))

    def sorted_entries(self) -> Iterator[Entry]:
        """Yield every entry in bytewise order of its path, the root first: the order of manifests and differences."""
        return path_order(self)

    def lookup(self, path: PathLike, *, follow: bool = False) -> Node:
        """Return the node at `path`; with `follow`, symbolic links are followed inside the tree, as after chroot.

        Raises PathError when there is none, or after 40 links.
        """
        return _resolve(self.root, normalize(path), follow)

    def __getitem__(self, path: PathLike) -> Node:
        return self.lookup(path)

    def __contains__(self, path: object) -> bool:
        if not isinstance(path, (bytes, str)):
            return False
        try:
            self.lookup(path)
        except PathError:
            return False
        return True

    def subtree(self, path: PathLike) -> Tree:
        """Return the tree below `path`; raises PathError unless it is a directory."""
        node = self.lookup(path, follow=True)
        if not isinstance(node, Dir):
            raise PathError("not a directory", path=normalize(path))
        return self.with_root(node)

    def links(self) -> dict[int, list[bytes]]:
        """Return the paths of each node that has several names, by `id(node)`, in walk order."""
        seen: dict[int, list[bytes]] = {}
        for path, node in self.walk():
            if not isinstance(node, Dir):
                seen.setdefault(id(node), []).append(path)
        return {key: paths for key, paths in seen.items() if len(paths) > 1}

    def map(self, change: Callable[[bytes, Node], Node | None]) -> Tree:
        """Return a tree in which `change(path, node)` took each node's place; None removes it, with all below.

        A node of several names is changed once, at its first path, so hard links survive. `change` gets a directory
        before its children and may alter its metadata; its children are mapped afterwards. The root stays a directory.
        """
        done: dict[int, Node | None] = {}
        keep: list[Node] = []  # holds the nodes whose id is a key of `done`
        root = change(b"/", self.root)
        if not isinstance(root, Dir):
            raise TypeError("the root of a tree has to stay a directory")
        new_root, todo = _copied(b"/", root)
        while todo:
            path, target, children = todo.pop()
            for name in sorted(children):
                node = children[name]
                if isinstance(node, Dir):
                    changed = change(join(path, name), node)
                    if isinstance(changed, Dir):
                        changed, more = _copied(join(path, name), changed)
                        todo += more
                elif id(node) in done:
                    changed = done[id(node)]
                else:
                    changed = done[id(node)] = change(join(path, name), node)
                    keep.append(node)
                if changed is not None:
                    target[name] = changed
        return self.with_root(new_root)

    def file_bytes(self) -> tuple[int, int]:
        """Return (number of distinct regular files, bytes in them)."""
        if self.table is not None:
            rows = self.table.file_rows()
            return len(rows), sum(map(self.table.sizes.__getitem__, rows))
        seen: set[int] = set()
        total = 0
        for _, node in self.walk():
            if isinstance(node, File) and id(node) not in seen:
                seen.add(id(node))
                total += node.content.size
        return len(seen), total


def _level(path: bytes, node: Dir) -> tuple[bytes, Mapping[bytes, Node], list[bytes]]:
    return path, node.children, sorted(node.children, reverse=True)


def _refuse(limits: Limits, path: bytes, count: int, depth: int) -> None:
    """Raise LimitExceeded for the limit that one of the numbers is above."""
    with context(path=path[:256]):
        limits.require("max_entries", count)
        limits.require("max_path", len(path))
        limits.require("max_depth", depth)


def _copied(path: bytes, node: Dir) -> tuple[Dir, list[tuple[bytes, dict[bytes, Node], Mapping[bytes, Node]]]]:
    """Return `node` with empty children to be filled, and that work."""
    children: dict[bytes, Node] = {}
    return dataclasses.replace(node, children=children), [(path, children, node.children)]


def path_order(tree: Tree) -> Iterator[Entry]:
    """Yield every entry in bytewise order of its path, without sorting the whole tree.

    `/a.b` comes between `/a` and `/a/b`, since `.` is less than `/`: so a directory's name and its content are two
    items of its parent's order, sorted as `a` and `a/`.
    """
    limits, count = tree.limits, 1
    yield Entry(b"/", tree.root)
    stack = [(b"/", tree.root.children, _items(tree.root))]
    while stack:
        parent, children, items = stack[-1]
        if not items:
            stack.pop()
            continue
        item = items.pop()
        if item.endswith(b"/"):
            path = join(parent, item[:-1])
            node = children[item[:-1]]
            assert isinstance(node, Dir)
            if len(stack) > limits.max_depth:
                _refuse(limits, path, 0, len(stack))
            stack.append((path, node.children, _items(node)))
        else:
            count += 1
            path = join(parent, item)
            if count > limits.max_entries or len(path) > limits.max_path:
                _refuse(limits, path, count, 0)
            yield Entry(path, children[item])


def _items(node: Dir) -> list[bytes]:
    items = list(node.children)
    items += [name + b"/" for name, child in node.children.items() if isinstance(child, Dir)]
    items.sort(reverse=True)
    return items


def _resolve(root: Dir, path: bytes, follow: bool) -> Node:
    """Return the node at `path`; see Tree.lookup."""
    hops = 0
    parents: list[Dir] = []
    node: Node = root
    todo = split(path)[::-1]
    while todo:
        name = todo.pop()
        if name == b".." and follow:
            node = parents.pop() if parents else root
            continue
        if name in (b"", b"."):
            continue
        if not isinstance(node, Dir):
            raise PathError("not a directory", path=path)
        child = node.children.get(name)
        if child is None or isinstance(child, Whiteout):
            raise NoSuchPath("no such path", path=path)
        if follow and isinstance(child, Symlink):
            hops += 1
            if hops > 40:
                raise PathError("too many levels of symbolic links", path=path)
            todo += child.target.split(b"/")[::-1]
            if child.target.startswith(b"/"):
                node, parents = root, []
            continue
        parents.append(node)
        node = child
    return node
