"""Directories of an image before they have places: records, what continues them, sizes; then places and bytes.

An image shows its files in up to three worlds: the primary one (ISO 9660, with Rock Ridge), Joliet, and ISO 9660:1999. A
`World` has the directories of one, in the order of its path table: level by level, those of one parent by identifier, which
is also the order in which they are written. Nothing but blocks depends on where things lie, so that sizes are known first;
`World.encode` may then be called with several bases, for images that can be mounted from a partition as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from imgcore.errors import NotRepresentable
from imgcore.formats.iso9660 import susp
from imgcore.formats.iso9660.layout import BLOCK, DIRECTORY, MORE_EXTENTS, MOST_IN_SECTION, DirRecord, both16, both32
from imgcore.formats.iso9660.sources import AnyContent, Key, Source
from imgcore.model import join
from imgcore.wire import chain

__all__ = ["Listing", "Place", "World", "blocks", "by_bytes", "by_stem"]

_HEAD: Final = chain(DirRecord)
_HEAD_SIZE: Final = DirRecord.SIZE
_LONGEST: Final = 254
_VOLUME: Final = both16(1)
_MOST_DIRS: Final = 0xFFFF
_ENTRY: Final = struct.Struct("<BBIH")
_ENTRY_BIG: Final = struct.Struct(">BBIH")


def blocks(size: int) -> int:
    """Return the blocks that so many bytes take."""
    return -(-size // BLOCK)


class Place(NamedTuple):
    """Where an area of system use goes on, in bytes from the start of its directory's continuation blocks."""

    at: int
    size: int


class Row(NamedTuple):
    """One name: what its record says. `target` is a directory, a content, or None for what has no bytes."""

    identifier: bytes
    use: bytes
    more: Place | None
    date: bytes
    target: Listing | AnyContent | None


