"""The tree of a host directory: everything in it, holes and hard links included, contents read later.

Each directory is opened once and read through its descriptor, so that a path longer than PATH_MAX and a directory that
is renamed meanwhile do no harm; an opened directory that is not the one that was listed is SourceChanged. Nothing
recurses and no descriptor is held while another directory is read, so depth costs memory only.

Contents become `HostFile` blobs: a path and what stat said. Whether a *file* can be opened is found by whoever reads it
(the engine, a digest): asking access() here would be a race, and a system call for each file. It is an error there and
names the path. Everything else that cannot be read (a directory, a link's target, an extended attribute) is
SourceUnreadable here; what vanishes between being listed and being looked at is SourceChanged. Nothing is skipped in
silence. Paths are used as they were given: a tree of a relative path needs the working directory to stay.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import NoReturn

from imgcore.blob import HostFile, Identity, open_host
from imgcore.errors import SourceChanged, SourceUnreadable, show
from imgcore.events import Control
from imgcore.model import NO_XATTRS, Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Tree

__all__ = ["scan"]

_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
_NO_XATTRS = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_LONGEST = 4000  # bytes of a path that one system call takes


def scan(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    xattrs: bool = True,
    skip: Collection[tuple[int, int, bytes]] = (),
    control: Control | None = None,
) -> Tree:
    """Return the tree of the directory at `path`, which may be a symbolic link to one; mount points are crossed.

    `skip` are names to leave out, each as (device and inode of its directory, name): the image that is being written may
    lie inside of its source.
    Raises SourceUnreadable, SourceChanged, Cancelled.
    """
    return _Scan(xattrs, frozenset(skip), control or Control()).run(os.fsencode(path))


def _fail(error: OSError, path: bytes, what: str) -> NoReturn:
    """Raise what an OSError during the scan means."""
    if error.errno in _GONE:
        raise SourceChanged("vanished or was replaced during the scan", path=path) from None
    raise SourceUnreadable(f"cannot read {what}: {error.strerror}", path=path) from None


class _Scan:
    """One scan: its options, and the nodes of files that have several names."""

    def __init__(self, xattrs: bool, skip: frozenset[tuple[int, int, bytes]], control: Control) -> None:
        self.xattrs = xattrs and hasattr(os, "listxattr")
        self.skip = skip
        self.control = control
        self.linked: dict[tuple[int, int], Node] = {}
        self.by_descriptor = os.scandir in os.supports_fd

    def run(self, top: bytes) -> Tree:
        """Return the tree below `top`."""
        try:
            found = os.stat(top)
        except OSError as error:
            raise SourceUnreadable(f"cannot read directory: {error.strerror}", path=top) from None
        if not stat.S_ISDIR(found.st_mode):
            raise SourceUnreadable("not a directory", path=top)
        # The trailing `/.` makes the l*xattr calls look at the directory when `top` is a symbolic link.
        children: dict[bytes, Node] = {}
        root = Dir(self._meta(found, os.path.join(top, b"."), -1, b"."), children)
        todo = [(top, (found.st_dev, found.st_ino), children, True)]
        while todo:
            path, identity, target, is_top = todo.pop()
            todo += self._read_directory(path, identity, target, is_top)
        return Tree(root)

    def _read_directory(
        self, path: bytes, identity: tuple[int, int], target: dict[bytes, Node], is_top: bool
    ) -> list[tuple[bytes, tuple[int, int], dict[bytes, Node], bool]]:
        """Fill `target` with what is in the directory; return the directories found in it."""
        self.control.check()
        fd = -1
        try:
            if self.by_descriptor:
                fd = open_host(path, _DIRECTORY | (0 if is_top else _NOFOLLOW))
                opened = os.fstat(fd)
                if (opened.st_dev, opened.st_ino) != identity:
                    raise SourceChanged("directory was replaced during the scan", path=path)
            return list(self._entries(path, identity, fd, target))
        except OSError as error:
            _fail(error, path, "directory")
        finally:
            if fd >= 0:
                os.close(fd)

    def _entries(
        self, path: bytes, identity: tuple[int, int], fd: int, target: dict[bytes, Node]
    ) -> Iterator[tuple[bytes, tuple[int, int], dict[bytes, Node], bool]]:
        prefix = path if path.endswith(b"/") else path + b"/"
        # Listed by descriptor the names are text, else bytes: fsencode takes both.
        with os.scandir(fd if fd >= 0 else path) as entries:
            for count, entry in enumerate(entries):
                if not count & 1023:
                    self.control.check()
                assert isinstance(entry, os.DirEntry)
                name = os.fsencode(entry.name)
                child = prefix + name
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError as error:
                    _fail(error, child, "status")
                key = (found.st_dev, found.st_ino)
                if self.skip and (*identity, name) in self.skip:
                    continue
                if stat.S_ISDIR(found.st_mode):
                    children: dict[bytes, Node] = {}
                    target[name] = Dir(self._meta(found, child, fd, name), children)
                    yield child, key, children, False
                elif found.st_nlink > 1:
                    node = self.linked.get(key)
                    if node is None:
                        node = self.linked[key] = self._leaf(found, child, fd, name)
                    target[name] = node
                else:
                    target[name] = self._leaf(found, child, fd, name)

    def _leaf(self, found: os.stat_result, path: bytes, fd: int, name: bytes) -> Node:
        """Return the node of something that is not a directory."""
        meta = self._meta(found, path, fd, name)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            return File(meta, HostFile(path, Identity.of(found)))
        if kind == stat.S_IFLNK:
            try:
                return Symlink(meta, os.readlink(name, dir_fd=fd) if fd >= 0 else os.readlink(path))
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise SourceChanged("was replaced during the scan", path=path) from None
                _fail(error, path, "link target")
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            word = "char" if kind == stat.S_IFCHR else "block"
            return Device(meta, word, os.major(found.st_rdev), os.minor(found.st_rdev))  # type: ignore[arg-type]
        if kind == stat.S_IFIFO:
            return Pipe(meta)
        if kind == stat.S_IFSOCK:
            return Socket(meta)
        raise SourceUnreadable(f"a file of an unknown type ({kind:#o})", path=path)

    def _meta(self, found: os.stat_result, path: bytes, fd: int, name: bytes) -> Meta:
        xattrs = self._read_xattrs(path, fd, name) if self.xattrs else NO_XATTRS
        return Meta(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, xattrs)

    def _read_xattrs(self, path: bytes, fd: int, name: bytes) -> Mapping[bytes, bytes]:
        """Return every extended attribute; none where the file system has none."""
        # No system call takes a directory's descriptor and a name here; /proc gives a short path for the same.
        target = path if len(path) <= _LONGEST or fd < 0 else b"/proc/self/fd/%d/%s" % (fd, name)
        try:
            names = os.listxattr(target, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return NO_XATTRS
            _fail(error, path, "extended attributes")
        if not names:
            return NO_XATTRS
        values: dict[bytes, bytes] = {}
        for key in names:
            try:
                values[os.fsencode(key)] = os.getxattr(target, key, follow_symlinks=False)
            except OSError as error:
                if error.errno == getattr(errno, "ENODATA", -1):
                    raise SourceChanged(f"extended attribute `{show(key)}` vanished during the scan", path=path) from None
                _fail(error, path, f"extended attribute `{show(key)}`")
        return values
