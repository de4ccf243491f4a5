"""Hand-made squashfs images: a builder on the project's own records with every rule left to the caller to break.

Metadata is always stored raw, so that a test can find and change any field. `Builder.build` takes any field of the
superblock as a keyword, and `tables=` functions that change a table's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.layout import (
    BLOCK_RAW,
    METADATA_RAW,
    NO_FRAGMENT,
    NO_TABLE,
    NO_XATTR,
    DevInode,
    DirEntry,
    DirHeader,
    DirInode,
    FragmentEntry,
    InodeBase,
    IpcInode,
    LDirInode,
    LRegInode,
    RegInode,
    Superblock,
    XattrEntry,
    XattrId,
    XattrTable,
)

Change = Callable[[bytes], bytes]


def loose(record: object, **fields: int) -> bytes:
    """Return the bytes of a record without its rules, some fields replaced."""
    for name, value in fields.items():
        setattr(record, name, value)
    kind = type(record)
    values = kind._values(record)  # type: ignore[attr-defined]
    return kind._struct.pack(*values)  # type: ignore[attr-defined,no-any-return]


@dataclass
class Named:
    """A name in a directory: where its inode lies in the inode stream, its number and its type."""

    name: bytes
    position: int
    number: int
    kind: int


@dataclass
class Builder:
    """Put data, then inodes and listings bottom-up, then build."""

    compression: int = 1
    block_size: int = 4096
    settings: bytes = b""
    flags: int = 0
    payload: int = 8192
    data: bytearray = field(default_factory=bytearray)
    inodes: bytearray = field(default_factory=bytearray)
    listings: bytearray = field(default_factory=bytearray)
    fragments: list[FragmentEntry] = field(default_factory=list)
    ids: list[int] = field(default_factory=lambda: [0])
    xattr_stream: bytes = b""
    xattr_ids: list[XattrId] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)

    @property
    def base(self) -> int:
        return layout.SUPERBLOCK_SIZE + (2 + len(self.settings) if self.settings else 0)

    def put(self, data: bytes) -> int:
        """Add stored bytes; return their position in the image."""
        at = self.base + len(self.data)
        self.data += data
        return at

    def fragment(self, data: bytes, word: int | None = None) -> int:
        """Add a fragment block, raw unless `word` says otherwise; return its number."""
        self.fragments.append(FragmentEntry(self.put(data), len(data) | BLOCK_RAW if word is None else word, 0))
        return len(self.fragments) - 1

    def place(self, position: int) -> tuple[int, int]:
        """Return (block start, offset) of a stream position."""
        return position // self.payload * (self.payload + 2), position % self.payload

    def inode(
        self, kind: int, number: int, body: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0, mtime: int = 0
    ) -> Named:
        """Add an inode of any type; return it without a name."""
        position = len(self.inodes)
        base = InodeBase(1, mode, uid, gid, mtime, number)
        self.inodes += loose(base, inode_type=kind) + body
        self.positions.setdefault(number, position)
        return Named(b"", position, number, kind - 7 if kind > 7 else kind)

    def file(
        self,
        name: bytes,
        number: int,
        data: bytes = b"",
        *,
        start: int | None = None,
        words: Sequence[int] | None = None,
        size: int | None = None,
        fragment: int = NO_FRAGMENT,
        offset: int = 0,
    ) -> Named:
        """Add a basic regular file; without further arguments its data is stored raw, block by block."""
        if start is None:
            start = self.put(data) if data else 0
        if words is None:
            words = [len(data[at : at + self.block_size]) | BLOCK_RAW for at in range(0, len(data), self.block_size)]
        body = RegInode(start, fragment, offset, len(data) if size is None else size).pack()
        return self.named(name, self.inode(2, number, body + struct.pack(f"<{len(words)}I", *words)))

    def large_file(
        self,
        name: bytes,
        number: int,
        data: bytes = b"",
        *,
        words: Sequence[int] | None = None,
        size: int | None = None,
        sparse: int = 0,
        nlink: int = 1,
        xattr: int = NO_XATTR,
    ) -> Named:
        """Add an extended regular file."""
        start = self.put(data) if data else 0
        if words is None:
            words = [len(data[at : at + self.block_size]) | BLOCK_RAW for at in range(0, len(data), self.block_size)]
        body = LRegInode(start, len(data) if size is None else size, sparse, nlink, NO_FRAGMENT, 0, xattr).pack()
        return self.named(name, self.inode(9, number, body + struct.pack(f"<{len(words)}I", *words)))

    def symlink(self, name: bytes, number: int, target: bytes, *, size: int | None = None) -> Named:
        """Add a symbolic link."""
        body = struct.pack("<II", 1, len(target) if size is None else size) + target
        return self.named(name, self.inode(3, number, body, mode=0o777))

    def device(self, name: bytes, number: int, kind: int = 5, rdev: int = 0x103) -> Named:
        """Add a device."""
        return self.named(name, self.inode(kind, number, DevInode(1, rdev).pack()))

    def pipe(self, name: bytes, number: int, kind: int = 6) -> Named:
        """Add a fifo or socket."""
        return self.named(name, self.inode(kind, number, IpcInode(1).pack()))

    @staticmethod
    def named(name: bytes, what: Named) -> Named:
        """Return another name of an inode."""
        return Named(name, what.position, what.number, what.kind)

    def listing(self, entries: Sequence[Named], *, sort: bool = True, most: int = 256) -> bytes:
        """Return the listing of `entries`; runs end where the inode block changes."""
        entries = sorted(entries, key=lambda entry: entry.name) if sort else entries
        out, at = b"", 0
        while at < len(entries):
            block, base = self.place(entries[at].position)[0], entries[at].number
            run = [entries[at]]
            for entry in entries[at + 1 : at + most]:
                if self.place(entry.position)[0] != block or abs(entry.number - base) > 32767:
                    break
                run.append(entry)
            at += len(run)
            out += loose(DirHeader(0, block, base), count=len(run) - 1)
            for entry in run:
                head = DirEntry(self.place(entry.position)[1], entry.number - base, entry.kind, len(entry.name) - 1)
                out += head.pack() + entry.name
        return out

    def directory(
        self,
        name: bytes,
        number: int,
        entries: Sequence[Named] = (),
        *,
        sort: bool = True,
        most: int = 256,
        nlink: int | None = None,
        parent: int = 0,
        extra: int = 3,
        raw: bytes | None = None,
        index: Sequence[bytes] | None = None,
        xattr: int = NO_XATTR,
    ) -> Named:
        """Add a directory, extended when `index` or `xattr` is given; `raw` replaces its listing."""
        listing = self.listing(entries, sort=sort, most=most) if raw is None else raw
        block, offset = self.place(len(self.listings))
        self.listings += listing
        links = 2 + sum(entry.kind == 1 for entry in entries) if nlink is None else nlink
        size = len(listing) + extra
        if index is None and xattr == NO_XATTR and size <= 0xFFFF:
            what = self.inode(1, number, DirInode(block, links, size, offset, parent).pack(), mode=0o755)
        else:
            index = index or ()
            body = LDirInode(links, size, block, parent, len(index), offset, xattr).pack() + b"".join(index)
            what = self.inode(8, number, body, mode=0o755)
        return self.named(name, what)

    def xattrs(self, *sets: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Set the xattr table: each set is (type, name without prefix, what follows it)."""
        for entries in sets:
            start = len(self.xattr_stream)
            block, offset = self.place(start)
            for kind, name, rest in entries:
                self.xattr_stream += XattrEntry(kind, len(name)).pack() + name + rest
            self.xattr_ids.append(XattrId(block << 16 | offset, len(entries), len(self.xattr_stream) - start))

    def _metadata(self, data: bytes, payload: int) -> bytes:
        out = b""
        for at in range(0, len(data), payload):
            piece = data[at : at + payload]
            out += struct.pack("<H", METADATA_RAW | len(piece)) + piece
        return out

    def build(
        self,
        root: Named,
        *,
        pad: int = 4096,
        export: bool = True,
        tables: dict[str, Change] | None = None,
        gap_after_listings: bytes = b"",
        gap_after_ids: bytes = b"",
        **fields: int,
    ) -> bytes:
        """Return the image; keywords replace fields of the superblock, `tables` change a table's bytes by its name."""
        body = (
            bytearray(struct.pack("<H", METADATA_RAW | len(self.settings)) + self.settings if self.settings else b"")
            + self.data
        )
        change = tables or {}

        def add(name: str, data: bytes) -> int:
            at = layout.SUPERBLOCK_SIZE + len(body)
            body.extend(change.get(name, bytes)(data))
            return at

        def lookup(name: str, data: bytes) -> int:
            start = add(name, self._metadata(data, 8192))
            return add(
                name + " list",
                struct.pack(f"<{-(-len(data) // 8192)}Q", *range(start, start + -(-len(data) // 8192) * 8194, 8194)),
            )

        inode_start = add("inodes", self._metadata(bytes(self.inodes), self.payload))
        dir_start = add("listings", self._metadata(bytes(self.listings), self.payload))
        body.extend(gap_after_listings)
        fragment_start = lookup("fragments", b"".join(loose(entry) for entry in self.fragments))
        count = max(self.positions, default=0)
        lookup_start = NO_TABLE
        if export:
            references = [self.place(self.positions.get(number, 0)) for number in range(1, len(self.positions) + 1)]
            lookup_start = lookup("export", b"".join(struct.pack("<Q", block << 16 | offset) for block, offset in references))
            count = len(self.positions)
        id_start = lookup("ids", struct.pack(f"<{len(self.ids)}I", *self.ids))
        body.extend(gap_after_ids)
        xattr_start = NO_TABLE
        if self.xattr_ids:
            stream = add("xattrs", self._metadata(self.xattr_stream, self.payload))
            ids = add("xattr ids", self._metadata(b"".join(entry.pack() for entry in self.xattr_ids), 8192))
            xattr_start = add("xattr table", XattrTable(stream, len(self.xattr_ids), 0).pack() + struct.pack("<Q", ids))
        block, offset = self.place(root.position)
        used = layout.SUPERBLOCK_SIZE + len(body)
        superblock = Superblock(
            layout.MAGIC,
            count,
            0,
            self.block_size,
            len(self.fragments),
            self.compression,
            self.block_size.bit_length() - 1,
            self.flags | (layout.FLAG_COMPRESSOR_OPTIONS if self.settings else 0),
            len(self.ids) & 0xFFFF,
            4,
            0,
            block << 16 | offset,
            used,
            id_start,
            xattr_start,
            inode_start,
            dir_start,
            fragment_start,
            lookup_start,
        )
        image = loose(superblock, **fields) + bytes(body)
        return image + bytes(-len(image) % pad)


def xattr_value(value: bytes) -> bytes:
    """Return what follows a name in the xattr stream: an inline value."""
    return struct.pack("<I", len(value)) + value


def xattr_reference(block: int, offset: int) -> bytes:
    """Return what follows a name in the xattr stream: a reference to a value elsewhere."""
    return struct.pack("<IQ", 8, block << 16 | offset)
