"""A tree as columns: one row for each name, and an array for each thing that is known of it.

A tree of a million files as nodes is some millions of objects, and each look at all of them takes a second. Where nobody
looks at single nodes (a directory of the host becomes an image), a `Table` does the same by the column. `Tree.of_table`
makes nodes of it when somebody asks for one; `Table.of` goes the other way.

Rows are in this order: row 0 is the root; the rows of one directory follow one another, sorted by their names; directories
are in the order of a walk that descends into each as it meets it. So the position of a row needs no list of children, and
the rows of one directory have numbers in a row, as formats that number inodes want them.
"""

from __future__ import annotations

import stat
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, compress
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob, HostFile, Identity
from imgcore.engine.protocol import HostFiles
from imgcore.engine.stored import StoredFiles
from imgcore.errors import NotRepresentable
from imgcore.model.node import NO_XATTRS, Device, Dir, File, Meta, Node, Pipe, Socket, Symlink
from imgcore.values import field, value_class

if TYPE_CHECKING:
    from imgcore.model.tree import Tree

__all__ = ["HostColumns", "Shape", "Table", "mode_types"]

_FILE: Final = stat.S_IFREG
_DIR: Final = stat.S_IFDIR
_LINK: Final = stat.S_IFLNK
_UPPER: Final = bytes(value >> 4 for value in range(256))
_IS_FILE: Final = bytes(value == _FILE >> 12 for value in range(256))
_DEVICES: Final = (stat.S_IFCHR, stat.S_IFBLK)


def mode_types(modes: Sequence[int]) -> bytes:
    """Return `mode >> 12` of each."""
    if isinstance(modes, array) and modes.itemsize == 4:
        # Of each number the byte that the type is in: no loop in Python.
        return modes.tobytes()[1 if sys.byteorder == "little" else 2 :: 4].translate(_UPPER)
    return bytes([mode >> 12 for mode in modes])


