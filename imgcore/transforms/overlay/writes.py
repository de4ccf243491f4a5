"""Changes of a merged tree, and the upper layer that Linux would leave of them.

    overlay = Writable([extension, host], now_ns=0)
    overlay.unlink("/usr/bin/tool")
    overlay.upper_tree()                       # has a whiteout

Every call is a system call of root's on a mount of these layers, with umask 0 and without following links: it changes the
upper layer as Linux 6.18 does, or raises OverlayError with the errno. As in Linux, a call that fails may have copied
directories up before. Not in `upper_tree`: the attributes `origin` and `uuid`, whose values are handles of files.

`index=on`, where hard links stay together, is not simulated.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from typing import Literal

from imgcore.blob import EMPTY, Blob
from imgcore.errors import OverlayError
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Node, PathLike, Pipe, Socket, Symlink, Tree, normalize, split
from imgcore.transforms.overlay import acl
from imgcore.transforms.overlay.copyup import Spot, Upper, fail
from imgcore.transforms.overlay.following import followed
from imgcore.transforms.overlay.layers import Layer
from imgcore.transforms.overlay.lookup import Found, MergedDir
from imgcore.transforms.overlay.merged import Merged
from imgcore.transforms.overlay.moves import exchange, move, redirect
from imgcore.transforms.overlay.options import OverlayOptions, settle
from imgcore.transforms.overlay.spliced import patched, resized

__all__ = ["Writable"]

_CAPABILITY = b"security.capability"
_PREFIXES = (b"user.", b"trusted.", b"security.", b"system.posix_acl_")
_NUMBERS_OF_A_WHITEOUT = (0, 0)


class Writable:
    """A mount with an upper layer, to be changed.

    `now_ns` is the time that changes are made at; it may be set between calls. `uid` and `gid` own what is created.
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
        self._marked: set[int] = set()  # directories of lower layers in which plain files may be whiteouts

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

    def lookup(self, path: PathLike) -> Node:
        """Return the node that a path has its metadata from, as its layer has it. Raises OverlayError."""
        return self._node(self._existing(path)) if split(normalize(path)) else self._merged.root.top[1]

    def resolve(self, path: PathLike) -> bytes:
        """Return what a path leads to when symbolic links are followed, as after chroot. Raises OverlayError."""
        return followed(self.lookup, path if isinstance(path, bytes) else os.fsencode(path))

    def listdir(self, path: PathLike) -> list[bytes]:
        """Return the names that are seen in a directory, in bytewise order. Raises OverlayError.

        As in Linux, this takes the mark `impure` from a directory of the upper layer in which nothing copied up is left.
        """
        here: MergedDir | None = self._merged.root
        if split(normalize(path)):
            found = self._existing(path).found
            here = None if found is None else found.merged
        if here is None:
            raise fail(errno.ENOTDIR, "not a directory")
        if here.upper is not None and not self._merged.is_merged(here):
            self._upper.listed(here)
        return sorted(self._merged.names(here, strict=True))

    # New names

    def create(self, path: PathLike, mode: int = 0o644, content: Blob = EMPTY) -> None:
        """Make a regular file with this content; one that is there is EEXIST."""
        self._make(path, lambda meta: File(meta, content), mode)

    def mkdir(self, path: PathLike, mode: int = 0o755) -> None:
        """Make a directory."""
        self._make(path, lambda meta: Dir(meta, {}), mode & 0o1777, is_dir=True)

    def symlink(self, target: bytes, path: PathLike) -> None:
        """Make a symbolic link to `target`."""
        if not target:
            raise fail(errno.ENOENT, "a link to nothing")
        self._make(path, lambda meta: Symlink(meta, target), 0o777, is_link=True)

    def mknod(
        self,
        path: PathLike,
        kind: Literal["char", "block", "fifo", "socket"],
        mode: int = 0o644,
        device: tuple[int, int] = (0, 0),
    ) -> None:
        """Make a device, a fifo or a socket; the device that would be a whiteout is EPERM."""

        def node(meta: Meta) -> Node:
            if kind == "fifo":
                return Pipe(meta)
            return Socket(meta) if kind == "socket" else Device(meta, kind, *device)

        spot = self._spot(path)
        if spot.found is None and kind == "char" and device == _NUMBERS_OF_A_WHITEOUT:
            raise fail(errno.EPERM, "a device that would be a whiteout")
        self._make(path, node, mode)

    def link(self, old: PathLike, new: PathLike) -> None:
        """Give what is at `old`, which is no directory, another name."""
        source, target = self._existing(old), self._spot(new)
        if target.found is not None:
            raise fail(errno.EEXIST, "there is something of that name")
        assert source.found is not None
        if source.found.merged is not None:
            raise fail(errno.EPERM, "a hard link to a directory")
        upper = self._upper
        node = upper.node(source, data=False)
        parent = upper.parent(self._spot(new))
        if upper.metacopy in node.meta.xattrs:
            redirect(upper, source, node, absolute=True)
        if upper.came_up(source, node):
            upper.set_impure(parent)
        upper.put(parent, target.name, node, self.now_ns)
        upper.linked(parent, target.name, node)

    # Names that go or move

    def unlink(self, path: PathLike) -> None:
        """Remove what is no directory."""
        spot = self._existing(path)
        if spot.found is not None and spot.found.merged is not None:
            raise fail(errno.EISDIR, "a directory")
        self._remove(spot)

    def rmdir(self, path: PathLike) -> None:
        """Remove a directory, in which nothing may be seen."""
        if not split(normalize(path)):
            raise fail(errno.EBUSY, "the root")
        spot = self._existing(path)
        found = spot.found
        if found is None or found.merged is None:
            raise fail(errno.ENOTDIR, "not a directory")
        plain = not found.merged.lowers and self._upper.origin not in found.merged.top[1].meta.xattrs
        self._upper.require_empty(found.merged, plain=plain and not self._upper.is_below(spot))
        self._remove(spot)

    def rename(self, old: PathLike, new: PathLike, *, how: Literal["replace", "no replace", "exchange"] = "replace") -> None:
        """Move a name; one that is there is replaced, or refused (`no replace`), or gets the old name (`exchange`)."""
        if not split(normalize(old)) or not split(normalize(new)):
            raise fail(errno.EBUSY, "the root")
        self._way(old)  # Linux looks at the way to both before it looks at either
        self._way(new)
        source = self._existing(old)
        target = self._spot(new)
        if how == "no replace" and target.found is not None:
            raise fail(errno.EEXIST, "there is something of that name")
        if how == "exchange" and target.found is None:
            raise fail(errno.ENOENT, "no such path")
        was, now = split(normalize(old)), split(normalize(new))
        if len(was) < len(now) and now[: len(was)] == was:
            raise fail(errno.EINVAL, "a directory into itself")
        if len(now) < len(was) and was[: len(now)] == now:
            raise fail(errno.ENOTEMPTY if how == "replace" else errno.EINVAL, "a directory above the source")
        if was == now or (target.found is not None and self._node(source) is self._node(target) and not self._is_lower(source)):
            return  # two names of one file: nothing happens
        if how == "exchange":
            exchange(self._upper, source, target, self._existing, was, now, self.now_ns)
        else:
            move(self._upper, source, target, self._spot, was, now, self.now_ns)

    # Contents

    def open(self, path: PathLike) -> None:
        """Open a regular file for writing, and write nothing: it is copied up."""
        self._file(path)

    def write(self, path: PathLike, data: bytes, at: int = 0) -> None:
        """Write into a regular file; a gap behind its end is filled with zeros."""
        node = self._file(path)
        if data:
            self._upper.set_content(node, patched(node.content, data, at))
            self._upper.change(node, mtime_ns=self.now_ns)
            self._upper.drop_xattr(node, _CAPABILITY)

    def truncate(self, path: PathLike, size: int) -> None:
        """Cut or extend a regular file, as ftruncate(2) does: its time changes even where its size does not."""
        node = self._file(path)
        self._upper.set_content(node, resized(node.content, size))
        self._upper.change(node, mtime_ns=self.now_ns)
        self._upper.drop_xattr(node, _CAPABILITY)

    # Metadata

    def chmod(self, path: PathLike, mode: int) -> None:
        """Set permissions; those of a symbolic link are EOPNOTSUPP."""
        spot = self._existing(path)
        if isinstance(self._node(spot), Symlink):
            raise fail(errno.EOPNOTSUPP, "a symbolic link has no permissions")
        node = self._upper.node(spot, data=False) if split(normalize(path)) else self._upper.root
        self._upper.change(node, mode=mode & 0o7777, xattrs=acl.after_chmod(node.meta.xattrs, mode))

    def chown(self, path: PathLike, uid: int = -1, gid: int = -1) -> None:
        """Set owner and group; -1 keeps one. Of what is no directory, setuid, setgid and capabilities are dropped."""
        node = self._change(path)
        meta = node.meta
        mode = meta.mode
        if not isinstance(node, Dir):
            mode &= ~stat.S_ISUID
            if mode & stat.S_IXGRP:
                mode &= ~stat.S_ISGID
            self._upper.drop_xattr(node, _CAPABILITY)
        self._upper.change(node, uid=meta.uid if uid < 0 else uid, gid=meta.gid if gid < 0 else gid, mode=mode)

    def utime(self, path: PathLike, mtime_ns: int) -> None:
        """Set the time of the last change."""
        self._upper.change(self._change(path), mtime_ns=mtime_ns)

    def setxattr(self, path: PathLike, name: bytes, value: bytes) -> None:
        """Set an extended attribute; one that looks like the mount's own is stored escaped."""
        spot = self._attribute_spot(path, name)
        if name == acl.ACCESS:
            raise fail(errno.EOPNOTSUPP, "an access control list: chmod it instead")
        if name == acl.DEFAULT and spot is not None and not isinstance(self._node(spot), Dir):
            raise fail(errno.EACCES, "only directories have such lists")
        node = self._upper.root if spot is None else self._upper.node(spot, data=False)
        self._upper.set_xattr(node, self._stored(name), value)

    def removexattr(self, path: PathLike, name: bytes) -> None:
        """Remove an extended attribute; ENODATA, and nothing is copied up, where it is not there."""
        spot = self._attribute_spot(path, name)
        node = self._upper.root if spot is None else self._node(spot)
        if self._stored(name) not in node.meta.xattrs:
            in_upper = spot is None or (
                spot.found is not None and spot.found.merged is not None and bool(spot.found.merged.upper)
            )
            if name in (acl.ACCESS, acl.DEFAULT) and (in_upper or not isinstance(node, Dir)):
                return  # what Linux says of lists that are not there; of a lower directory it says ENODATA
            raise fail(errno.ENODATA, "no such attribute")
        if spot is not None:
            node = self._upper.node(spot, data=False)
        self._upper.drop_xattr(node, self._stored(name))

    # Parts

    def _way(self, path: PathLike) -> tuple[list[tuple[bytes, MergedDir]], MergedDir]:
        """Return the directories on the way to a path, and the one that it is in. Raises OverlayError."""
        full = normalize(path)
        above: list[tuple[bytes, MergedDir]] = []
        here = self._merged.root
        for name in split(full)[:-1]:
            found = self._found(here, name, full)
            if found is None:
                raise fail(errno.ENOENT, "no such path", full)
            if found.merged is None:
                raise fail(errno.ENOTDIR, "not a directory", full)
            here = found.merged
            above.append((name, here))
        return above, here

    def _found(self, parent: MergedDir, name: bytes, full: bytes) -> Found | None:
        """Look a name up, which may mark the upper layer."""
        try:
            found = self._merged.find(parent, name)
        except OverlayError as error:
            error.path = full
            upper = None if parent.upper is None else parent.upper.children.get(name)
            met = [(hit.layer, hit.node) for hit in self._merged.hits if isinstance(hit.node, Dir)]
            if isinstance(upper, Dir) and met:  # Linux marks it before it goes on to what fails
                self._upper.looked_up(parent, MergedDir(upper, met))
            raise
        if found is not None and found.merged is not None:
            self._upper.looked_up(parent, found.merged)
            if found.merged.lowers:  # Linux keeps what it saw of a directory before that was copied up
                key = id(found.merged.lowers[0][1])
                if found.merged.marked:
                    self._marked.add(key)
                found.merged.marked = key in self._marked
        return found

    def _spot(self, path: PathLike) -> Spot:
        """Return where a path leads. Raises OverlayError: ENOENT, ENOTDIR for what is on the way."""
        full = normalize(path)
        parts = split(full)
        if not parts:
            raise fail(errno.EEXIST, "the root", full)
        above, here = self._way(full)
        return Spot(above, here, parts[-1], self._found(here, parts[-1], full))

    def _existing(self, path: PathLike) -> Spot:
        spot = self._spot(path)
        if spot.found is None:
            raise fail(errno.ENOENT, "no such path")
        return spot

    @staticmethod
    def _node(spot: Spot) -> Node:
        assert spot.found is not None
        return spot.found.hit.node

    @staticmethod
    def _is_lower(spot: Spot) -> bool:
        """Whether what is there has not been copied up."""
        assert spot.found is not None
        return spot.found.hit.layer != 0

    def _change(self, path: PathLike) -> Node:
        """Return the upper node of a path, of which the metadata will change."""
        return self._upper.node(self._existing(path), data=False) if split(normalize(path)) else self._upper.root

    def _file(self, path: PathLike) -> File:
        """Return the upper node of a regular file, with its content."""
        spot = self._existing(path)
        node = self._node(spot)
        if isinstance(node, Dir):
            raise fail(errno.EISDIR, "a directory")
        if not isinstance(node, File):
            raise fail(errno.ELOOP if isinstance(node, Symlink) else errno.EINVAL, "not a regular file")
        made = self._upper.node(spot, now_ns=self.now_ns)
        assert isinstance(made, File)
        return made

    def _make(
        self, path: PathLike, node: Callable[[Meta], Node], mode: int, *, is_dir: bool = False, is_link: bool = False
    ) -> None:
        spot = self._spot(path)
        if spot.found is not None:
            raise fail(errno.EEXIST, "there is something of that name")
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

    def _stored(self, name: bytes) -> bytes:
        prefix = self._upper.prefix
        return prefix + b"overlay." + name[len(prefix) :] if name.startswith(prefix) else name

    def _attribute_spot(self, path: PathLike, name: bytes) -> Spot | None:
        """Return the place of a path whose attribute is to change, None for the root."""
        if not name.startswith(_PREFIXES):
            raise fail(errno.EOPNOTSUPP, "no such kind of attribute")
        if not split(normalize(path)):
            return None
        spot = self._existing(path)
        if name in (acl.ACCESS, acl.DEFAULT) and isinstance(self._node(spot), Symlink):
            raise fail(errno.EOPNOTSUPP, "a symbolic link has no lists")
        if name.startswith(b"user.") and not isinstance(self._node(spot), (File, Dir)):
            raise fail(errno.EPERM, "only files and directories have such attributes")
        return spot
