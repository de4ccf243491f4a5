"""Directory listings: runs of entries behind headers, and the index that lets Linux find a name in a large one.

A header covers at most 256 entries whose inodes lie in one metadata block and whose numbers are near each other. Linux
stops at the first name whose bytes are greater than the one it looks for, so names are sorted as unsigned bytes.

The index of a large directory has one entry for each metadata block of its listing after the first: the offset of the
first header in that block, the block's position and that header's first name. A wrong one hides names from Linux while
other readers, which ignore it, see nothing; so a header is begun wherever the listing crosses into a new block.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from imgcore.errors import NotRepresentable
from imgcore.formats.squashfs.layout import LISTING_EXTRA, MAX_DIR_COUNT, METADATA_SIZE, DirEntry, DirHeader, DirIndex
from imgcore.formats.squashfs.metadata import MetadataWriter

__all__ = ["ListedEntry", "Listing", "write_listing"]

_MAX_INDEX: Final = 0xFFFF
_MAX_LISTING: Final = (1 << 32) - 1 - LISTING_EXTRA


class ListedEntry(NamedTuple):
    """One name to be listed; `start` and `offset` are where its inode lies."""

    name: bytes
    start: int
    offset: int
    number: int
    kind: int


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


def write_listing(stream: MetadataWriter, entries: Iterable[ListedEntry], path: bytes) -> Listing:
    """Append the listing of `entries`, which are sorted by name, to the directory stream."""
    begin = len(stream)
    size = 0
    headers: list[tuple[int, bytes]] = []
    run: list[bytes] = []
    head = ListedEntry(b"", -1, 0, 0, 0)
    header_at = 0
    block = begin // METADATA_SIZE
    out: list[bytes] = []

    def close() -> None:
        if run:
            out[header_at] = DirHeader(len(run) - 1, head.start, head.number).pack()
            out.extend(run)
            run.clear()

    for entry in entries:
        crossed = (begin + size) // METADATA_SIZE != block
        if (
            not run
            or len(run) == MAX_DIR_COUNT
            or entry.start != head.start
            or not -32768 <= entry.number - head.number <= 32767
            or crossed
        ):
            close()
            if crossed:
                block = (begin + size) // METADATA_SIZE
                headers.append((size, entry.name))
            head, header_at = entry, len(out)
            out.append(b"")
            size += DirHeader.SIZE
        run.append(DirEntry(entry.offset, entry.number - head.number, entry.kind, len(entry.name) - 1).pack() + entry.name)
        size += len(run[-1])
    close()
    if size > _MAX_LISTING:
        raise NotRepresentable("squashfs cannot hold a directory whose listing takes 4 GiB", path=path)
    stream.append(b"".join(out))
    return Listing(begin, size, headers)
