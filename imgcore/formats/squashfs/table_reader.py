"""A whole image as columns: both metadata tables are decoded at once, then inodes and listings are read from memory.

This is the fast way for whoever wants all of an image. It knows only what a sound image has: at anything else it gives up
(`None`), and the caller goes by nodes (`reader`), which say what is wrong and where, or read it all the same. The
structures are the records of `layout`, several of them at once.
"""

from __future__ import annotations

import stat
import struct
import sys
from array import array
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob
from imgcore.engine.stored import StoredFiles
from imgcore.errors import Corrupt
from imgcore.formats.squashfs.content import FileContent
from imgcore.formats.squashfs.inode_reader import MAX_SYMLINK, Inode, read_inode
from imgcore.formats.squashfs.layout import (
    DIR,
    EXTENDED,
    LISTING_EXTRA,
    MAX_DIR_COUNT,
    MAX_NAME,
    METADATA_SIZE,
    NO_FRAGMENT,
    NO_XATTR,
    REG,
    SYMLINK,
    DirEntry,
    DirHeader,
    DirInode,
    FragmentEntry,
    InodeBase,
    LRegInode,
    RegInode,
    SymlinkInode,
    split_device,
)
from imgcore.formats.squashfs.metadata import MetadataReader
from imgcore.model import NO_XATTRS, Shape, Table
from imgcore.wire import chain

if TYPE_CHECKING:
    from imgcore.formats.squashfs.reader import SquashfsImage

__all__ = ["read_table"]

_SECOND: Final = 1_000_000_000
_BASE: Final = chain(InodeBase)
_REG: Final = chain(InodeBase, RegInode)
_LREG: Final = chain(InodeBase, LRegInode)
_DIR: Final = chain(InodeBase, DirInode)
_LINK: Final = chain(InodeBase, SymlinkInode)
_HEADER: Final = chain(DirHeader)
_ENTRY: Final = chain(DirEntry)
_FRAGMENT: Final = chain(FragmentEntry)
_KINDS: Final = (0, stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK, stat.S_IFBLK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK)


class _Unusual(Exception):
    """The image has something that only the way by nodes knows."""


def read_table(image: SquashfsImage) -> Table | None:
    """Return the columns of an image's tree; None where it has to be read by nodes. Raises LimitExceeded."""
    try:
        return _Reading(image).table()
    except (_Unusual, Corrupt, struct.error, KeyError, IndexError):
        return None


class _Stream:
    """A metadata table, decoded as a whole: `data`, and where in it each block begins and ends, by its place on disk."""

    def __init__(self, reader: MetadataReader) -> None:
        parts, self.starts, self.ends = [], {}, {}
        position, length = reader.start, 0
        while position < reader.end:
            payload, after = reader.block(position)
            block = position - reader.start
            self.starts[block] = length
            length += len(payload)
            self.ends[block] = length
            parts.append(payload)
            if len(payload) < METADATA_SIZE:
                break  # the last one
            position = after
        self.data = b"".join(parts)

    def place(self, block: int, offset: int) -> int:
        """Return where in `data` a reference points to."""
        at = self.starts[block] + offset
        if at >= self.ends[block]:
            raise _Unusual
        return at


class _Contents(Mapping[int, Blob]):
    """The contents by row, made when they are asked for."""

    def __init__(self, image: SquashfsImage, references: Mapping[int, int]) -> None:
        self._image, self._references = image, references

    def __getitem__(self, row: int) -> Blob:
        return FileContent(self._image, read_inode(self._image.inodes, self._references[row]))

    def __iter__(self) -> Iterator[int]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)


