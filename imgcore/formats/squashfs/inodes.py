"""Inodes as bytes: the basic form where it can say everything, else the extended one."""

from __future__ import annotations

import sys
from typing import Final

from imgcore.formats.squashfs.data import FileData
from imgcore.formats.squashfs.layout import (
    BLOCK_DEVICE,
    CHAR_DEVICE,
    DIR,
    EXTENDED,
    FIFO,
    LISTING_EXTRA,
    NO_XATTR,
    REG,
    SOCKET,
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
from imgcore.model import Device, Dir, File, Meta, Node, Pipe, Socket, Symlink

__all__ = ["InodeEncoder", "basic_type"]

_SECOND: Final = 1_000_000_000
_U32: Final = 1 << 32


def basic_type(node: Node) -> int:
    """Return the type that a directory entry says: the basic one, also for an extended inode."""
    if isinstance(node, File):
        return REG
    if isinstance(node, Dir):
        return DIR
    if isinstance(node, Symlink):
        return SYMLINK
    if isinstance(node, Device):
        return CHAR_DEVICE if node.kind == "char" else BLOCK_DEVICE
    if isinstance(node, Pipe):
        return FIFO
    assert isinstance(node, Socket)
    return SOCKET


class InodeEncoder:
    """Encodes inodes and numbers owners and groups as they are first met."""

    def __init__(self) -> None:
        self.ids: dict[int, int] = {}

    def _base(self, kind: int, meta: Meta, number: int) -> bytes:
        uid = self.ids.setdefault(meta.uid, len(self.ids))
        gid = self.ids.setdefault(meta.gid, len(self.ids))
        return InodeBase(kind, meta.mode, uid, gid, meta.mtime_ns // _SECOND, number).pack()

    def file(self, node: File, number: int, data: FileData, nlink: int, xattr: int) -> bytes:
        """Return the inode of a regular file."""
        size = node.content.size
        words = (
            data.words.tobytes()
            if data.words.itemsize == 4 and _LITTLE
            else b"".join(w.to_bytes(4, "little") for w in data.words)
        )
        if nlink > 1 or data.sparse or xattr != NO_XATTR or size >= _U32 or data.start_block >= _U32:
            body = LRegInode(data.start_block, size, data.sparse, nlink, data.fragment, data.offset, xattr)
            return self._base(REG + EXTENDED, node.meta, number) + body.pack() + words
        return self._base(REG, node.meta, number) + RegInode(data.start_block, data.fragment, data.offset, size).pack() + words

    def other(self, node: Node, number: int, nlink: int, xattr: int) -> bytes:
        """Return the inode of a symbolic link, device, fifo or socket."""
        kind = basic_type(node)
        extended = xattr != NO_XATTR
        base = self._base(kind + EXTENDED if extended else kind, node.meta, number)
        if isinstance(node, Symlink):
            body = SymlinkInode(nlink, len(node.target)).pack() + node.target
            return base + body + (xattr.to_bytes(4, "little") if extended else b"")
        if isinstance(node, Device):
            rdev = device_number(node.major, node.minor)
            return base + (LDevInode(nlink, rdev, xattr).pack() if extended else DevInode(nlink, rdev).pack())
        return base + (LIpcInode(nlink, xattr).pack() if extended else IpcInode(nlink).pack())

    def directory(
        self, node: Dir, number: int, parent: int, place: tuple[int, int], listing: int, index: list[bytes], xattr: int
    ) -> bytes:
        """Return the inode of a directory whose listing of `listing` bytes begins at `place`, with its index."""
        start, offset = place
        subdirs = sum(isinstance(child, Dir) for child in node.children.values())
        size = listing + LISTING_EXTRA
        if index or xattr != NO_XATTR or size > 0xFFFF:
            body = LDirInode(subdirs + 2, size, start, parent, len(index), offset, xattr)
            return self._base(DIR + EXTENDED, node.meta, number) + body.pack() + b"".join(index)
        return self._base(DIR, node.meta, number) + DirInode(start, subdirs + 2, size, offset, parent).pack()


_LITTLE: Final = sys.byteorder == "little"
