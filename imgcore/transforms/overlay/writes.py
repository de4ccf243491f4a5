"""Changes of a merged tree, and the upper layer that Linux would leave of them.

    overlay = Writable([extension, host], now_ns=0)
    overlay.unlink("/usr/bin/tool")
    overlay.upper_tree()                       # has a whiteout

Every call is a system call of root's in a chroot of a mount of these layers, with umask 0 and without following links: it
changes the upper layer as Linux 6.18 does, or raises OverlayError with the errno and the path. As in Linux, a call that fails
may have copied things up before. What no program could ask Linux for (a zero byte in a path) is a ValueError. Not in
`upper_tree`: the attributes `origin` and `uuid`, whose values are handles of files.

`index=on`, where hard links stay together, is not simulated.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from imgcore.blob import EMPTY, Blob
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Node, PathLike, Pipe, Socket, Symlink, Tree
from imgcore.transforms.overlay import acl, attributes
from imgcore.transforms.overlay.arguments import (
    CAPABILITY,
    device_numbers,
    link_target,
    owner,
    placed,
    require_attribute,
    require_one_of,
    taken_apart,
)
from imgcore.transforms.overlay.copyup import Spot, Upper, fail
from imgcore.transforms.overlay.following import followed
from imgcore.transforms.overlay.layers import Layer
from imgcore.transforms.overlay.lookup import MergedDir
from imgcore.transforms.overlay.merged import Merged
from imgcore.transforms.overlay.moves import RENAME_WAYS, RenameHow, redirect, rename
from imgcore.transforms.overlay.options import OverlayOptions, settle
from imgcore.transforms.overlay.spliced import patched, resized
from imgcore.transforms.overlay.walking import Walk

__all__ = ["Writable"]

NodeKind: TypeAlias = Literal["char", "block", "fifo", "socket"]

_KINDS = ("char", "block", "fifo", "socket")
_NUMBERS_OF_A_WHITEOUT = (0, 0)
_LARGEST = (1 << 63) - 1


class Writable:
    """A mount with an upper layer, to be changed.

    `now_ns` is the time that changes are made at; it may be set between calls. `uid` and `gid` own what is created.
    `max_file_size` is that of the file system which the upper layer is on: of tmpfs unless said else, of ext4 with blocks of
    4 KiB it is 2**44 - 4096.
    Raises OverlayError (EINVAL) for options that exclude each other, ValueError for `index=on`.
    """

    def __init__(
        self,
        lowers: Sequence[Layer | Tree],
        *,
        upper: Tree | None = None,
        data: Sequence[Layer | Tree] = (),
        options: OverlayOptions = OverlayOptions.KERNEL,
        now_ns: int = 0,
        max_file_size: int = _LARGEST,
        limits: Limits | None = None,
    ) -> None:
        how = settle(options, has_upper=True)
        if how.linked:
            raise ValueError("writes with index=on are not simulated")
        if not lowers:
            raise fail(errno.EINVAL, "no lower layer")
        self.now_ns = now_ns
        self.uid = self.gid = 0
        root = Upper.copy_of(upper if upper is not None else Tree(Dir()))
        self._upper = Upper(root, how.prefix)
        named = [one if isinstance(one, Layer) else Layer(f"lower {number}", one) for number, one in enumerate(lowers, 1)]
        contents = [one if isinstance(one, Layer) else Layer(f"data {number}", one) for number, one in enumerate(data, 1)]
        self._merged = Merged(Layer("upper", Tree(root)), named, contents, how, limits or Limits.trusted())
        self._upper.merged = self._merged
        self._limits = limits
        self._max_file_size = max_file_size
        self._walk = Walk(self._merged, self._upper)

    def merged(self) -> Merged:
        """Return what is seen now; later changes do not alter it."""
        old = self._merged
        copy = Tree(Upper.copy_of(Tree(self._upper.root)))
        return Merged(Layer("upper", copy), old.lowers, old.data, old.how, self._limits or Limits.trusted())

    def upper_tree(self) -> Tree:
        """Return the upper layer as it is now."""
        without = (self._upper.origin, self._upper.prefix + b"uuid")
        root = Upper.copy_of(Tree(self._upper.root))
        todo: list[Node] = [root]
        while todo:
            node = todo.pop()
            for name in without:
                self._upper.drop_xattr(node, name)
            if isinstance(node, Dir):
                todo += node.children.values()
        return Tree(root, is_layer=True)

    @placed
    def lookup(self, path: PathLike) -> Node:
        """Return the node that a path has its metadata from, as its layer has it. Raises OverlayError."""
        spot = self._walk.anything(taken_apart(path))
        return self._merged.root.top[1] if spot is None else self._node(spot)

    def resolve(self, path: PathLike) -> bytes:
        """Return what a path leads to when symbolic links are followed, as after chroot. Raises OverlayError."""
        return followed(self.lookup, path if isinstance(path, bytes) else os.fsencode(path))

    @placed
    def listdir(self, path: PathLike) -> list[bytes]:
        """Return the names that are seen in a directory, in bytewise order. Raises OverlayError.

        As in Linux, this takes the mark `impure` from a directory of the upper layer in which nothing copied up is left.
        """
        spot = self._walk.anything(taken_apart(path))
        here: MergedDir | None = self._merged.root
        if spot is not None:
            here = None if spot.found is None else spot.found.merged
        if here is None:
            raise fail(errno.ENOTDIR, "not a directory")
        if here.upper is not None and not self._merged.is_merged(here):
            self._upper.listed(here)
        return sorted(self._merged.names(here, strict=True))

    # New names

    @placed
    def create(self, path: PathLike, mode: int = 0o644, content: Blob = EMPTY) -> None:
        """Make a regular file with this content; one that is there is EEXIST, a slash at the end of the path EISDIR."""
        place = taken_apart(path)
        if place.is_name and place.slash:
            self._walk.directories(place)
            raise fail(errno.EISDIR, "a file, and the slash says that it is a directory")
        self._make(self._walk.free(place), lambda meta: File(meta, content), mode)

    @placed
    def mkdir(self, path: PathLike, mode: int = 0o755) -> None:
        """Make a directory."""
        spot = self._walk.free(taken_apart(path), is_dir=True)
        self._make(spot, lambda meta: Dir(meta, {}), mode & 0o1777, is_dir=True)

    @placed
    def symlink(self, target: bytes, path: PathLike) -> None:
        """Make a symbolic link to `target`, of at most 4095 bytes."""
        link_target(target)
        self._make(self._walk.free(taken_apart(path)), lambda meta: Symlink(meta, target), 0o777, is_link=True)

    @placed
    def mknod(self, path: PathLike, kind: NodeKind, mode: int = 0o644, device: tuple[int, int] = (0, 0)) -> None:
        """Make a device, a fifo or a socket; the device that would be a whiteout is EPERM. Raises ValueError for others."""
        require_one_of("kind", kind, _KINDS)
        numbers = device_numbers(device)

        def node(meta: Meta) -> Node:
            if kind == "fifo":
                return Pipe(meta)
            return Socket(meta) if kind == "socket" else Device(meta, kind, *numbers)

        spot = self._walk.free(taken_apart(path))
        if kind == "char" and numbers == _NUMBERS_OF_A_WHITEOUT:
            raise fail(errno.EPERM, "a device that would be a whiteout")
        self._make(spot, node, mode)

    @placed
    def link(self, old: PathLike, new: PathLike) -> None:
        """Give what is at `old`, which is no directory, another name."""
        walk, upper = self._walk, self._upper
        to = taken_apart(new)
        source = walk.anything(taken_apart(old))
        target = walk.free(to)
        if source is None or source.found is None or source.found.merged is not None:
            raise fail(errno.EPERM, "a hard link to a directory")
        node = upper.node(source, data=False)
        parent = upper.parent(walk.spot(to))
        if upper.metacopy in node.meta.xattrs:
            redirect(upper, source, node, absolute=True)
        if upper.came_up(source, node):
            upper.set_impure(parent)
        upper.put(parent, target.name, node, self.now_ns)
        upper.linked(parent, target.name, node)

    # Names that go or move

    @placed
    def unlink(self, path: PathLike) -> None:
        """Remove what is no directory."""
        place = taken_apart(path)
        if not place.is_name:
            self._walk.anything(place)
            raise fail(errno.EISDIR, "a directory")
        spot = self._walk.existing(place)
        if spot.found is not None and spot.found.merged is not None:
            raise fail(errno.EISDIR, "a directory")
        self._remove(spot)

    @placed
    def rmdir(self, path: PathLike) -> None:
        """Remove a directory, in which nothing may be seen."""
        place = taken_apart(path)
        if not place.is_name:
            self._walk.anything(place)
            code = {b"": errno.EBUSY, b".": errno.EINVAL, b"..": errno.ENOTEMPTY}[place.last]
            raise fail(code, "not the name of a directory" if place.last else "the root")
        spot = self._walk.existing(place)
        found = spot.found
        if found is None or found.merged is None:
            raise fail(errno.ENOTDIR, "not a directory")
        plain = not found.merged.lowers and self._upper.origin not in found.merged.top[1].meta.xattrs
        self._upper.require_empty(found.merged, plain=plain and not self._upper.is_below(spot))
        self._remove(spot)

    @placed
    def rename(self, old: PathLike, new: PathLike, *, how: RenameHow = "replace") -> None:
        """Move a name; one that is there is replaced, or refused (`no replace`), or gets the old name (`exchange`)."""
        require_one_of("how", how, RENAME_WAYS)
        rename(self._upper, self._walk, taken_apart(old), taken_apart(new), how, self.now_ns)

    # Contents

    @placed
    def open(self, path: PathLike) -> None:
        """Open a regular file for writing, and write nothing: it is copied up."""
        self._file(path)

    @placed
    def write(self, path: PathLike, data: bytes, at: int = 0) -> None:
        """Write into a regular file, as pwrite(2) does; a gap behind its end is filled with zeros.

        What is behind the largest size of a file is not written, and EFBIG where that is all.
        """
        node = self._file(path)
        if at < 0 or at + len(data) > _LARGEST:
            raise fail(errno.EINVAL, f"{len(data)} bytes at {at} are in no file")
        if data:
            if at >= self._max_file_size:
                raise fail(errno.EFBIG, f"byte {at} of a file of at most {self._max_file_size} bytes")
            self._upper.set_content(node, patched(node.content, data[: self._max_file_size - at], at))
            self._upper.change(node, mtime_ns=self.now_ns)
            self._upper.drop_xattr(node, CAPABILITY)

    @placed
    def truncate(self, path: PathLike, size: int) -> None:
        """Cut or extend a regular file, as ftruncate(2) does: its time changes even where its size does not."""
        node = self._file(path)
        if size < 0:
            raise fail(errno.EINVAL, f"a file of {size} bytes")
        if size > self._max_file_size:
            raise fail(errno.EFBIG, f"a file of {size} bytes, at most {self._max_file_size} are possible")
        self._upper.set_content(node, resized(node.content, size))
        self._upper.change(node, mtime_ns=self.now_ns)
        self._upper.drop_xattr(node, CAPABILITY)

    # Metadata

    @placed
    def chmod(self, path: PathLike, mode: int) -> None:
        """Set permissions; those of a symbolic link are EOPNOTSUPP."""
        spot = self._walk.anything(taken_apart(path))
        if spot is not None and isinstance(self._node(spot), Symlink):
            raise fail(errno.EOPNOTSUPP, "a symbolic link has no permissions")
        node = self._up(spot)
        self._upper.change(node, mode=mode & 0o7777, xattrs=acl.after_chmod(node.meta.xattrs, mode))

    @placed
    def chown(self, path: PathLike, uid: int = -1, gid: int = -1) -> None:
        """Set owner and group; -1 keeps one. Of what is no directory, setuid, setgid and capabilities are dropped.

        Raises ValueError for what is no number of 32 bits.
        """
        owner(uid, 0)
        owner(gid, 0)
        node = self._up(self._walk.anything(taken_apart(path)))
        meta = node.meta
        mode = meta.mode
        if not isinstance(node, Dir):
            mode &= ~stat.S_ISUID
            if mode & stat.S_IXGRP:
                mode &= ~stat.S_ISGID
            self._upper.drop_xattr(node, CAPABILITY)
        self._upper.change(node, uid=owner(uid, meta.uid), gid=owner(gid, meta.gid), mode=mode)

    @placed
    def utime(self, path: PathLike, mtime_ns: int) -> None:
        """Set the time of the last change."""
        self._upper.change(self._up(self._walk.anything(taken_apart(path))), mtime_ns=mtime_ns)

    @placed
    def setxattr(self, path: PathLike, name: bytes, value: bytes) -> None:
        """Set an extended attribute; one that looks like the mount's own is stored escaped."""
        require_attribute(name, value)
        attributes.store(self._upper, self._walk.anything(taken_apart(path)), name, value)

    @placed
    def removexattr(self, path: PathLike, name: bytes) -> None:
        """Remove an extended attribute; ENODATA, and nothing is copied up, where it is not there."""
        require_attribute(name)
        attributes.remove(self._upper, self._walk.anything(taken_apart(path)), name)

    # Parts

    @staticmethod
    def _node(spot: Spot) -> Node:
        assert spot.found is not None
        return spot.found.hit.node

    def _up(self, spot: Spot | None) -> Node:
        """Return the upper node of a place, None for the root, of which the metadata will change."""
        return self._upper.root if spot is None else self._upper.node(spot, data=False)

    def _file(self, path: PathLike) -> File:
        """Return the upper node of a regular file, with its content."""
        spot = self._walk.anything(taken_apart(path))
        node = self._upper.root if spot is None else self._node(spot)
        if spot is None or isinstance(node, Dir):
            raise fail(errno.EISDIR, "a directory")
        if not isinstance(node, File):
            raise fail(errno.ELOOP if isinstance(node, Symlink) else errno.EINVAL, "not a regular file")
        made = self._upper.node(spot, now_ns=self.now_ns)
        assert isinstance(made, File)
        return made

    def _make(
        self, spot: Spot, node: Callable[[Meta], Node], mode: int, *, is_dir: bool = False, is_link: bool = False
    ) -> None:
        upper = self._upper
        parent = upper.parent(spot)
        gid, lists = self.gid, dict[bytes, bytes]()
        if parent.meta.mode & stat.S_ISGID:
            gid = parent.meta.gid
            mode |= stat.S_ISGID if is_dir else 0
        if not is_link:
            mode, lists = acl.inherited(parent.meta.xattrs, mode & 0o7777, is_dir=is_dir)
        made = node(Meta(mode & 0o7777, self.uid, gid, self.now_ns, lists))
        if is_dir and (upper.has_whiteout(spot) or (self._merged.how.opaque_new and spot.parent.lowers)):
            upper.set_xattr(made, upper.opaque, b"y")
        upper.put(parent, spot.name, made, self.now_ns)

    def _remove(self, spot: Spot) -> None:
        upper = self._upper
        parent = upper.parent(spot)
        if upper.is_below(spot):
            upper.put(parent, spot.name, upper.whiteout(self.now_ns), self.now_ns)
        else:
            upper.remove(parent, spot.name, self.now_ns)
