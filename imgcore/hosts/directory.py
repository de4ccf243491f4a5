"""The tree of a host directory: everything in it, holes and hard links included, contents read later.

Each directory is opened once and read through its descriptor, so that a path longer than PATH_MAX and a directory that
is renamed meanwhile do no harm; an opened directory that is not the one that was listed is SourceChanged. Nothing
recurses and no descriptor is held while another directory is read, so depth costs memory only.

Contents become `HostFile` blobs: a path and what stat said. Whether a *file* can be opened is found by whoever reads it
(the engine, a digest): asking access() here would be a race, and a system call for each file. It is an error there and
names the path. Everything else that cannot be read (a directory, a link's target, an extended attribute) is
SourceUnreadable here; what vanishes between being listed and being looked at is SourceChanged. Nothing is skipped in
silence. Paths are used as they were given: a tree of a relative path needs the working directory to stay.

The native engine reads whole directories by itself (`imgcore.engine.native_scan`); what is said here holds there too. It
gives columns, of which a tree makes nodes when it is asked for one.

Where links are dereferenced, what a link leads to is read by its real path, and every file is one node however many
names and links lead to it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from typing import Literal, NamedTuple, NoReturn, TypeAlias, cast

from imgcore.blob import HostFile, Identity, open_host
from imgcore.blob.faked import is_faked, plain
from imgcore.engine import Engine, ScanFailed, get_engine
from imgcore.errors import SourceChanged, SourceUnreadable, show
from imgcore.events import Control
from imgcore.hosts.columns import table_of
from imgcore.limits import Limits
from imgcore.model import NO_XATTRS, Device, Dir, File, Meta, Node, Pipe, Socket, Symlink, Table, Tree

__all__ = ["Mounts", "meta_at", "meta_of", "node_at", "scan"]

Mounts: TypeAlias = Literal["cross", "empty", "skip"]
"""What becomes of a directory that another file system is mounted on: scanned, left empty, or left out."""

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
    mounts: Mounts = "cross",
    dereference: bool = False,
    known: dict[tuple[int, int], Node] | None = None,
    engine: Engine | None = None,
    control: Control | None = None,
) -> Tree:
    """Return the tree of the directory at `path`, which may be a symbolic link to one.

    `skip` are names to leave out, each as (device and inode of its directory, name): the image that is being written may
    lie inside of its source. Unless `mounts` is "cross", files that are mounts are left out too. With `dereference`,
    symbolic links become what they lead to on the host; one that leads nowhere or around in a circle is SourceUnreadable.
    `known` maps device and inode to the node of what is no directory; it is filled, and what is in it is taken from it, so
    that several scans share the nodes of the same files. `engine` may have a faster way to read whole directories.
    Raises SourceUnreadable, SourceChanged, Cancelled; LimitExceeded where links to directories multiply them.
    """
    control = control or Control()
    top = os.fsencode(path)
    made = _Scan(xattrs, frozenset(skip), control, mounts, dereference, known)
    if mounts == "cross" and not made.one_each and not is_faked():
        found = _by_engine(engine or get_engine(), top, skip, made)
        if found is not None:
            return Tree.of_table(found)
    return made.run(top)


def _by_engine(engine: Engine, top: bytes, skip: Collection[tuple[int, int, bytes]], scan: _Scan) -> Table | None:
    """Return the directory as columns, where the engine can read it."""
    scan.require_directory(top)
    try:
        found = engine.scan(top, skip, scan.xattrs, scan.control)
    except ScanFailed as failed:
        if failed.errno == 0 and failed.what == "directory":
            raise SourceChanged("directory was replaced during the scan", path=failed.path) from None
        if failed.errno == errno.EINVAL and failed.what == "link target":
            raise SourceChanged("was replaced during the scan", path=failed.path) from None
        _fail(OSError(failed.errno, os.strerror(failed.errno)), failed.path, failed.what)
    if found is None:
        return None
    return table_of(found, top, lambda path: scan.read_xattrs(path, -1, path) if scan.xattrs else NO_XATTRS)


def node_at(
    path: str | bytes | os.PathLike[str], *, follow: bool = False, known: dict[tuple[int, int], Node] | None = None
) -> Node:
    """Return what is at `path`, which is no directory; with `follow`, what a symbolic link leads to.

    `known` is as for `scan`. Raises SourceUnreadable, SourceChanged.
    """
    name = os.fsencode(path)
    try:
        found = os.lstat(plain(name))
        if follow and stat.S_ISLNK(found.st_mode):
            name, found = os.fsencode(os.path.realpath(plain(name))), os.stat(plain(name))
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=name) from None
    if stat.S_ISDIR(found.st_mode):
        raise SourceUnreadable("a directory, where a file is needed", path=name)
    node = _Scan(True, frozenset(), Control()).leaf(found, name, -1, name)
    return node if known is None else known.setdefault((found.st_dev, found.st_ino), node)


def meta_at(path: str | bytes | os.PathLike[str], *, xattrs: bool = True) -> Meta:
    """Return the metadata of what is at `path`, through symbolic links. Raises SourceUnreadable, SourceChanged."""
    name = os.path.realpath(os.fsencode(path))
    try:
        found = os.stat(name)
    except OSError as error:
        raise SourceUnreadable(f"cannot open: {error.strerror}", path=os.fsencode(path)) from None
    return _Scan(xattrs, frozenset(), Control()).meta(found, name, -1, name)


def meta_of(found: os.stat_result, path: bytes) -> Meta:
    """Return the metadata of what was found at a path, extended attributes included. Raises SourceUnreadable, SourceChanged."""
    return _Scan(True, frozenset(), Control()).meta(found, path, -1, path)


class _Todo(NamedTuple):
    """A directory to be read: its path, device and inode, where its entries go, and the directories above it.

    `follow` is for the top, which may be a symbolic link; `above` is only kept where links are dereferenced.
    """

    path: bytes
    identity: tuple[int, int]
    target: dict[bytes, Node]
    follow: bool = False
    above: tuple[tuple[int, int], ...] = ()


def _fail(error: OSError, path: bytes, what: str) -> NoReturn:
    """Raise what an OSError during the scan means."""
    if error.errno in _GONE:
        raise SourceChanged("vanished or was replaced during the scan", path=path) from None
    raise SourceUnreadable(f"cannot read {what}: {error.strerror}", path=path) from None


class _Scan:
    """One scan: its options, and the nodes of files that have several names."""

    def __init__(
        self,
        xattrs: bool,
        skip: frozenset[tuple[int, int, bytes]],
        control: Control,
        mounts: Mounts = "cross",
        dereference: bool = False,
        known: dict[tuple[int, int], Node] | None = None,
    ) -> None:
        self.mounts = mounts
        self.dereference = dereference
        self.device = 0
        self.count = 0  # directories that were found where links are dereferenced
        self.xattrs = xattrs and hasattr(os, "listxattr")
        self.skip = skip
        self.control = control
        self.linked: dict[tuple[int, int], Node] = {} if known is None else known
        self.one_each = dereference or known is not None  # a node for each file, even of one link
        self.by_descriptor = os.scandir in os.supports_fd and not is_faked()

    @staticmethod
    def require_directory(top: bytes) -> os.stat_result:
        """Return the status of `top`; raise SourceUnreadable when it is no directory."""
        try:
            found = os.stat(plain(top))
        except OSError as error:
            raise SourceUnreadable(f"cannot read directory: {error.strerror}", path=top) from None
        if not stat.S_ISDIR(found.st_mode):
            raise SourceUnreadable("not a directory", path=top)
        return found

    def run(self, top: bytes) -> Tree:
        """Return the tree below `top`."""
        found = self.require_directory(top)
        # The trailing `/.` makes the l*xattr calls look at the directory when `top` is a symbolic link.
        children: dict[bytes, Node] = {}
        itself = os.fsencode(os.path.realpath(plain(top))) if is_faked() else os.path.join(top, b".")
        root = Dir(self.meta(found, itself, -1, b"."), children)
        self.device = found.st_dev
        todo = [_Todo(top, (found.st_dev, found.st_ino), children, True)]
        while todo:
            todo += self._read_directory(todo.pop())
        return Tree(root)

    def _read_directory(self, todo: _Todo) -> list[_Todo]:
        """Fill the directory's target with what is in it; return the directories found."""
        self.control.check()
        path, identity, fd = todo.path, todo.identity, -1
        try:
            if self.by_descriptor:
                fd = open_host(path, _DIRECTORY | (0 if todo.follow else _NOFOLLOW))
                opened = os.fstat(fd)
                if (opened.st_dev, opened.st_ino) != identity:
                    raise SourceChanged("directory was replaced during the scan", path=path)
            return list(self._entries(todo, fd))
        except OSError as error:
            _fail(error, path, "directory")
        finally:
            if fd >= 0:
                os.close(fd)

    def _entries(self, todo: _Todo, fd: int) -> Iterator[_Todo]:
        path, identity, target = todo.path, todo.identity, todo.target
        prefix = path if path.endswith(b"/") else path + b"/"
        # Listed by descriptor the names are text, else bytes: fsencode takes both.
        with os.scandir(fd if fd >= 0 else plain(path)) as entries:
            for count, entry in enumerate(cast("Iterator[os.DirEntry[str]]", entries)):
                if not count & 1023:
                    self.control.check()
                name = os.fsencode(entry.name)
                child = prefix + name
                try:
                    found = entry.stat(follow_symlinks=False)
                except OSError as error:
                    _fail(error, child, "status")
                if self.skip and (*identity, name) in self.skip:
                    continue
                at, relative = fd, name
                if self.dereference and stat.S_ISLNK(found.st_mode):
                    child, found = self._behind(child)
                    at, relative = -1, child
                key = (found.st_dev, found.st_ino)
                is_mount = self.mounts != "cross" and found.st_dev != self.device
                if stat.S_ISDIR(found.st_mode):
                    if is_mount and self.mounts == "skip":
                        continue
                    children: dict[bytes, Node] = {}
                    target[name] = Dir(self.meta(found, child, at, relative), children)
                    if not is_mount:
                        yield _Todo(child, key, children, False, self._above(todo, key, child))
                elif is_mount:
                    continue
                elif found.st_nlink > 1 or self.one_each:
                    node = self.linked.get(key)
                    if node is None:
                        node = self.linked[key] = self.leaf(found, child, at, relative)
                    target[name] = node
                else:
                    target[name] = self.leaf(found, child, fd, name)

    @staticmethod
    def _behind(link: bytes) -> tuple[bytes, os.stat_result]:
        """Return (the real path, the status) of what a symbolic link leads to."""
        try:
            found = os.stat(plain(link))
        except OSError as error:
            raise SourceUnreadable(f"a symbolic link that leads nowhere: {error.strerror}", path=link) from None
        return os.fsencode(os.path.realpath(plain(link))), found

    def _above(self, todo: _Todo, key: tuple[int, int], path: bytes) -> tuple[tuple[int, int], ...]:
        """Return the directories above one that was found, itself left out; only links can lead back into them."""
        if not self.dereference:
            return ()
        self.count += 1
        Limits.default().require("max_entries", self.count)  # links to directories can multiply without end
        above = (*todo.above, todo.identity)
        if key in above:
            raise SourceUnreadable("a symbolic link leads to a directory that it is in", path=path)
        return above

    def leaf(self, found: os.stat_result, path: bytes, fd: int, name: bytes) -> Node:
        """Return the node of something that is not a directory."""
        meta = self.meta(found, path, fd, name)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            return File(meta, HostFile(path, Identity.of(found)))
        if kind == stat.S_IFLNK:
            try:
                return Symlink(meta, os.readlink(name, dir_fd=fd) if fd >= 0 else self._target(path))
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

    @staticmethod
    def _target(path: bytes) -> bytes:
        """Return the target of the symbolic link at `path`."""
        return os.fsencode(os.readlink(os.fsdecode(path))) if is_faked() else os.readlink(path)

    def meta(self, found: os.stat_result, path: bytes, fd: int, name: bytes) -> Meta:
        xattrs = self.read_xattrs(path, fd, name) if self.xattrs else NO_XATTRS
        return Meta(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, xattrs)

    def read_xattrs(self, path: bytes, fd: int, name: bytes) -> Mapping[bytes, bytes]:
        """Return every extended attribute of `path`, `name` in the open directory `fd`; none where none are supported."""
        # No system call takes a directory's descriptor and a name here; /proc gives a short path for the same.
        target = path if len(path) <= _LONGEST or fd < 0 else b"/proc/self/fd/%d/%s" % (fd, name)
        try:
            names = os.listxattr(plain(target), follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_XATTRS:
                return NO_XATTRS
            _fail(error, path, "extended attributes")
        if not names:
            return NO_XATTRS
        values: dict[bytes, bytes] = {}
        for key in names:
            try:
                values[os.fsencode(key)] = os.getxattr(plain(target), key, follow_symlinks=False)
            except OSError as error:
                if error.errno == getattr(errno, "ENODATA", -1):
                    raise SourceChanged(f"extended attribute `{show(key)}` vanished during the scan", path=path) from None
                _fail(error, path, f"extended attribute `{show(key)}`")
        return values
