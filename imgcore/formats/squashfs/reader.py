"""Reads squashfs images: lazily, with random access, shared by threads.

Opening reads the superblock only. A directory's listing is read when its children are first looked at, a child's inode
when that child is; content is decoded block by block. Nodes are kept, so that two names of one inode are one node.

What Linux would refuse but can still be read without doubt (a gap between tables, an unsorted listing, a missing export
table) is read; `check` reports it. Everything else raises Corrupt with the place.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from imgcore.blob import Blob
from imgcore.blob.cache import BlockCache
from imgcore.codec import get_decoder
from imgcore.errors import Corrupt, NotThisFormat, PathError, Unsupported, context
from imgcore.events import Control
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.content import FileContent
from imgcore.formats.squashfs.dir_reader import bad_name, read_listing
from imgcore.formats.squashfs.inode_reader import Inode, read_inode
from imgcore.formats.squashfs.layout import FragmentEntry, Superblock, XattrId, XattrTable
from imgcore.formats.squashfs.metadata import MetadataReader, OnStored
from imgcore.formats.squashfs.xattrs import read_set
from imgcore.limits import Limits
from imgcore.model import NO_XATTRS, Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Table, Tree, join

__all__ = ["SquashfsImage", "open_image"]

_BLOCK_CACHE: Final = 32 << 20
_METADATA_CACHE: Final = 16 << 20
_SWAPPED_MAGIC: Final = 0x68737173
_SECOND: Final = 1_000_000_000


def open_image(blob: Blob, limits: Limits | None = None) -> SquashfsImage:
    """Return the image in `blob`. Raises NotThisFormat, Corrupt, Unsupported (a codec that is not installed)."""
    return SquashfsImage(blob, limits or Limits.default())


def read_superblock(blob: Blob) -> Superblock:
    """Return the superblock; raises NotThisFormat for another magic or version, Corrupt for impossible numbers."""
    raw = blob.read_at(0, Superblock.SIZE)
    magic = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or magic != layout.MAGIC:
        if magic == _SWAPPED_MAGIC:
            raise NotThisFormat(
                "big-endian or streamed squashfs, which Linux does not mount", structure="Superblock", field="s_magic"
            )
        raise NotThisFormat("not a squashfs image", structure="Superblock", field="s_magic", found=raw[:4].hex() or "nothing")
    if len(raw) >= 32 and struct.unpack_from("<HH", raw, 28) != (4, 0):
        major, minor = struct.unpack_from("<HH", raw, 28)
        raise Unsupported(
            "squashfs of another version", structure="Superblock", field="s_major", found=f"{major}.{minor}", allowed="4.0"
        )
    return Superblock.unpack_from(raw)


class SquashfsImage(BlobImage):
    """An open squashfs image; see `formats.base.Image`. `on_stored` is told of each compressed block that is decoded."""

    def __init__(self, blob: Blob, limits: Limits, on_stored: OnStored | None = None) -> None:
        self.blob = blob
        self.limits = limits
        self.on_stored = on_stored
        self.superblock = read_superblock(blob)
        self._require_whole()
        compression = layout.COMPRESSIONS[self.superblock.compression]
        self.codec = "zlib" if compression == "gzip" else compression
        self.decoder = get_decoder(self.codec)
        self.blocks = BlockCache(_BLOCK_CACHE)
        self._metadata_cache = BlockCache(_METADATA_CACHE)
        sb = self.superblock
        self.inodes = self._reader(sb.inode_table_start, sb.directory_table_start, "inode table")
        self.listings = self._reader(sb.directory_table_start, self._end_of_listings(), "directory table")
        self._ids: tuple[int, ...] | None = None
        self._xattr_head: XattrTable | None = None
        self._nodes: dict[int, Node] = {}
        self._dirs: dict[int, bytes] = {}
        self._entries = 0
        self._lock = threading.RLock()
        self._root: Dir | None = None
        self._tables: dict[tuple[int, str], MetadataReader] = {}

    def _require_whole(self) -> None:
        sb = self.superblock
        if sb.bytes_used > self.blob.size or sb.bytes_used < Superblock.SIZE:
            raise Corrupt(
                "image is cut" if sb.bytes_used > self.blob.size else "impossible size of the image",
                offset=40,
                structure="Superblock",
                field="bytes_used",
                found=f"{sb.bytes_used} bytes" if sb.bytes_used < Superblock.SIZE else f"{self.blob.size} bytes in the file",
                allowed=f"at least {sb.bytes_used if sb.bytes_used > self.blob.size else Superblock.SIZE}",
                hint="the file is shorter than the image in it: a download or copy that stopped?"
                if sb.bytes_used > self.blob.size
                else None,
            )
        if sb.block_size != 1 << sb.block_log:
            raise Corrupt(
                "block_log does not fit block_size", offset=22, structure="Superblock", field="block_log", found=sb.block_log
            )
        for name in ("inode_table_start", "directory_table_start", "id_table_start"):
            at = getattr(sb, name)
            if not Superblock.SIZE <= at <= sb.bytes_used:
                raise Corrupt(
                    f"{name} outside of the image",
                    structure="Superblock",
                    field=name,
                    found=f"{at:#x}",
                    allowed=f"below {sb.bytes_used:#x}",
                )
        if sb.inode_table_start >= sb.directory_table_start:
            raise Corrupt("inode table behind the directory table", structure="Superblock", field="inode_table_start")

    def _end_of_listings(self) -> int:
        """Return a position that the directory table does not reach beyond: the next table's index, at the latest."""
        sb = self.superblock
        ends = (sb.fragment_table_start, sb.lookup_table_start, sb.id_table_start)
        return min((at for at in ends if sb.directory_table_start <= at <= sb.bytes_used), default=sb.bytes_used)

    def _reader(self, start: int, end: int, name: str) -> MetadataReader:
        return MetadataReader(self.blob, start, end, name, self.decoder, self._metadata_cache, self.limits, self.on_stored)

    @property
    def tree(self) -> Tree:
        """The tree in the image."""
        with self._lock:
            if self._root is None:
                inode = read_inode(self.inodes, self.superblock.root_inode)
                if inode.basic != layout.DIR:
                    raise Corrupt(
                        "root is not a directory", structure="Superblock", field="root_inode", found=f"type {inode.kind}"
                    )
                self._root = self._directory(inode, b"/")
            return Tree(self._root, self.limits, time_step_ns=_SECOND, load=self._load_table)

    def _load_table(self) -> Table | None:
        """Return the columns of the tree, None where it has to be read by nodes."""
        from imgcore.formats.squashfs.table_reader import read_table

        return read_table(self)

    def info(self) -> dict[str, object]:
        """Return the superblock as plain values."""
        from imgcore.formats.squashfs.describe import describe_image

        return describe_image(self)

    def layout(self) -> Iterator[LayoutItem]:
        """Yield what every byte outside of the data blocks is."""
        from imgcore.formats.squashfs.describe import describe_layout

        return describe_layout(self)

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the rules of Linux and of the format."""
        from imgcore.formats.squashfs.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())

    # Tables

    def table_index(self, start: int, count: int, per_block: int, name: str) -> tuple[int, ...]:
        """Return the positions of the metadata blocks of a lookup table of `count` items. Raises Corrupt."""
        blocks = -(-count // per_block)
        if not layout.SUPERBLOCK_SIZE <= start <= self.superblock.bytes_used - 8 * blocks:
            raise Corrupt(
                f"{name} outside of the image",
                offset=start,
                structure=name,
                found=f"{8 * blocks} bytes at {start:#x}",
                allowed=f"up to {self.superblock.bytes_used:#x}",
            )
        self.limits.require("max_metadata", 8 * blocks)
        return struct.unpack(f"<{blocks}Q", self.blob.read_at(start, 8 * blocks))

    def table_reader(self, start: int, name: str) -> MetadataReader:
        """Return the reader of the blocks of a lookup table, which lie before its index at `start`."""
        reader = self._tables.get((start, name))
        if reader is None:
            reader = self._tables.setdefault((start, name), self._reader(layout.SUPERBLOCK_SIZE, start, name))
        return reader

    def table_item(self, start: int, number: int, count: int, size: int, name: str) -> bytes:
        """Return item `number` of a lookup table with items of `size` bytes. Raises Corrupt."""
        if not 0 <= number < count:
            raise Corrupt(f"index outside of the {name}", structure=name, found=number, allowed=f"below {count}")
        per_block = layout.METADATA_SIZE // size
        at = start + 8 * (number // per_block)
        if not layout.SUPERBLOCK_SIZE <= at <= self.superblock.bytes_used - 8:
            raise Corrupt(f"{name} outside of the image", offset=at, structure=name)
        (position,) = struct.unpack("<Q", self.blob.read_at(at, 8))
        payload, _ = self.table_reader(start, name).block(position)
        offset = number % per_block * size
        if offset + size > len(payload):
            raise Corrupt(
                f"{name} is shorter than its count says",
                offset=position,
                structure=name,
                found=len(payload),
                allowed=offset + size,
            )
        return payload[offset : offset + size]

    def ids(self) -> tuple[int, ...]:
        """Return the table of owners and groups."""
        if self._ids is None:
            sb = self.superblock
            positions = self.table_index(sb.id_table_start, sb.no_ids, layout.METADATA_SIZE // 4, "id table")
            reader = self._reader(layout.SUPERBLOCK_SIZE, sb.id_table_start, "id table")
            raw = b"".join(reader.block(position)[0] for position in positions)
            count = min(sb.no_ids, len(raw) // 4)  # of a short table Linux reads what is there
            self._ids = struct.unpack_from(f"<{count}I", raw)
        return self._ids

    def owner(self, index: int) -> int:
        """Return the id at `index` of the id table. Raises Corrupt."""
        ids = self.ids()
        if index >= len(ids):
            raise Corrupt(
                "owner outside of the id table", structure="InodeBase", field="uid", found=index, allowed=f"below {len(ids)}"
            )
        return ids[index]

    def fragment(self, number: int) -> FragmentEntry:
        """Return an entry of the fragment table. Raises Corrupt."""
        sb = self.superblock
        raw = self.table_item(sb.fragment_table_start, number, sb.fragments, FragmentEntry.SIZE, "fragment table")
        return FragmentEntry.unpack_from(raw)

    def xattr_head(self) -> XattrTable | None:
        """Return the head of the xattr table, None when there is none. Raises Corrupt."""
        sb = self.superblock
        if sb.xattr_id_table_start == layout.NO_TABLE:
            return None
        if self._xattr_head is None:
            if not Superblock.SIZE <= sb.xattr_id_table_start <= sb.bytes_used - XattrTable.SIZE:
                raise Corrupt("xattr table outside of the image", structure="Superblock", field="xattr_id_table_start")
            raw = self.blob.read_at(sb.xattr_id_table_start, XattrTable.SIZE)
            self._xattr_head = XattrTable.unpack_from(raw, base=sb.xattr_id_table_start)
        return self._xattr_head

    def xattr_id(self, number: int) -> XattrId:
        """Return an entry of the table of xattr sets. Raises Corrupt."""
        head = self.xattr_head()
        if head is None:
            raise Corrupt("xattrs in an image without xattr table", field="xattr", found=number, allowed="none")
        start = self.superblock.xattr_id_table_start + XattrTable.SIZE
        return XattrId.unpack_from(self.table_item(start, number, head.xattr_ids, XattrId.SIZE, "xattr id table"))

    def xattrs(self, number: int) -> Mapping[bytes, bytes]:
        """Return the extended attributes of set `number`. Raises Corrupt."""
        if number == layout.NO_XATTR:
            return NO_XATTRS
        entry = self.xattr_id(number)
        head = self.xattr_head()
        assert head is not None
        reader = self._reader(head.xattr_table_start, self.superblock.xattr_id_table_start, "xattr table")
        with context(offset=head.xattr_table_start, structure=f"xattr set {number}"):
            return read_set(reader, entry, self.limits)

    # Nodes

    def _meta(self, inode: Inode) -> Meta:
        return Meta(
            inode.mode & 0o7777,
            self.owner(inode.uid),
            self.owner(inode.gid),
            inode.mtime * _SECOND,
            self.xattrs(inode.xattr),
        )

    def node(self, reference: int, path: bytes) -> Node:
        """Return the node of the inode at `reference`."""
        with self._lock:
            known = self._nodes.get(reference)
            if known is not None:
                return known
            inode = read_inode(self.inodes, reference)
            if inode.basic == layout.DIR:
                return self._directory(inode, path)
            node = self._nodes[reference] = self._leaf(inode)
            return node

    def _leaf(self, inode: Inode) -> Node:
        meta, kind = self._meta(inode), inode.basic
        if kind == layout.REG:
            return File(meta, FileContent(self, inode))
        if kind == layout.SYMLINK:
            return Symlink(meta, inode.target)
        if kind == layout.FIFO:
            return Pipe(meta)
        if kind == layout.SOCKET:
            return Socket(meta)
        major, minor = layout.split_device(inode.rdev)
        return Device(meta, "char" if kind == layout.CHAR_DEVICE else "block", major, minor)

    def _directory(self, inode: Inode, path: bytes) -> Dir:
        first = self._dirs.setdefault(inode.reference, path)
        if first != path:
            raise Corrupt("directory with two names, or inside itself", path=path, found=f"also at {first!r}")
        return Dir(self._meta(inode), _Children(self, inode, path))

    def names(self, inode: Inode, path: bytes) -> dict[bytes, int]:
        """Return the names of a directory and their inode references. Raises Corrupt, LimitExceeded."""
        found: dict[bytes, int] = {}
        with context(path=path, structure="listing"):
            for item in read_listing(self.listings, inode):
                if bad_name(item.name):
                    raise Corrupt("impossible name", offset=item.block, structure="DirEntry", field="name", found=item.name)
                if item.name in found:
                    raise Corrupt(
                        "name twice in one directory", offset=item.block, structure="DirEntry", field="name", found=item.name
                    )
                found[item.name] = item.reference
                self._entries += 1
                self.limits.require("max_entries", self._entries)
        return found

    def directory_size(self, path: bytes) -> int:
        """Return the size that Linux shows of the directory at `path`: the bytes of its listing, and 3. Raises PathError."""
        node = self.tree.lookup(path)
        if not isinstance(node, Dir) or not isinstance(node.children, _Children):
            raise PathError("not a directory", path=path)
        return node.children.size


class _Children(Mapping[bytes, Node]):
    """The children of a directory of an image, read when they are first looked at."""

    __slots__ = ("_image", "_inode", "_names", "_nodes", "_path")

    def __init__(self, image: SquashfsImage, inode: Inode, path: bytes) -> None:
        self._image, self._inode, self._path = image, inode, path
        self._names: dict[bytes, int] | None = None
        self._nodes: dict[bytes, Node] = {}

    @property
    def size(self) -> int:
        """The directory's size as its inode says it."""
        return self._inode.size

    def _load(self) -> dict[bytes, int]:
        names = self._names
        if names is None:
            with self._image._lock:
                if self._names is None:
                    self._names = self._image.names(self._inode, self._path)
                names = self._names
        return names

    def __getitem__(self, name: bytes) -> Node:
        node = self._nodes.get(name)
        if node is None:
            reference = self._load()[name]
            path = join(self._path, name)
            with self._image._lock:
                node = self._nodes.get(name)
                if node is None:
                    with context(path=path):
                        node = self._image.node(reference, path)
                    self._nodes[name] = node
        return node

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
