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
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob
from imgcore.engine.stored import StoredFiles
from imgcore.errors import Corrupt
from imgcore.formats.squashfs.content import FileContent
from imgcore.formats.squashfs.inode_reader import MAX_SYMLINK, read_inode
from imgcore.formats.squashfs.layout import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
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

    def __init__(self, image: SquashfsImage, modes: Sequence[int], references: Sequence[int]) -> None:
        self._image, self._modes, self._references = image, modes, references

    def __getitem__(self, row: int) -> Blob:
        if self._modes[row] & 0o170000 != stat.S_IFREG:
            raise KeyError(row)
        return FileContent(self._image, read_inode(self._image.inodes, self._references[row]))

    def __iter__(self) -> Iterator[int]:
        return (row for row, mode in enumerate(self._modes) if mode & 0o170000 == stat.S_IFREG)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Reading:
    """One reading of an image.

    An inode of several names is read for each of them, all the same; but what may be long (size words, link targets) is
    taken over once, so that no image makes much of little.
    """

    def __init__(self, image: SquashfsImage) -> None:
        self.image = image
        self.limits = image.limits
        self.inodes = _Stream(image.inodes)
        self.listings = _Stream(image.listings)
        self.names: list[bytes] = [b""]
        self.dirs, self.children = array("I"), array("I")
        self.references = array("Q")
        self.rows: list[tuple[int, ...]] = []  # of InodeBase and RegInode; other inodes are put into that form
        self.words_at: list[int] = []
        self.words = bytearray()
        self.words_of: dict[int, int] = {}  # by reference
        self.target_of: dict[int, bytes] = {}
        self.targets: dict[int, bytes] = {}
        self.devices: dict[int, tuple[int, int]] = {}
        self.xattrs: dict[int, Mapping[bytes, bytes]] = {}
        self.sets: dict[int, Mapping[bytes, bytes]] = {NO_XATTR: NO_XATTRS}
        self.listing: dict[int, tuple[int, int, int]] = {}  # of directories, by row: start, offset, size
        self.directories: set[int] = set()  # their references

    def table(self) -> Table:
        """Read everything."""
        self._read_inodes([self.image.superblock.root_inode])
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
            self._read_inodes(references)
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

    def _read_inodes(self, references: list[int]) -> None:
        """Add a row for each of these inodes."""
        data, starts, ends = self.inodes.data, self.inodes.starts, self.inodes.ends
        block_size = self.image.superblock.block_size
        add, add_words_at, unpack_file = self.rows.append, self.words_at.append, _REG.unpack_from
        self.references.extend(references)
        for reference in references:
            block = reference >> 16
            at = starts[block] + (reference & 0xFFFF)
            if at >= ends[block]:
                raise _Unusual
            if data[at] == REG:
                values = unpack_file(data, at)
                add(values)
                if values[0] != REG:
                    raise _Unusual
                # A file shorter than a block, whose tail is in a fragment, or an empty one has no size words.
                if values[9] < block_size and (values[7] != NO_FRAGMENT or not values[9]):
                    add_words_at(0)
                else:
                    self._add_words(reference, values[9], values[7], at + _REG.size)
            else:
                self._read_other(reference, at)

    def _read_other(self, reference: int, at: int) -> None:
        """Add the row of an inode that is none of a file in the basic form."""
        data, row = self.inodes.data, len(self.rows)
        kind = data[at] | data[at + 1] << 8
        if kind == DIR:
            _, mode, uid, gid, mtime, number, start, _, size, offset, _ = _DIR.unpack_from(data, at)
            self._add_directory(reference, start, offset, size)
        elif kind == REG + EXTENDED:
            _, mode, uid, gid, mtime, number, start, size, _, _, fragment, offset, xattr = _LREG.unpack_from(data, at)
            self._add_xattrs(row, xattr)
            self._add_words(reference, size, fragment, at + _LREG.size)
            self.rows.append((REG, mode, uid, gid, mtime, number, start, fragment, offset, size))
            return
        elif kind == SYMLINK:
            _, mode, uid, gid, mtime, number, _, length = _LINK.unpack_from(data, at)
            begin = at + _LINK.size
            if length > MAX_SYMLINK or begin + length > len(data):
                raise _Unusual
            self.targets[row] = self.target_of.setdefault(reference, data[begin : begin + length])
        else:
            inode = read_inode(self.image.inodes, reference)
            kind, mode, uid, gid, mtime = inode.basic, inode.mode, inode.uid, inode.gid, inode.mtime
            number = inode.number
            self._add_xattrs(row, inode.xattr)
            if kind == DIR:
                self._add_directory(reference, inode.start, inode.offset, inode.size)
            elif kind == SYMLINK:
                self.targets[row] = self.target_of.setdefault(reference, inode.target)
            elif kind in (BLOCK_DEVICE, CHAR_DEVICE):
                self.devices[row] = split_device(inode.rdev)
        self.words_at.append(0)
        self.rows.append((kind, mode, uid, gid, mtime, number, 0, NO_FRAGMENT, 0, 0))

    def _add_directory(self, reference: int, start: int, offset: int, size: int) -> None:
        if reference in self.directories:
            raise _Unusual  # it has two names, or is inside itself
        self.directories.add(reference)
        self.listing[len(self.rows)] = start, offset, size

    def _add_words(self, reference: int, size: int, fragment: int, at: int) -> None:
        """Take over the size words of a file, which begin at `at`."""
        known = self.words_of.get(reference)
        if known is None:
            known = self.words_of[reference] = len(self.words) >> 2
            blocks, rest = divmod(size, self.image.superblock.block_size)
            end = at + 4 * (blocks + 1 if rest and fragment == NO_FRAGMENT else blocks)
            if end > len(self.inodes.data) or size >> 63:
                raise _Unusual
            self.words += self.inodes.data[at:end]
        self.words_at.append(known)

    def _add_xattrs(self, row: int, number: int) -> None:
        found = self.sets.get(number)
        if found is None:
            found = self.sets[number] = self.image.xattrs(number)
        if found:
            self.xattrs[row] = found

    def _links(self) -> dict[int, int]:
        """Return the first row of each inode that has several names, by the rows of the others."""
        if len(set(self.references)) == len(self.references):
            return {}
        first: dict[int, int] = {}
        return {row: seen for row, reference in enumerate(self.references) if (seen := first.setdefault(reference, row)) != row}

    # Columns

    def _columns(self) -> Table:
        kinds, bits, uids, gids, mtimes, _, positions, fragments, offsets, sizes = zip(*self.rows, strict=True)
        self.rows.clear()
        ids = self.image.ids()
        modes = array("I", [_KINDS[kind] | (mode & 0o7777) for kind, mode in zip(kinds, bits, strict=True)])
        return Table(
            shape=Shape(self.names, self.dirs, self.children),
            modes=modes,
            uids=array("q", map(ids.__getitem__, uids)),
            gids=array("q", map(ids.__getitem__, gids)),
            mtimes=array("q", [mtime * _SECOND for mtime in mtimes]),
            sizes=array("Q", sizes),
            targets=self.targets,
            devices=self.devices,
            xattrs=self.xattrs,
            links=self._links(),
            contents=_Contents(self.image, modes, self.references),
            stored=self._stored(positions, self.words_at, fragments, offsets),
        )

    def _stored(
        self, positions: Sequence[int], words_at: Sequence[int], fragments: Sequence[int], offsets: Sequence[int]
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
