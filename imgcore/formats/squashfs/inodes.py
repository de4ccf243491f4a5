"""Inodes as bytes: the basic form where it can say everything, else the extended one.

Most inodes are those of files in the basic form, so these are packed many at once, by the column; the others one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, compress, repeat
from operator import itemgetter
from typing import Final

from imgcore.formats.squashfs.data import Placed
from imgcore.formats.squashfs.layout import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIR,
    EXTENDED,
    LISTING_EXTRA,
    NO_XATTR,
    REG,
    SYMLINK,
    DevInode,
    DirInode,
    InodeBase,
    IpcInode,
    LDevInode,
    LDirInode,
    LIpcInode,
    LRegInode,
    RegInode,
    SymlinkInode,
    device_number,
)
from imgcore.formats.squashfs.metadata import little_endian
from imgcore.formats.squashfs.plan import Plan
from imgcore.wire import chain

__all__ = ["InodeEncoder"]

_SECOND: Final = 1_000_000_000
_U32: Final = 1 << 32
_BATCH: Final = 8192  # inodes that are held at once
_BASE: Final = chain(InodeBase)
_BASIC_FILE: Final = chain(InodeBase, RegInode)
_BASIC_DIR: Final = chain(DirInode)


def _picker(places: Sequence[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    """Return the function that picks these places of a column."""
    if isinstance(places, range):
        return lambda column: column[places.start : places.stop]
    if len(places) > 1:
        return itemgetter(*places)
    return lambda column: [column[place] for place in places]


class InodeEncoder:
    """Encodes the inodes of a plan; `ids` numbers owners and groups as they are first met."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._table = table = plan.table
        pairs = dict.fromkeys(zip(table.uids, table.gids, strict=True))
        self.ids = {one: place for place, one in enumerate(dict.fromkeys(one for pair in pairs for one in pair))}

    def leaves(self, files: Placed, places: Sequence[int] | None) -> Iterator[tuple[list[int], list[bytes]]]:
        """Yield batches of (rows, their inodes): all but directories, in walk order.

        `files` has the contents; `places` says which of them each file in walk order is, None where that is its number.
        """
        types = self._plan.types
        leaves = self._plan.leaves()
        word_ends = array("Q", accumulate(files.counts, initial=0))
        number = 0
        for at in range(0, len(leaves), _BATCH):
            rows = leaves[at : at + _BATCH]
            is_file = [types[row] == REG for row in rows]
            count = sum(is_file)
            which: Sequence[int] = range(number, number + count)
            if places is not None:
                which = [places[place] for place in which]
            number += count
            if count == len(rows):
                yield rows, self._files(rows, which, files, word_ends)
                continue
            encoded = iter(self._files(list(compress(rows, is_file)), which, files, word_ends))
            yield rows, [next(encoded) if regular else self._other(row) for row, regular in zip(rows, is_file, strict=True)]

    def leaf(self, row: int, files: Placed, number: int) -> bytes:
        """Return the inode of what is no directory; `number` says which of `files` the content of a regular file is."""
        if self._plan.types[row] != REG:
            return self._other(row)
        begin = sum(files.counts[:number])
        ends = {number: begin, number + 1: begin + files.counts[number]}
        return self._files([row], [number], files, ends)[0]

    def _files(
        self, rows: Sequence[int], which: Sequence[int], files: Placed, word_ends: Sequence[int] | Mapping[int, int]
    ) -> list[bytes]:
        """Return the inodes of regular files, whose contents are `which` of `files`."""
        table, plan, ids = self._table, self._plan, self.ids
        of_row, of_file = _picker(rows), _picker(which)
        uids, gids = of_row(table.uids), of_row(table.gids)
        starts, sizes = of_file(files.starts), of_row(table.sizes)
        short = [size & 0xFFFFFFFF for size in sizes] if max(sizes, default=0) >= _U32 else sizes
        raws = list(
            map(
                _BASIC_FILE.pack,
                repeat(REG),
                [mode & 0o7777 for mode in of_row(table.modes)],
                map(ids.__getitem__, uids),
                map(ids.__getitem__, gids),
                [mtime // _SECOND for mtime in of_row(table.mtimes)],
                of_row(plan.numbers),
                [start & 0xFFFFFFFF for start in starts] if max(starts, default=0) >= _U32 else starts,
                of_file(files.fragments),
                of_file(files.offsets),
                short,
            )
        )
        for place, count in enumerate(of_file(files.counts)):
            if count:
                one = which[place]
                words = files.words[word_ends[one] : word_ends[one + 1]]
                raws[place] += little_endian(words)
        for place in self._extended(rows, which, files, starts, sizes):
            row, one = rows[place], which[place]
            xattr = plan.xattrs.get(row, NO_XATTR)
            nlink = plan.nlinks.get(row, 1)
            body = LRegInode(
                starts[place], sizes[place], files.sparses[one], nlink, files.fragments[one], files.offsets[one], xattr
            )
            raws[place] = self._base(REG + EXTENDED, row) + body.pack() + raws[place][_BASIC_FILE.size :]
        return raws

    def _extended(
        self, rows: Sequence[int], which: Sequence[int], files: Placed, starts: Sequence[int], sizes: Sequence[int]
    ) -> list[int]:
        """Return the places in `rows` of files that need the extended form."""
        found: set[int] = set()
        for by_row in (self._plan.nlinks, self._plan.xattrs):
            if by_row:
                found.update(place for place, row in enumerate(rows) if row in by_row)
        for numbers in (starts, sizes):
            if max(numbers, default=0) >= _U32:
                found.update(place for place, value in enumerate(numbers) if value >= _U32)
        if any(files.sparses):
            found.update(place for place, one in enumerate(which) if files.sparses[one])
        return sorted(found)

    def _base(self, kind: int, row: int) -> bytes:
        table = self._table
        uid, gid = self.ids[table.uids[row]], self.ids[table.gids[row]]
        mtime = table.mtimes[row] // _SECOND
        return _BASE.pack(kind, table.modes[row] & 0o7777, uid, gid, mtime, self._plan.numbers[row])

    def _other(self, row: int) -> bytes:
        """Return the inode of a symbolic link, device, fifo or socket."""
        plan = self._plan
        kind, nlink = plan.types[row], plan.nlinks.get(row, 1)
        xattr = plan.xattrs.get(row, NO_XATTR)
        extended = xattr != NO_XATTR
        base = self._base(kind + EXTENDED if extended else kind, row)
        if kind == SYMLINK:
            target = self._table.targets[row]
            return base + SymlinkInode(nlink, len(target)).pack() + target + (xattr.to_bytes(4, "little") if extended else b"")
        if kind in (CHAR_DEVICE, BLOCK_DEVICE):
            rdev = device_number(*self._table.devices[row])
            return base + (LDevInode(nlink, rdev, xattr).pack() if extended else DevInode(nlink, rdev).pack())
        return base + (LIpcInode(nlink, xattr).pack() if extended else IpcInode(nlink).pack())

    def directory(self, row: int, subdirs: int, place: tuple[int, int], listing: int, index: list[bytes]) -> bytes:
        """Return the inode of a directory whose listing of `listing` bytes begins at `place`, with its index."""
        plan = self._plan
        start, offset = place
        # What mksquashfs says of the root's parent; Linux does not look at it.
        parent = plan.numbers[self._table.shape.parents[row]] if row else len(plan.order) + 1
        xattr = plan.xattrs.get(row, NO_XATTR)
        size = listing + LISTING_EXTRA
        if index or xattr != NO_XATTR or size > 0xFFFF:
            body = LDirInode(subdirs + 2, size, start, parent, len(index), offset, xattr)
            return self._base(DIR + EXTENDED, row) + body.pack() + b"".join(index)
        return self._base(DIR, row) + _BASIC_DIR.pack(start, subdirs + 2, size, offset, parent)
