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
from imgcore.formats.iso9660.dates import short_date
from imgcore.formats.iso9660.layout import BLOCK, DIRECTORY, MORE_EXTENTS, MOST_IN_SECTION, DirRecord, both16, both32
from imgcore.model import Device, Dir, File, Meta, Node, Symlink, join
from imgcore.wire import chain

__all__ = ["Content", "Listing", "Place", "RockRidge", "World", "blocks", "by_bytes", "by_stem"]

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


class Content:
    """The bytes of one file, or of several that are the same; `block` is where they begin, once that is known."""

    __slots__ = ("above", "block", "file", "name", "priority")

    def __init__(self, file: File, above: bytes, name: bytes, priority: int) -> None:
        self.file, self.above, self.name, self.priority = file, above, name, priority
        self.block = 0

    @property
    def path(self) -> bytes:
        """The first path of the file."""
        return join(self.above, self.name)


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
    target: Listing | Content | None


class Listing:
    """A directory in one world."""

    __slots__ = ("_pieces", "_room", "block", "identifier", "meta", "node", "number", "parent", "path", "rows", "size", "spill")

    def __init__(self, node: Dir, identifier: bytes, path: bytes, parent: Listing | None, number: int) -> None:
        self.node, self.identifier, self.path, self.number = node, identifier, path, number
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

    def add(self, identifier: bytes, entries: Sequence[bytes], date: bytes, target: Listing | Content | None) -> None:
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


def _sections(target: Listing | Content | None) -> int:
    size = target.file.content.size if isinstance(target, Content) else 0
    return -(-size // MOST_IN_SECTION) if size > 0xFFFFFFFF else 1


def _extents(target: Listing | Content | None, base: int) -> Iterator[tuple[int, int, int]]:
    """Yield (block, bytes, flags) of each record that something needs."""
    if isinstance(target, Listing):
        yield target.block - base, target.size, DIRECTORY
    elif target is None:
        yield 0, 0, 0
    else:
        at, size = target.block - base, target.file.content.size
        if not size:
            at = 0  # no reader looks there; the block of a file would make it that file's hard link for some
        while size > 0xFFFFFFFF or (size > MOST_IN_SECTION and target.file.content.size > 0xFFFFFFFF):
            yield at, MOST_IN_SECTION, MORE_EXTENTS
            at, size = at + MOST_IN_SECTION // BLOCK, size - MOST_IN_SECTION
        yield at, size, 0


Naming = Callable[[Mapping[bytes, bool]], Mapping[bytes, bytes]]
Order = Callable[[bytes, bool], Any]


class World:
    """All directories of one world."""

    def __init__(
        self, root: Dir, contents: Mapping[int, Content], naming: Naming, order: Order, rock_ridge: RockRidge | None
    ) -> None:
        self.rock_ridge = rock_ridge
        self._order = order
        self.listings = [Listing(root, b"\0", b"/", None, 1)]
        for listing in self.listings:  # grows meanwhile: level by level
            self._fill(listing, contents, naming)
            if len(self.listings) > _MOST_DIRS:
                raise NotRepresentable(
                    f"iso9660 has numbers for {_MOST_DIRS} directories only", path=self.listings[_MOST_DIRS].path
                )
        self.path_table_size = sum(8 + len(one.identifier) + (len(one.identifier) & 1) for one in self.listings)

    def _fill(self, listing: Listing, contents: Mapping[int, Content], naming: Naming) -> None:
        rock = self.rock_ridge
        children = listing.node.children
        shown = {
            name: isinstance(node, Dir) for name, node in children.items() if rock is not None or isinstance(node, (Dir, File))
        }
        order = self._order
        ordered = sorted((order(identifier, shown[name]), name, identifier) for name, identifier in naming(shown).items())
        above = listing.parent.node
        date, date_above = _date(listing.node.meta), _date(above.meta)
        own: list[bytes] = []
        upper: list[bytes] = []
        if rock is not None:
            own = rock.directory(listing.node)
            upper = rock.directory(above)
            if listing.number == 1:
                own = [susp.SP, *own]
                listing._continue([rock.er])
        if rock is not None and listing.number == 1:
            # The entry that announces Rock Ridge is long: it stands alone behind the root's records.
            listing.rows.append(Row(b"\0", b"".join(own), Place(0, len(rock.er)), date, listing))
        else:
            listing.add(b"\0", own, date, listing)
        listing.add(b"\1", upper, date_above, listing.parent)
        for _, name, identifier in ordered:
            node = children[name]
            target: Listing | Content | None = None
            if isinstance(node, Dir):
                target = Listing(node, identifier, join(listing.path, name), listing, len(self.listings) + 1)
                self.listings.append(target)
            elif isinstance(node, File):
                target = contents[id(node)]
            listing.add(identifier, rock.entries(node, name) if rock is not None else (), _date(node.meta), target)
        listing.finish()

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
            34, 0, both32(root.block - base), both32(root.size), _date(root.node.meta), DIRECTORY, 0, 0, _VOLUME, 1
        )
        return head + b"\0"


def _date(meta: Meta) -> bytes:
    return short_date(susp.times_of(meta))


def by_stem(identifier: bytes, is_dir: bool) -> tuple[bytes, bytes]:
    """Return what ECMA-119, 9.3 orders by: names as if padded with spaces, then extensions."""
    name = identifier.partition(b";")[0]
    stem, _, extension = (name, b"", b"") if is_dir else name.rpartition(b".") if b"." in name else (name, b"", b"")
    return stem.ljust(32), extension.ljust(32)


def by_bytes(identifier: bytes, is_dir: bool) -> bytes:
    """Return what Joliet and ISO 9660:1999 order by."""
    return identifier


class RockRidge:
    """Makes the entries of nodes. `links` says how many names a node has, by its id; `serials` asks for 1.12."""

    def __init__(self, links: Mapping[int, int], *, serials: bool) -> None:
        self._links = links
        self._serials: dict[int, int] | None = {} if serials else None
        self.er = susp.er(serials=serials)

    def _px(self, node: Node, nlink: int) -> bytes:
        meta = node.meta
        entry = susp.px(susp.mode_of(node), nlink, meta.uid, meta.gid)
        if self._serials is None:
            return entry
        return susp.with_serial(entry, self._serials.setdefault(id(node), len(self._serials) + 1))

    def directory(self, node: Dir) -> list[bytes]:
        """Return what stands at `.` and `..`."""
        count = 2 + sum(isinstance(child, Dir) for child in node.children.values())
        return [self._px(node, count), susp.tf(susp.times_of(node.meta))]

    def entries(self, node: Node, name: bytes) -> list[bytes]:
        """Return what stands at a name."""
        if isinstance(node, Dir):
            return [*self.directory(node), *susp.name_entries(name)]
        out = [self._px(node, self._links.get(id(node), 1)), susp.tf(susp.times_of(node.meta)), *susp.name_entries(name)]
        if isinstance(node, Device):
            numbers = susp.device_numbers(node)
            assert numbers is not None
            out.insert(2, susp.pn(*numbers))
        elif isinstance(node, Symlink):
            out += susp.link_entries(node.target)
        return out
