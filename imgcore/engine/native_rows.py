"""Rows of a tree for the C core: inodes and listings of squashfs (native/rows.h), and the files of a scanned directory."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from imgcore._core import ffi, lib
from imgcore.engine.protocol import HostFiles
from imgcore.engine.rows import ContentColumns, ListedRows, RowColumns

__all__ = ["HostTree", "NativeRows"]

_ROOM = 512 << 10  # bytes of inodes that are encoded in one call
_NONE = 0xFFFFFFFF
_WORST_ENTRY = 20  # bytes that an entry and a header take beside the name


def _as(code: str, column: Sequence[int]) -> array[int]:
    """Return a column as an array of this type; it is copied only when it is none."""
    return column if isinstance(column, array) and column.typecode == code else array(code, column)


def _joined(names: Sequence[bytes]) -> tuple[bytes, array[int]]:
    """Return names as the core has them, one behind the other, and where each begins, with the end of the last."""
    joined = b"\0".join(names) + b"\0"
    ats = array("Q", bytes(8 * (len(names) + 1)))
    if lib.imgcore_name_ats(ffi.from_buffer(joined), len(joined), len(names), ffi.from_buffer("uint64_t[]", ats)):
        raise ValueError("a name with a zero byte in it")
    return joined, ats


def _spread(values: Mapping[int, int], count: int, usual: int) -> array[int]:
    """Return a column of what is known of some rows; the others have `usual`."""
    column = array("I", [usual]) * count
    for row, value in values.items():
        column[row] = value
    return column


class HostTree:
    """The `imgcore_host_tree` of a scanned directory: `handle`, which is good as long as this lives."""

    def __init__(self, files: HostFiles) -> None:
        self.files = files
        self.handle = ffi.new("imgcore_host_tree *")
        names, ats = _joined(files.names)
        self._held = [
            ffi.new("char[]", files.top.removesuffix(b"/")),
            ffi.from_buffer("char[]", names),
            *(ffi.from_buffer("uint64_t[]", column) for column in (ats, *(_as("Q", one) for one in files[3:6]))),
            ffi.from_buffer("uint32_t[]", files.parents),
            *(ffi.from_buffer("int64_t[]", _as("q", one)) for one in files[6:]),
        ]
        tree = self.handle
        tree.top, tree.names, tree.name_ats, tree.devs, tree.inos, tree.sizes = self._held[:6]
        tree.parents, tree.mtimes, tree.ctimes, tree.blocks = self._held[6:]


class NativeRows:
    """See `RowEncoder`. Holds the buffers of all columns, so that none can be resized meanwhile."""

    def __init__(self, columns: RowColumns) -> None:
        self._names = columns.names
        self._starts = columns.starts
        count = len(columns.names)
        names, self._name_ats = _joined(columns.names)
        self._out = ffi.new("uint8_t[]", _ROOM)
        self._size = ffi.new("uint64_t *")
        rows = self._rows = ffi.new("imgcore_rows *")
        self._held: list[Any] = [names]
        rows.count = count
        rows.names = self._hold("char[]", names)
        rows.name_ats = self._hold("uint64_t[]", self._name_ats)
        rows.modes = self._hold("uint32_t[]", _as("I", columns.modes))
        rows.uids = self._hold("uint32_t[]", _as("I", columns.uids))
        rows.gids = self._hold("uint32_t[]", _as("I", columns.gids))
        rows.mtimes = self._hold("int64_t[]", _as("q", columns.mtimes))
        rows.sizes = self._hold("uint64_t[]", _as("Q", columns.sizes))
        rows.numbers = self._hold("uint32_t[]", _as("I", columns.numbers))
        rows.types = self._hold("uint8_t[]", columns.types)
        if columns.nlinks:
            rows.nlinks = self._hold("uint32_t[]", _spread(columns.nlinks, count, 1))
        if columns.xattrs:
            rows.xattrs = self._hold("uint32_t[]", _spread(columns.xattrs, count, _NONE))
        rows.positions = self._hold("int64_t[]", columns.positions)
        self._owners = ffi.new("imgcore_owner[]", sorted(columns.owners.items()))
        rows.owners, rows.owner_count = self._owners, len(columns.owners)
        self._c_starts = self._hold("uint32_t[]", self._starts)
        self._parents = self._hold("uint32_t[]", columns.parents)
        self._root_parent = max(columns.numbers) + 1
        self._placed = ffi.new("imgcore_placed *")
        self._listed: ListedRows | None = None  # that `_listings` is made of
        self._listings: Any = None
        self._pairs: Any = None

    def _hold(self, kind: str, column: bytes | array[int]) -> Any:
        made = ffi.from_buffer(kind, column)
        self._held.append(made)
        return made

    def set_contents(self, contents: ContentColumns) -> None:
        """See `RowEncoder.set_contents`."""
        placed = self._placed
        placed.starts = self._hold("uint64_t[]", contents.starts)
        placed.fragments = self._hold("uint32_t[]", contents.fragments)
        placed.offsets = self._hold("uint32_t[]", contents.offsets)
        placed.sparses = self._hold("uint64_t[]", contents.sparses)
        placed.counts = self._hold("uint32_t[]", contents.counts)
        if contents.words:
            placed.word_ends = self._hold("uint64_t[]", array("Q", accumulate(contents.counts, initial=0)))
            placed.words = self._hold("uint32_t[]", contents.words)

    def files(self, rows: array[int], numbers: array[int] | None, start: int, first: int, at: int) -> tuple[int, bytes]:
        """See `RowEncoder.files`."""
        which = ffi.from_buffer("uint32_t[]", rows) + start
        files = ffi.NULL if numbers is None else ffi.from_buffer("uint32_t[]", numbers) + start
        count = len(rows) - start
        done = lib.imgcore_file_inodes(self._rows, self._placed, which, files, first, count, at, self._out, _ROOM, self._size)
        return done, ffi.buffer(self._out, self._size[0])[:]

    def listings(
        self, dirs: array[int], begin: int, blocks: array[int]
    ) -> tuple[bytes, array[int], Sequence[Sequence[tuple[int, bytes]]]]:
        """See `RowEncoder.listings`."""
        starts, ats = self._starts, self._name_ats
        room = 0
        for place in dirs:
            first, end = starts[place], starts[place + 1]
            room += ats[end] - ats[first] + _WORST_ENTRY * (end - first)
        out = ffi.new("uint8_t[]", room + 1)
        listed = ffi.new("imgcore_listed[]", len(dirs))
        indexed = ffi.new("imgcore_indexed[]", room // lib.IMGCORE_METADATA + 1)
        which, held = ffi.from_buffer("uint32_t[]", dirs), ffi.from_buffer("uint64_t[]", blocks)
        failed = lib.imgcore_listings(
            self._rows, which, len(dirs), self._c_starts, held, len(blocks), begin, out, listed, indexed
        )
        if failed:
            raise ValueError("an entry whose inode is nowhere")
        pairs = array("Q")
        pairs.frombytes(ffi.buffer(listed))
        sizes, counts = pairs[0::2], pairs[1::2]
        headers: list[Sequence[tuple[int, bytes]]] = [()] * len(dirs)
        if any(counts):
            number = 0
            for place, count in enumerate(counts):
                found = [indexed[number + more] for more in range(count)]
                headers[place] = [(one.at, self._names[one.row]) for one in found]
                number += count
        return ffi.buffer(out, sum(sizes))[:], sizes, headers

    def directories(self, listed: ListedRows, start: int, blocks: array[int], at: int) -> tuple[int, bytes]:
        """See `RowEncoder.directories`."""
        if listed is not self._listed:
            pairs = array("Q", bytes(16 * len(listed.rows)))
            pairs[0::2] = listed.sizes
            pairs[1::2] = array("Q", map(len, listed.headers))
            self._pairs = ffi.from_buffer(pairs)  # a cast does not keep what it is made of
            self._listed, self._listings = listed, ffi.cast("imgcore_listed *", self._pairs)
        done = lib.imgcore_dir_inodes(
            self._rows,
            ffi.from_buffer("uint32_t[]", listed.rows) + start,
            min(len(listed.rows) - start, _ROOM // lib.IMGCORE_INODE),
            self._listings + start,
            listed.begins[start],
            ffi.from_buffer("uint64_t[]", blocks),
            len(blocks),
            self._parents,
            ffi.from_buffer("uint32_t[]", listed.subdirs) + start,
            self._root_parent,
            at,
            self._out,
            self._size,
        )
        return done, ffi.buffer(self._out, self._size[0])[:]