class Shape:
    """Names and who is in whom.

    Attributes:
        names: of each row; the root's is b"".
        dirs: the rows of directories, in walk order.
        starts: where the rows of each of `dirs` begin; one more says where the last one's end.
        parents: the row of the directory that each row is in; the root's is 0.
    """

    __slots__ = ("_paths", "dirs", "names", "parents", "starts")

    def __init__(self, names: Sequence[bytes], dirs: Sequence[int], children: Sequence[int]) -> None:
        self.names = names
        self.dirs = dirs
        self.starts = array("I", accumulate(children, initial=1))
        self.parents = array("I", [0])
        for row, count in zip(dirs, children, strict=True):
            self.parents.extend(array("I", [row]) * count)
        self._paths: dict[int, bytes] = {0: b""}
        assert len(self.parents) == len(names)

    def __len__(self) -> int:
        return len(self.names)

    def path(self, row: int) -> bytes:
        """Return the path of a row in the tree."""
        return self._joined(row) or b"/"

    def paths(self, rows: Iterable[int]) -> list[bytes]:
        """Return the paths of several rows."""
        parents, names, known = self.parents, self.names, self._paths
        found = []
        last, prefix = -1, b""
        for row in rows:
            parent = parents[row]
            if parent != last:
                last = parent
                prefix = known[parent] if parent in known else self._joined(parent)
                prefix += b"/"
            found.append(prefix + names[row] if row else b"/")
        return found

    def _joined(self, row: int) -> bytes:
        """Return the path of a directory's row, b"" for the root; those of directories are kept."""
        above = []
        while row not in self._paths:
            above.append(row)
            row = self.parents[row]
        path = self._paths[row]
        for below in reversed(above):
            path = b"%s/%s" % (path, self.names[below])
            self._paths[below] = path
        return path

    def walk(self) -> array[int]:
        """Return all rows in walk order: a directory before what is in it."""
        order = array("I", [0])
        index = {row: place for place, row in enumerate(self.dirs)}
        below = sorted(self.dirs[1:])  # directories by row: those of one parent follow one another
        first = self._first_below(below)
        stack = [(self.starts[0], self.starts[1], *first.get(0, (0, 0)))]
        while stack:
            at, end, place, last = stack.pop()
            if place == last:
                order.extend(range(at, end))
                continue
            row = below[place]
            order.extend(range(at, row + 1))
            stack.append((row + 1, end, place + 1, last))
            number = index[row]
            begin, stop = self.starts[number], self.starts[number + 1]
            stack.append((begin, stop, *first.get(row, (0, 0))))
        return order

    def _first_below(self, below: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return, by directory, which places of `below` are in it."""
        found: dict[int, tuple[int, int]] = {}
        for place, row in enumerate(below):
            parent = self.parents[row]
            start = found[parent][0] if parent in found else place
            found[parent] = (start, place + 1)
        return found


@value_class(eq=False)
class HostColumns:
    """What stat said of the files of a scanned directory, which is at `top`; see `Identity`."""

    top: bytes
    devs: Sequence[int]
    inos: Sequence[int]
    mtimes: Sequence[int]
    ctimes: Sequence[int]
    blocks: Sequence[int]


@value_class(eq=False)
class Table:
    """A tree as columns.

    Attributes:
        shape: names and who is in whom.
        modes: type and permissions, as `st_mode` has them.
        uids, gids, mtimes, sizes: as in `Meta`; bytes of regular files, anything for what is none.
        targets: of symbolic links, by row. devices: (major, minor), by row.
        xattrs: by row, where there are any.
        links: the first row of the same node, for each further name of a node.
        host: where the contents are, when they are files of a scanned directory; else `contents` has them, by row.
        stored: where an image has the contents, if they are those of one image.
    """

    shape: Shape
    modes: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    mtimes: Sequence[int]
    sizes: Sequence[int]
    targets: Mapping[int, bytes]
    devices: Mapping[int, tuple[int, int]]
    xattrs: Mapping[int, Mapping[bytes, bytes]]
    links: Mapping[int, int]
    host: HostColumns | None = None
    contents: Mapping[int, Blob] = field(default_factory=dict)
    stored: StoredFiles | None = None

    def __len__(self) -> int:
        return len(self.shape)

    def types(self) -> bytes:
        """Return the type of each row, the upper four bits of `st_mode`: `stat.S_IFREG >> 12`, …"""
        return mode_types(self.modes)

    def file_rows(self) -> list[int]:
        """Return the rows of distinct regular files, in order of rows."""
        rows = compress(range(len(self)), self.types().translate(_IS_FILE))
        return [row for row in rows if row not in self.links] if self.links else list(rows)

    def host_path(self, path: bytes) -> bytes:
        """Return the path on the host of what has `path` in the tree."""
        assert self.host is not None
        return self.host.top + path if not self.host.top.endswith(b"/") else self.host.top + path[1:]

    def blob(self, row: int) -> Blob:
        """Return the content of a regular file."""
        host = self.host
        if host is None:
            return self.contents[row]
        identity = Identity(
            host.devs[row], host.inos[row], self.sizes[row], host.mtimes[row], host.ctimes[row], host.blocks[row]
        )
        return HostFile(self.host_path(self.shape.path(row)), identity)

    def host_files(self) -> HostFiles:
        """Return what the engine needs to read the files of a scanned directory."""
        host = self.host
        assert host is not None
        known = host.devs, host.inos, self.sizes, host.mtimes, host.ctimes, host.blocks
        return HostFiles(host.top, self.shape.names, self.shape.parents, *known)

    def node(self, row: int) -> Node:
        """Return a new node for a row that is no directory."""
        meta = self.meta(row)
        kind = self.modes[row] & 0o170000
        if kind == _FILE:
            return File(meta, self.blob(row))
        if kind == _LINK:
            return Symlink(meta, self.targets[row])
        if kind in _DEVICES:
            return Device(meta, "char" if kind == stat.S_IFCHR else "block", *self.devices[row])
        return Pipe(meta) if kind == stat.S_IFIFO else Socket(meta)

    def meta(self, row: int) -> Meta:
        """Return the metadata of a row."""
        xattrs = self.xattrs.get(row, NO_XATTRS)
        return Meta(self.modes[row] & 0o7777, self.uids[row], self.gids[row], self.mtimes[row], xattrs)

    def root(self) -> Dir:
        """Return the tree as nodes; the names of one row's node share it."""
        shape = self.shape
        children: dict[int, dict[bytes, Node]] = {row: {} for row in shape.dirs}
        linked: dict[int, Node] = {row: self.node(row) for row in set(self.links.values())}
        for row in range(1, len(self)):
            first = self.links.get(row, row)
            below = children.get(row)
            node = Dir(self.meta(row), below) if below is not None else linked.get(first) or self.node(row)
            children[shape.parents[row]][shape.names[row]] = node
        return Dir(self.meta(0), children[0])

    @classmethod
    def of(cls, tree: Tree) -> Table:
        """Return the columns of `tree`, which has no whiteouts; its limits were tested by an earlier walk.

        Raises NotRepresentable for a directory with two names.
        """
        if tree.table is not None:
            return tree.table
        names, dirs, children = [b""], array("I"), array("I")
        nodes: list[Node] = [tree.root]
        seen: dict[int, int] = {id(tree.root): 0}
        links: dict[int, int] = {}
        stack: list[tuple[int, int]] = [(0, 1)]  # rows to walk over: from, to
        while stack:
            at, end = stack.pop()
            while at < end:
                node = nodes[at]
                at += 1
                if isinstance(node, Dir):
                    stack.append((at, end))
                    begin = len(nodes)
                    _add_children(node, begin, names, nodes, seen, links)
                    dirs.append(at - 1)
                    children.append(len(nodes) - begin)
                    stack.append((begin, len(nodes)))
                    break
        shape = Shape(names, dirs, children)
        for row, first in links.items():
            if isinstance(nodes[first], Dir):
                raise NotRepresentable("a directory with two names", path=shape.path(row))
        return _table_of(shape, nodes, links)


def _add_children(
    node: Dir, row: int, names: list[bytes], nodes: list[Node], seen: dict[int, int], links: dict[int, int]
) -> None:
    """Add a row for each child."""
    for name in sorted(node.children):
        child = node.children[name]
        names.append(name)
        nodes.append(child)
        first = seen.setdefault(id(child), row)
        if first != row:
            links[row] = first
            if isinstance(child, Dir):  # refused afterwards; walked into, it might never end
                nodes[-1] = Pipe(child.meta)
        row += 1


_MODES: Final[dict[type, int]] = {
    File: _FILE,
    Dir: _DIR,
    Symlink: _LINK,
    Pipe: stat.S_IFIFO,
    Socket: stat.S_IFSOCK,
}


def _table_of(shape: Shape, nodes: Sequence[Node], links: dict[int, int]) -> Table:
    modes = array("I")
    sizes, contents = array("Q", bytes(8 * len(nodes))), {}
    targets, devices, xattrs = {}, {}, {}
    for row, node in enumerate(nodes):
        if isinstance(node, File):
            contents[row] = node.content
            sizes[row] = node.content.size
        elif isinstance(node, Symlink):
            targets[row] = node.target
        elif isinstance(node, Device):
            devices[row] = node.major, node.minor
        kind = _MODES.get(type(node)) or (stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK)  # type: ignore[union-attr]
        modes.append(kind | node.meta.mode)
        if node.meta.xattrs:
            xattrs[row] = node.meta.xattrs
    metas = [node.meta for node in nodes]
    uids, gids = array("q", [meta.uid for meta in metas]), array("q", [meta.gid for meta in metas])
    mtimes = [meta.mtime_ns for meta in metas]
    return Table(shape, modes, uids, gids, mtimes, sizes, targets, devices, xattrs, links, None, contents)