class Listing:
    """A directory in one world."""

    __slots__ = ("_pieces", "block", "identifier", "key", "number", "parent", "path", "rows", "size", "spill")

    def __init__(self, key: Key, identifier: bytes, path: bytes, parent: Listing | None, number: int) -> None:
        self.key, self.identifier, self.path, self.number = key, identifier, path, number
        self.parent = parent if parent is not None else self
        self.rows: list[Row] = []
        self.size = 0  # of the records, a multiple of blocks
        self.spill = 0  # bytes in continuation blocks
        self.block = 0
        self._pieces: list[tuple[int, bytes, Place | None]] = []

    @property
    def blocks(self) -> int:
        """All blocks, those of continued areas behind the records."""
        return self.size // BLOCK + blocks(self.spill)

    def add(self, identifier: bytes, entries: Sequence[bytes], date: bytes, target: Listing | AnyContent | None) -> None:
        """Add a record with these system use entries, of which those that do not fit are continued."""
        room = _LONGEST - _HEAD_SIZE - len(identifier) - (~len(identifier) & 1)
        use = b"".join(entries)
        more = None
        if len(use) > room:
            kept = 0
            size = 0
            for entry in entries:
                if size + len(entry) > room - susp.CE_SIZE:
                    break
                size += len(entry)
                kept += 1
            use = b"".join(entries[:kept])
            more = self._continue(entries[kept:])
        self.rows.append(Row(identifier, use, more, date, target))

    def _continue(self, entries: Sequence[bytes]) -> Place:
        """Put entries into areas behind the records, each inside of one block; return where the first one is."""
        areas: list[bytes] = []
        area = b""
        for entry in entries:
            if len(area) + len(entry) > BLOCK - susp.CE_SIZE:
                areas.append(area)
                area = b""
            area += entry
        areas.append(area)
        places = []
        for number, area in enumerate(areas):
            size = len(area) + (susp.CE_SIZE if number + 1 < len(areas) else 0)
            if self.spill % BLOCK + size > BLOCK:
                self.spill += -self.spill % BLOCK
            places.append(Place(self.spill, size))
            self.spill += size + (size & 1)
        for number, area in enumerate(areas):
            following = places[number + 1] if number + 1 < len(areas) else None
            self._pieces.append((places[number].at, area, following))
        return places[0]

    def finish(self) -> None:
        """Compute the size, once all names are there."""
        at = 0
        for row in self.rows:
            for _ in range(_sections(row.target)):
                length = _length(row)
                if at % BLOCK + length > BLOCK:
                    at += -at % BLOCK
                at += length
        self.size = at + -at % BLOCK

    def encode(self, base: int) -> bytes:
        """Return all its blocks, with positions counted from block `base`."""
        out = bytearray()
        first = self.block + self.size // BLOCK - base
        for row in self.rows:
            tail = row.identifier + b"\0" * (~len(row.identifier) & 1) + row.use
            if row.more is not None:
                at, size = row.more
                tail += susp.ce(first + at // BLOCK, at % BLOCK, size)
            tail += b"\0" * (~len(tail) & 1)  # the fixed part has 33 bytes
            length = _HEAD_SIZE + len(tail)
            for extent, size, flags in _extents(row.target, base):
                if len(out) % BLOCK + length > BLOCK:
                    out += bytes(-len(out) % BLOCK)
                out += _HEAD.pack(length, 0, both32(extent), both32(size), row.date, flags, 0, 0, _VOLUME, len(row.identifier))
                out += tail
        out += bytes(-len(out) % BLOCK)
        assert len(out) == self.size
        if self.spill:
            area = bytearray(blocks(self.spill) * BLOCK)
            for at, data, following in self._pieces:
                if following is not None:
                    data += susp.ce(first + following.at // BLOCK, following.at % BLOCK, following.size)
                area[at : at + len(data)] = data
            out += area
        return bytes(out)


def _length(row: Row) -> int:
    length = _HEAD_SIZE + len(row.identifier) + (~len(row.identifier) & 1) + len(row.use)
    length += susp.CE_SIZE if row.more is not None else 0
    return length + (length & 1)


def _sections(target: Listing | AnyContent | None) -> int:
    size = target.size if not isinstance(target, Listing) and target is not None else 0
    return -(-size // MOST_IN_SECTION) if size > 0xFFFFFFFF else 1


def _extents(target: Listing | AnyContent | None, base: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, bytes, flags) of each record that something needs."""
    if isinstance(target, Listing):
        yield target.block - base, target.size, DIRECTORY
    elif target is None:
        yield 0, 0, 0
    else:
        at, size = target.block - base, target.size
        if not size:
            at = 0  # no reader looks there; the block of a file would make it that file's hard link for some
        while size > 0xFFFFFFFF or (size > MOST_IN_SECTION and target.size > 0xFFFFFFFF):
            yield at, MOST_IN_SECTION, MORE_EXTENTS
            at, size = at + MOST_IN_SECTION // BLOCK, size - MOST_IN_SECTION
        yield at, size, 0


Naming = Callable[[Mapping[bytes, bool]], Mapping[bytes, bytes]]
Order = Callable[[bytes, bool], Any]


class World:
    """All directories of one world."""

    def __init__(self, source: Source, naming: Naming, order: Order, er: bytes | None) -> None:
        self._source, self._order, self._er = source, order, er
        self.listings = [Listing(source.root, b"\0", b"/", None, 1)]
        for listing in self.listings:  # grows meanwhile: level by level
            self._fill(listing, naming)
            if len(self.listings) > _MOST_DIRS:
                raise NotRepresentable(
                    f"iso9660 has numbers for {_MOST_DIRS} directories only", path=self.listings[_MOST_DIRS].path
                )
        self.path_table_size = sum(8 + len(one.identifier) + (len(one.identifier) & 1) for one in self.listings)

    def _fill(self, listing: Listing, naming: Naming) -> None:
        source, er = self._source, self._er
        names, keys, dirs, files = source.children(listing.key)
        shown = {
            name: is_dir
            for name, is_dir, is_file in zip(names, dirs, files, strict=True)
            if er is not None or is_dir or is_file
        }
        self._add_dots(listing)
        order = self._order
        by_name = dict(zip(names, zip(keys, dirs, files, strict=True), strict=True))
        ordered = sorted((order(identifier, shown[name]), name, identifier) for name, identifier in naming(shown).items())
        for _, name, identifier in ordered:
            key, is_dir, is_file = by_name[name]
            target: Listing | AnyContent | None = None
            if is_dir:
                target = Listing(key, identifier, join(listing.path, name), listing, len(self.listings) + 1)
                self.listings.append(target)
            elif is_file:
                target = source.content(key)
            listing.add(identifier, source.entries(key, name) if er is not None else (), source.date(key), target)
        listing.finish()

    def _add_dots(self, listing: Listing) -> None:
        """Add the records of a directory itself, and of the one above."""
        source, er = self._source, self._er
        above = listing.parent.key
        date, date_above = source.date(listing.key), source.date(above)
        own = source.own(listing.key) if er is not None else []
        if er is not None and listing.number == 1:
            # The entry that announces Rock Ridge is long: it stands alone behind the root's records.
            listing._continue([er])
            listing.rows.append(Row(b"\0", b"".join([susp.SP, *own]), Place(0, len(er)), date, listing))
        else:
            listing.add(b"\0", own, date, listing)
        listing.add(b"\1", source.own(above) if er is not None else [], date_above, listing.parent)

    @property
    def blocks(self) -> int:
        """Blocks of all directories."""
        return sum(listing.blocks for listing in self.listings)

    @property
    def table_blocks(self) -> int:
        """Blocks of one path table."""
        return blocks(self.path_table_size)

    def place(self, block: int) -> int:
        """Give the directories their places from a block on; return the block behind them."""
        for listing in self.listings:
            listing.block = block
            block += listing.blocks
        return block

    def encode(self, base: int = 0) -> Iterator[bytes]:
        """Yield the blocks of each directory."""
        for listing in self.listings:
            yield listing.encode(base)

    def path_tables(self, base: int = 0) -> tuple[bytes, bytes]:
        """Return the little-endian and the big-endian path table, padded to blocks."""
        little, big = bytearray(), bytearray()
        for one in self.listings:
            tail = one.identifier + b"\0" * (len(one.identifier) & 1)
            values = (len(one.identifier), 0, one.block - base, one.parent.number)
            little += _ENTRY.pack(*values) + tail
            big += _ENTRY_BIG.pack(*values) + tail
        pad = bytes(-len(little) % BLOCK)
        return bytes(little + pad), bytes(big + pad)

    def root_record(self, base: int = 0) -> bytes:
        """Return the record of the root as a volume descriptor has it."""
        root = self.listings[0]
        head = _HEAD.pack(
            34, 0, both32(root.block - base), both32(root.size), self._source.date(root.key), DIRECTORY, 0, 0, _VOLUME, 1
        )
        return head + b"\0"


def by_stem(identifier: bytes, is_dir: bool) -> tuple[bytes, bytes]:
    """Return what ECMA-119, 9.3 orders by: names as if padded with spaces, then extensions."""
    name = identifier.partition(b";")[0]
    stem, _, extension = (name, b"", b"") if is_dir else name.rpartition(b".") if b"." in name else (name, b"", b"")
    return stem.ljust(32), extension.ljust(32)


def by_bytes(identifier: bytes, is_dir: bool) -> bytes:
    """Return what Joliet and ISO 9660:1999 order by."""
    return identifier
