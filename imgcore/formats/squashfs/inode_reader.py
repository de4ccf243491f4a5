"""Inodes from bytes: one value for all fourteen types; what follows the fixed part is read when it is asked for."""

from __future__ import annotations

import struct
from array import array
from typing import Final

from imgcore.errors import Corrupt, context
from imgcore.formats.squashfs.layout import (
    CHAR_DEVICE,
    DIR,
    EXTENDED,
    NO_FRAGMENT,
    NO_XATTR,
    REG,
    SOCKET,
    SYMLINK,
    DevInode,
    DirIndex,
    DirInode,
    InodeBase,
    IpcInode,
    LDevInode,
    LDirInode,
    LIpcInode,
    LRegInode,
    RegInode,
    SymlinkInode,
)
from imgcore.formats.squashfs.metadata import Cursor, MetadataReader
from imgcore.values import value_class

__all__ = ["Inode", "read_index", "read_inode", "read_words"]

_WORDS_AT_ONCE: Final = 2048
MAX_SYMLINK: Final = 65535
"""Longest target that is read; Linux refuses more than a page, unsquashfs more than this."""


@value_class(frozen=False)
class Inode:
    """One inode. `kind` is the type on disk (1 to 14), `basic` the type without the extended form.

    `rest` is where its variable part begins: (metadata block in the image, offset in its payload).
    """

    reference: int
    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    number: int
    nlink: int = 1
    xattr: int = NO_XATTR
    start: int = 0
    size: int = 0
    offset: int = 0
    sparse: int = 0
    fragment: int = NO_FRAGMENT
    parent: int = 0
    index_count: int = 0
    rdev: int = 0
    target: bytes = b""
    place: tuple[int, int] = (0, 0)
    rest: tuple[int, int] = (0, 0)

    @property
    def basic(self) -> int:
        """The type as directory entries say it."""
        return self.kind - EXTENDED if self.kind > SOCKET else self.kind

    def block_count(self, block_size: int) -> int:
        """Return how many size words the inode of a regular file has."""
        whole = self.size // block_size
        return whole if self.fragment != NO_FRAGMENT or self.size % block_size == 0 else whole + 1


def read_inode(reader: MetadataReader, reference: int) -> Inode:
    """Return the inode at `reference` of the inode table. Raises Corrupt."""
    with context(structure=f"inode at reference {reference:#x}"):
        cursor = reader.cursor(reference >> 16, reference & 0xFFFF)
        place = cursor.place
        base = InodeBase.unpack_from(cursor.read(InodeBase.SIZE, "inode"), base=place[0])
        inode = Inode(reference, base.inode_type, base.mode, base.uid, base.guid, base.mtime, base.inode_number, place=place)
        _read_body(inode, cursor)
        inode.rest = cursor.place
        return inode


def _read_body(inode: Inode, cursor: Cursor) -> None:
    """Read what follows the base up to the variable part, symbolic links whole."""
    kind = inode.kind
    if kind == DIR:
        basic_dir = DirInode.unpack_from(cursor.read(DirInode.SIZE, "DirInode"))
        inode.start, inode.nlink, inode.size = basic_dir.start_block, basic_dir.nlink, basic_dir.file_size
        inode.offset, inode.parent = basic_dir.offset, basic_dir.parent_inode
    elif kind == DIR + EXTENDED:
        large = LDirInode.unpack_from(cursor.read(LDirInode.SIZE, "LDirInode"))
        inode.start, inode.nlink, inode.size = large.start_block, large.nlink, large.file_size
        inode.offset, inode.parent = large.offset, large.parent_inode
        inode.index_count, inode.xattr = large.i_count, large.xattr
    elif kind == REG:
        reg = RegInode.unpack_from(cursor.read(RegInode.SIZE, "RegInode"))
        inode.start, inode.size, inode.fragment, inode.offset = reg.start_block, reg.file_size, reg.fragment, reg.offset
    elif kind == REG + EXTENDED:
        file = LRegInode.unpack_from(cursor.read(LRegInode.SIZE, "LRegInode"))
        inode.start, inode.size, inode.fragment, inode.offset = file.start_block, file.file_size, file.fragment, file.offset
        inode.sparse, inode.nlink, inode.xattr = file.sparse, file.nlink, file.xattr
        if inode.size >> 63:
            raise Corrupt(
                "negative file size", structure="LRegInode", field="file_size", found=inode.size, allowed="below 2^63"
            )
    elif kind in (SYMLINK, SYMLINK + EXTENDED):
        _read_symlink(inode, cursor)
    elif kind <= CHAR_DEVICE:
        device = DevInode.unpack_from(cursor.read(DevInode.SIZE, "DevInode"))
        inode.nlink, inode.rdev = device.nlink, device.rdev
    elif SOCKET < kind <= CHAR_DEVICE + EXTENDED:
        extended = LDevInode.unpack_from(cursor.read(LDevInode.SIZE, "LDevInode"))
        inode.nlink, inode.rdev, inode.xattr = extended.nlink, extended.rdev, extended.xattr
    elif kind <= SOCKET:
        inode.nlink = IpcInode.unpack_from(cursor.read(IpcInode.SIZE, "IpcInode")).nlink
    else:
        ipc = LIpcInode.unpack_from(cursor.read(LIpcInode.SIZE, "LIpcInode"))
        inode.nlink, inode.xattr = ipc.nlink, ipc.xattr


def _read_symlink(inode: Inode, cursor: Cursor) -> None:
    head = SymlinkInode.unpack_from(cursor.read(SymlinkInode.SIZE, "SymlinkInode"))
    if head.symlink_size > MAX_SYMLINK:
        raise Corrupt(
            "impossible length of a link target",
            structure="SymlinkInode",
            field="symlink_size",
            found=head.symlink_size,
            allowed=f"at most {MAX_SYMLINK}",
        )
    inode.nlink = head.nlink
    inode.target = cursor.read(head.symlink_size, "link target")
    if inode.kind == SYMLINK + EXTENDED:
        (inode.xattr,) = struct.unpack("<I", cursor.read(4, "xattr index"))


def _at(reader: MetadataReader, place: tuple[int, int]) -> Cursor:
    return Cursor(reader, place[0], place[1])


def read_words(reader: MetadataReader, inode: Inode, count: int) -> array[int]:
    """Return the `count` size words of a regular file's inode; an impossible count meets the table's end first."""
    words = array("I")
    if not count:
        return words
    cursor = _at(reader, inode.rest)
    while count:
        step = min(count, _WORDS_AT_ONCE)
        words.extend(struct.unpack(f"<{step}I", cursor.read(4 * step, "size words")))
        count -= step
    return words


def read_index(reader: MetadataReader, inode: Inode) -> list[tuple[DirIndex, bytes]]:
    """Return the index entries of an extended directory inode, each with its name."""
    if not inode.index_count:
        return []
    cursor = _at(reader, inode.rest)
    entries = []
    for _ in range(inode.index_count):
        entry = DirIndex.unpack_from(cursor.read(DirIndex.SIZE, "DirIndex"), base=cursor.place[0])
        if entry.size >= 256:
            raise Corrupt(
                "impossible name length in a directory index",
                structure="DirIndex",
                field="size",
                found=entry.size,
                allowed="0 to 255",
            )
        entries.append((entry, cursor.read(entry.size + 1, "index name")))
    return entries