class _Reading:
    """One reading of an image."""

    def __init__(self, image: SquashfsImage) -> None:
        self.image = image
        self.limits = image.limits
        self.inodes = _Stream(image.inodes)
        self.listings = _Stream(image.listings)
        self.names: list[bytes] = [b""]
        self.dirs, self.children = array("I"), array("I")
        self.rows: list[tuple[int, ...]] = []  # (mode, uid, gid, mtime, size, position, words_at, fragment, offset)
        self.words = bytearray()
        self.targets: dict[int, bytes] = {}
        self.devices: dict[int, tuple[int, int]] = {}
        self.xattrs: dict[int, Mapping[bytes, bytes]] = {}
        self.sets: dict[int, Mapping[bytes, bytes]] = {NO_XATTR: NO_XATTRS}
        self.links: dict[int, int] = {}
        self.first: dict[int, int] = {}
        self.listing: dict[int, tuple[int, int, int]] = {}  # of directories, by row: start, offset, size
        self.references: dict[int, int] = {}

    def table(self) -> Table:
        """Read everything."""
        self._read_inode(0, self.image.superblock.root_inode)
        if 0 not in self.listing:
            raise _Unusual
        self._read_directories()
        return self._columns()

    # Directories

    def _read_directories(self) -> None:
        """Read the listings in walk order, and the inodes of all that is in them."""
        limits = self.limits
        stack = [(0, 1, 0, 1)]  # from row, to row, bytes of the directory's path, its depth
        while stack:
            row, end, above, depth = stack.pop()
            while row < end and row not in self.listing:
                row += 1
            if row == end:
                continue
            if row + 1 < end:
                stack.append((row + 1, end, above, depth))
            path = above + len(self.names[row]) + 1
            begin = len(self.names)
            references = self._read_names(*self.listing[row])
            limits.require("max_entries", len(self.names))
            longest = path + max(map(len, self.names[begin:]), default=0)
            if longest > limits.max_path or depth > limits.max_depth:
                raise _Unusual
            for child, reference in enumerate(references, begin):
                self._read_inode(child, reference)
            self.dirs.append(row)
            self.children.append(len(references))
            stack.append((begin, len(self.names), path, depth + 1))

    def _read_names(self, start: int, offset: int, size: int) -> list[int]:
        """Add the names of one directory, sorted; return the references of their inodes."""
        size -= LISTING_EXTRA
        if size <= 0:
            return []
        data, names, references = self.listings.data, [], []
        at = self.listings.place(start, offset)
        end = at + size
        header, entry, header_size, entry_size = _HEADER.unpack_from, _ENTRY.unpack_from, DirHeader.SIZE, DirEntry.SIZE
        while at < end:
            count, block, _ = header(data, at)
            at += header_size
            if count >= MAX_DIR_COUNT:
                raise _Unusual
            block <<= 16
            for _ in range(count + 1):
                place, _, _, length = entry(data, at)
                at += entry_size
                after = at + length + 1
                names.append(data[at:after])
                references.append(block | place)
                at = after
                if length >= MAX_NAME:
                    raise _Unusual
        if at != end or at > len(data):
            raise _Unusual
        return self._add_names(names, references)

    def _add_names(self, names: list[bytes], references: list[int]) -> list[int]:
        joined = b"/".join(names)
        if joined.count(b"/") != len(names) - 1 or b"\0" in joined:
            raise _Unusual
        ordered = sorted(names)
        if ordered != names:
            pairs = sorted(zip(names, references, strict=True))
            references = [reference for _, reference in pairs]
        distinct = set(ordered)
        if len(distinct) != len(names) or not distinct.isdisjoint((b"", b".", b"..")):
            raise _Unusual
        self.names += ordered
        return references

    # Inodes

    def _read_inode(self, row: int, reference: int) -> None:
        """Add the row of one inode."""
        first = self.first.setdefault(reference, row)
        if first != row:
            if first in self.listing:
                raise _Unusual  # a directory with two names
            self.links[row] = first
            self.rows.append(self.rows[first])
            if first in self.targets:
                self.targets[row] = self.targets[first]
            if first in self.devices:
                self.devices[row] = self.devices[first]
            if first in self.xattrs:
                self.xattrs[row] = self.xattrs[first]
            if first in self.references:
                self.references[row] = reference
            return
        data = self.inodes.data
        at = self.inodes.place(reference >> 16, reference & 0xFFFF)
        kind = data[at]
        if kind == REG and not data[at + 1]:
            _, mode, uid, gid, mtime, _, start, fragment, offset, size = _REG.unpack_from(data, at)
            self.references[row] = reference
            self._add_file(mode, uid, gid, mtime, size, start, fragment, offset, at + _REG.size)
        elif kind == DIR and not data[at + 1]:
            _, mode, uid, gid, mtime, _, start, _, size, offset, _ = _DIR.unpack_from(data, at)
            self.listing[row] = start, offset, size
            self.rows.append((stat.S_IFDIR | (mode & 0o7777), uid, gid, mtime, 0, 0, 0, NO_FRAGMENT, 0))
        elif kind == SYMLINK and not data[at + 1]:
            _, mode, uid, gid, mtime, _, _, length = _LINK.unpack_from(data, at)
            begin = at + _LINK.size
            if length > MAX_SYMLINK or begin + length > len(data):
                raise _Unusual
            self.targets[row] = data[begin : begin + length]
            self.rows.append((stat.S_IFLNK | (mode & 0o7777), uid, gid, mtime, 0, 0, 0, NO_FRAGMENT, 0))
        elif kind == REG + EXTENDED and not data[at + 1]:
            _, mode, uid, gid, mtime, _, start, size, _, _, fragment, offset, xattr = _LREG.unpack_from(data, at)
            self.references[row] = reference
            self._add_xattrs(row, xattr)
            self._add_file(mode, uid, gid, mtime, size, start, fragment, offset, at + _LREG.size)
        else:
            self._add_other(row, read_inode(self.image.inodes, reference))

    def _add_file(
        self, mode: int, uid: int, gid: int, mtime: int, size: int, start: int, fragment: int, offset: int, at: int
    ) -> None:
        blocks, rest = divmod(size, self.image.superblock.block_size)
        if fragment == NO_FRAGMENT and rest:
            blocks += 1
        words_at = len(self.words) >> 2
        if blocks:
            end = at + 4 * blocks
            if end > len(self.inodes.data) or size >> 63:
                raise _Unusual
            self.words += self.inodes.data[at:end]
        self.rows.append((stat.S_IFREG | (mode & 0o7777), uid, gid, mtime, size, start, words_at, fragment, offset))

    def _add_other(self, row: int, inode: Inode) -> None:
        basic = inode.basic
        if basic == DIR:
            self.listing[row] = inode.start, inode.offset, inode.size
        elif basic == SYMLINK:
            self.targets[row] = inode.target
        else:
            self.devices[row] = split_device(inode.rdev)
        self._add_xattrs(row, inode.xattr)
        mode = _KINDS[basic] | (inode.mode & 0o7777)
        self.rows.append((mode, inode.uid, inode.gid, inode.mtime, 0, 0, 0, NO_FRAGMENT, 0))

    def _add_xattrs(self, row: int, number: int) -> None:
        found = self.sets.get(number)
        if found is None:
            found = self.sets[number] = self.image.xattrs(number)
        if found:
            self.xattrs[row] = found

    # Columns

    def _columns(self) -> Table:
        modes, uids, gids, mtimes, sizes, positions, words_at, fragments, offsets = zip(*self.rows, strict=True)
        self.rows.clear()
        ids = self.image.ids()
        file_sizes = array("Q", sizes)
        stored = self._stored(positions, words_at, fragments, offsets)
        return Table(
            shape=Shape(self.names, self.dirs, self.children),
            modes=array("I", modes),
            uids=array("q", map(ids.__getitem__, uids)),
            gids=array("q", map(ids.__getitem__, gids)),
            mtimes=array("q", [mtime * _SECOND for mtime in mtimes]),
            sizes=file_sizes,
            targets=self.targets,
            devices=self.devices,
            xattrs=self.xattrs,
            links=self.links,
            contents=_Contents(self.image, self.references),
            stored=stored,
        )

    def _stored(
        self, positions: tuple[int, ...], words_at: tuple[int, ...], fragments: tuple[int, ...], offsets: tuple[int, ...]
    ) -> StoredFiles:
        image = self.image
        words = array("I")
        words.frombytes(self.words)
        if sys.byteorder == "big":
            words.byteswap()
        places, sizes = self._fragments()
        return StoredFiles(
            image.blob,
            image.superblock.bytes_used,
            image.superblock.block_size,
            image.codec,
            array("Q", positions),
            array("Q", words_at),
            words,
            array("I", fragments),
            array("I", offsets),
            array("Q", places),
            array("I", sizes),
        )

    def _fragments(self) -> tuple[list[int], list[int]]:
        """Return the place and the size word of each fragment."""
        image, sb = self.image, self.image.superblock
        if not sb.fragments:
            return [], []
        per_block = METADATA_SIZE // FragmentEntry.SIZE
        positions = image.table_index(sb.fragment_table_start, sb.fragments, per_block, "fragment table")
        reader = image.table_reader(sb.fragment_table_start, "fragment table")
        raw = b"".join(reader.block(position)[0] for position in positions)
        if len(raw) < sb.fragments * FragmentEntry.SIZE or any(
            len(reader.block(position)[0]) != METADATA_SIZE for position in positions[:-1]
        ):
            raise _Unusual
        entries = list(_FRAGMENT.iter_unpack(raw[: sb.fragments * FragmentEntry.SIZE]))
        return [entry[0] for entry in entries], [entry[1] for entry in entries]
