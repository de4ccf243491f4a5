"""Directory listings: runs of entries behind headers, and the index that lets Linux find a name in a large one.

A header covers at most 256 entries whose inodes lie in one metadata block and whose numbers are near each other. Linux
stops at the first name whose bytes are greater than the one it looks for, so names are sorted as unsigned bytes.

The index of a large directory has one entry for each metadata block of its listing after the first: the offset of the
first header in that block, the block's position and that header's first name. A wrong one hides names from Linux while
other readers, which ignore it, see nothing; so a header is begun wherever the listing crosses into a new block.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from imgcore.errors import NotRepresentable
from imgcore.formats.squashfs.layout import LISTING_EXTRA, MAX_DIR_COUNT, METADATA_SIZE, DirEntry, DirHeader, DirIndex
from imgcore.formats.squashfs.metadata import MetadataWriter
from imgcore.wire import chain

__all__ = ["Listing", "check_size", "write_listing"]

_ENTRY: Final = chain(DirEntry)
_HEADER: Final = chain(DirHeader)
_MAX_INDEX: Final = 0xFFFF
_MAX_LISTING: Final = (1 << 32) - 1 - LISTING_EXTRA


class Listing(NamedTuple):
    """A listing in the directory stream: where it begins, its bytes, and (offset in it, first name) of headers to index."""

    position: int
    size: int
    headers: list[tuple[int, bytes]]

    def encode_index(self, stream: MetadataWriter) -> list[bytes]:
        """Return the encoded index entries; the listing's blocks get compressed."""
        step = -(-len(self.headers) // _MAX_INDEX) if len(self.headers) > _MAX_INDEX else 1
        return [
            DirIndex(offset, stream.place(self.position + offset)[0], len(name) - 1).pack() + name
            for offset, name in self.headers[::step]
        ]


def check_size(size: int, path: bytes) -> None:
    """Raise NotRepresentable for a listing of so many bytes, of the directory at `path`, that no inode can have."""
    if size > _MAX_LISTING:
        raise NotRepresentable("squashfs cannot hold a directory whose listing takes 4 GiB", path=path)


def _one_run(begin: int, names: Sequence[bytes], places: Sequence[tuple[int, int]], numbers: Sequence[int]) -> int:
    """Return the size of a listing that takes one header, within one metadata block but for the last entry; else 0."""
    count = len(names)
    if not 0 < count <= MAX_DIR_COUNT:
        return 0
    size = _HEADER.size + _ENTRY.size * count + sum(map(len, names))
    last = begin + size - _ENTRY.size - len(names[-1])  # where the last entry begins
    start = places[0][0]
    if last // METADATA_SIZE != begin // METADATA_SIZE or any(place[0] != start for place in places):
        return 0
    return size if max(numbers) - numbers[0] <= 32767 and min(numbers) - numbers[0] >= -32768 else 0


def write_listing(
    stream: MetadataWriter,
    names: Sequence[bytes],
    places: Sequence[tuple[int, int]],
    numbers: Sequence[int],
    kinds: Sequence[int],
    path: bytes,
) -> Listing:
    """Append the listing of sorted `names` to the directory stream.

    Of each: `places` is (start of the metadata block, offset in it) of its inode, `numbers` the inode's number, `kinds` its
    basic type.
    """
    begin = len(stream)
    simple = _one_run(begin, names, places, numbers)
    if simple:
        first = numbers[0]
        lengths = list(map(len, names))
        entries = map(
            _ENTRY.pack,
            [offset for _, offset in places],
            [number - first for number in numbers],
            kinds,
            [length - 1 for length in lengths],
        )
        head = _HEADER.pack(len(names) - 1, places[0][0], first)
        stream.append(head + b"".join(itertools.chain.from_iterable(zip(entries, names, strict=True))))
        return Listing(begin, simple, [])
    size = header_at = count = head_start = head_number = 0
    headers: list[tuple[int, bytes]] = []
    block = begin // METADATA_SIZE
    out: list[bytes] = []
    pack, entry_size = _ENTRY.pack, _ENTRY.size
    for name, (start, offset), number, kind in zip(names, places, numbers, kinds, strict=True):
        crossed = (begin + size) // METADATA_SIZE != block
        if not count or count == MAX_DIR_COUNT or start != head_start or not -32768 <= number - head_number <= 32767 or crossed:
            if count:
                out[header_at] = DirHeader(count - 1, head_start, head_number).pack()
            if crossed:
                block = (begin + size) // METADATA_SIZE
                headers.append((size, name))
            head_start, head_number, header_at, count = start, number, len(out), 0
            out.append(b"")
            size += DirHeader.SIZE
        out.append(pack(offset, number - head_number, kind, len(name) - 1))
        out.append(name)
        count += 1
        size += entry_size + len(name)
    if count:
        out[header_at] = DirHeader(count - 1, head_start, head_number).pack()
    check_size(size, path)
    stream.append(b"".join(out))
    return Listing(begin, size, headers)
