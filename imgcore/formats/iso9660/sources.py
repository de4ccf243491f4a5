"""Where the planner gets a tree from: nodes, or columns where the tree is columns and nothing asks for more.

Both say the same of the same tree, so that the image does not depend on which it was. A `key` stands for what a name is: a
node, or a row. A million files as nodes are several millions of objects; as columns they are a few arrays.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from imgcore.blob import Blob
from imgcore.formats.iso9660 import susp
from imgcore.formats.iso9660.dates import short_date
from imgcore.model import Device, Dir, File, Node, Symlink, Table, join

__all__ = ["AnyContent", "Content", "Key", "NodeSource", "RowContent", "RowSource", "Source"]

Key: TypeAlias = Any
_DIR: Final = stat.S_IFDIR >> 12
_FILE: Final = stat.S_IFREG >> 12
_SECOND: Final = 1_000_000_000


class Content:
    """The bytes of one file, or of several that are the same; `block` is where they begin, once that is known."""

    __slots__ = ("_above", "_file", "_name", "block", "priority", "size")

    def __init__(self, file: File, above: bytes, name: bytes, priority: int) -> None:
        self._file, self._above, self._name, self.priority = file, above, name, priority
        self.size = file.content.size
        self.block = 0

    @property
    def path(self) -> bytes:
        """The first path of the file."""
        return join(self._above, self._name)

    @property
    def file(self) -> File:
        """The node."""
        return self._file

    @property
    def blob(self) -> Blob:
        """The bytes."""
        return self._file.content


class RowContent:
    """The same of a row."""

    __slots__ = ("_table", "block", "priority", "row", "size")

    def __init__(self, table: Table, row: int) -> None:
        self._table, self.row = table, row
        self.size = table.sizes[row]
        self.block = self.priority = 0

    @property
    def path(self) -> bytes:
        """The path of the file."""
        return self._table.shape.path(self.row)

    @property
    def blob(self) -> Blob:
        """The bytes."""
        return self._table.blob(self.row)


AnyContent: TypeAlias = Content | RowContent


class Source(Protocol):
    """A tree, as the planner asks for it."""

    @property
    def root(self) -> Key:
        """The key of the root."""
        ...

    def children(self, key: Key) -> tuple[Sequence[bytes], Sequence[Key], Sequence[bool], Sequence[bool]]:
        """Return the names of a directory, their keys, which are directories, and which are regular files."""
        ...

    def date(self, key: Key) -> bytes:
        """Return the time of what a key stands for, as records have it."""
        ...

    def content(self, key: Key) -> AnyContent:
        """Return the content of a regular file."""
        ...

    def own(self, key: Key) -> list[bytes]:
        """Return the entries of Rock Ridge at `.` and `..`."""
        ...

    def entries(self, key: Key, name: bytes) -> list[bytes]:
        """Return the entries of Rock Ridge at a name."""
        ...


class NodeSource:
    """A tree of nodes. `links` says how many names a node has, by its id; `serials` asks for Rock Ridge 1.12."""

    def __init__(self, root: Dir, contents: Mapping[int, Content], links: Mapping[int, int], *, serials: bool) -> None:
        self.root = root
        self._contents, self._links = contents, links
        self._serials: dict[int, int] | None = {} if serials else None

    def children(self, key: Dir) -> tuple[Sequence[bytes], Sequence[Key], Sequence[bool], Sequence[bool]]:
        """Return the names of a directory, their nodes, which are directories, and which are regular files."""
        nodes = list(key.children.values())
        return list(key.children), nodes, [isinstance(one, Dir) for one in nodes], [isinstance(one, File) for one in nodes]

    def date(self, key: Node) -> bytes:
        """Return the time of a node."""
        return short_date(susp.times_of(key.meta))

    def content(self, key: File) -> AnyContent:
        """Return the content of a regular file."""
        return self._contents[id(key)]

    def _px(self, node: Node, nlink: int) -> bytes:
        meta = node.meta
        entry = susp.px(susp.mode_of(node), nlink, meta.uid, meta.gid)
        if self._serials is None:
            return entry
        return susp.with_serial(entry, self._serials.setdefault(id(node), len(self._serials) + 1))

    def own(self, key: Dir) -> list[bytes]:
        """Return what stands at `.` and `..`."""
        count = 2 + sum(isinstance(child, Dir) for child in key.children.values())
        return [self._px(key, count), susp.tf(susp.times_of(key.meta))]

    def entries(self, key: Node, name: bytes) -> list[bytes]:
        """Return what stands at a name."""
        if isinstance(key, Dir):
            return [*self.own(key), *susp.name_entries(name)]
        out = [self._px(key, self._links.get(id(key), 1)), susp.tf(susp.times_of(key.meta)), *susp.name_entries(name)]
        if isinstance(key, Device):
            numbers = susp.device_numbers(key.major, key.minor)
            assert numbers is not None
            out.insert(2, susp.pn(*numbers))
        elif isinstance(key, Symlink):
            out += susp.link_entries(key.target)
        return out


class RowSource:
    """A tree of columns, in which no node has two names."""

    root = 0

    def __init__(self, table: Table) -> None:
        self.table = table
        self._types = table.types()
        self._places = {row: place for place, row in enumerate(table.shape.dirs)}
        self._contents = {row: RowContent(table, row) for row in table.file_rows()}

    @property
    def contents(self) -> Sequence[RowContent]:
        """The contents of all regular files, in the order of walking."""
        return list(self._contents.values())

    def _range(self, row: int) -> tuple[int, int]:
        place = self._places[row]
        return self.table.shape.starts[place], self.table.shape.starts[place + 1]

    def children(self, key: int) -> tuple[Sequence[bytes], Sequence[Key], Sequence[bool], Sequence[bool]]:
        """Return the names of a directory, their rows, which are directories, and which are regular files."""
        begin, end = self._range(key)
        types = self._types[begin:end]
        names = self.table.shape.names[begin:end]
        return names, range(begin, end), [kind == _DIR for kind in types], [kind == _FILE for kind in types]

    def date(self, key: int) -> bytes:
        """Return the time of a row."""
        return short_date(self.table.mtimes[key] // _SECOND)

    def content(self, key: int) -> AnyContent:
        """Return the content of a regular file."""
        return self._contents[key]

    def own(self, key: int) -> list[bytes]:
        """Return what stands at `.` and `..`."""
        table = self.table
        begin, end = self._range(key)
        count = 2 + self._types[begin:end].count(_DIR)
        return [susp.px(table.modes[key], count, table.uids[key], table.gids[key]), susp.tf(table.mtimes[key] // _SECOND)]

    def entries(self, key: int, name: bytes) -> list[bytes]:
        """Return what stands at a name."""
        table = self.table
        kind = self._types[key]
        if kind == _DIR:
            return [*self.own(key), *susp.name_entries(name)]
        px = susp.px(table.modes[key], 1, table.uids[key], table.gids[key])
        out = [px, susp.tf(table.mtimes[key] // _SECOND), *susp.name_entries(name)]
        if kind == _FILE:
            return out
        if key in table.targets:
            out += susp.link_entries(table.targets[key])
        elif key in table.devices:
            numbers = susp.device_numbers(*table.devices[key])
            assert numbers is not None
            out.insert(2, susp.pn(*numbers))
        return out
