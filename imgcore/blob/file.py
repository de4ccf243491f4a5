"""Files of the host as blobs.

`HostFile` is a file of a scanned directory: a path and what stat said of it (`Identity`). It is opened for each use, so
that a tree of a million files holds no descriptor, and every use compares what it finds with the identity: a file that
was replaced, grew, shrank or was written to raises SourceChanged. The engine reads such files by path itself.

`FileBlob` is an image: one descriptor, held open until `close`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from typing import NamedTuple, Self

from imgcore.blob.base import Segment
from imgcore.blob.faked import FAKE_LOCK, is_faked, open_existing, pread
from imgcore.errors import SourceChanged, SourceUnreadable, show

__all__ = ["FileBlob", "HostFile", "Identity", "open_host"]

_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_LONGEST = 4000  # bytes of a path that one system call takes (PATH_MAX is 4096 with the NUL)


class Identity(NamedTuple):
    """What stat said of a regular file when it was scanned; `blocks` are 512-byte units, -1 where unknown.

    The time of the last change (`ctime_ns`) shows what a program that sets the time of modification back would hide.
    """

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    blocks: int

    @classmethod
    def of(cls, found: os.stat_result) -> Identity:
        """Return the identity that a stat result shows."""
        blocks = getattr(found, "st_blocks", -1)
        ctime_ns = 0 if is_faked() else found.st_ctime_ns  # pyfakefs changes it when a file is read
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, ctime_ns, blocks)


def open_host(path: bytes, flags: int) -> int:
    """Return a descriptor of the file at `path`, of any length; the last component is opened with `flags`.

    A path longer than the system's PATH_MAX is opened directory by directory. Raises OSError.
    """
    if len(path) <= _LONGEST:
        return open_existing(path, flags)
    directory = -1
    rest = path
    try:
        while len(rest) > _LONGEST:
            cut = rest.rfind(b"/", 0, _LONGEST)
            if cut <= 0:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
            step = os.open(
                rest[:cut],
                os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0),
                dir_fd=None if directory < 0 else directory,
            )
            if directory >= 0:
                os.close(directory)
            directory, rest = step, rest[cut:].lstrip(b"/")
        return os.open(rest, flags, dir_fd=directory)
    finally:
        if directory >= 0:
            os.close(directory)


def _knows_holes() -> bool:
    """Return whether the system tells where the holes of a file are."""
    return hasattr(os, "SEEK_HOLE") and not is_faked()


def _holes_of(fd: int, size: int, at: int = 0) -> Iterator[Segment]:
    """Yield the segments from `at` to `size` that SEEK_DATA and SEEK_HOLE find; one of data where these are not known."""
    while at < size:
        try:
            data = min(os.lseek(fd, at, os.SEEK_DATA), size)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield Segment(at, size - at, False)
                return
            data = size
        if data > at:
            yield Segment(at, data - at, True)
        if data >= size:
            return
        try:
            hole = min(os.lseek(fd, data, os.SEEK_HOLE), size)
        except OSError:
            hole = size
        if hole <= data:
            hole = size
        yield Segment(data, hole - data, False)
        at = hole


class HostFile:
    """A regular file of a scanned directory, opened anew for each use."""

    __slots__ = ("identity", "path")

    def __init__(self, path: bytes, identity: Identity) -> None:
        self.path = path
        self.identity = identity

    @property
    def size(self) -> int:
        """Bytes in the file when it was scanned."""
        return self.identity.size

    def open(self) -> int:
        """Return a descriptor of the file, which is still the scanned one; the caller closes it."""
        try:
            fd = open_host(self.path, _OPEN_FLAGS | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            raise SourceChanged("file vanished while it was read", path=self.path) from None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
                raise SourceChanged("file was replaced while it was read", path=self.path) from None
            raise SourceUnreadable(f"cannot open file: {error.strerror}", path=self.path) from None
        try:
            self.require_same(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def require_same(self, fd: int) -> None:
        """Raise SourceChanged unless the open file is the scanned one, of the same size and time."""
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) != self.identity[:2]:
            raise SourceChanged("file was replaced while it was read", path=self.path)
        shown = Identity.of(found)
        if shown[:-1] != self.identity[:-1]:
            raise SourceChanged(
                "file changed while it was read",
                path=self.path,
                found=f"{shown.size} bytes, mtime {shown.mtime_ns} ns, ctime {shown.ctime_ns} ns",
                allowed=f"{self.identity.size} bytes, mtime {self.identity.mtime_ns} ns, ctime {self.identity.ctime_ns} ns",
            )

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises SourceChanged or SourceUnreadable."""
        size = max(0, min(size, self.size - at)) if at >= 0 else 0
        if size == 0:
            return b""
        with FAKE_LOCK if is_faked() else contextlib.nullcontext():
            fd = self.open()
            try:
                data = read_exactly(fd, at, size, self.path)
                self.require_same(fd)
                return data
            finally:
                os.close(fd)

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes; only a file whose blocks do not cover its size is asked for holes."""
        if self.size == 0:
            return
        if self.identity.blocks < 0 or self.identity.blocks * 512 >= self.size or not _knows_holes():
            yield Segment(0, self.size, False)
            return
        fd = self.open()
        try:
            yield from _holes_of(fd, self.size)
        finally:
            os.close(fd)


def read_exactly(fd: int, at: int, size: int, path: bytes) -> bytes:
    """Return exactly `size` bytes at `at`; raises SourceChanged at an early end, SourceUnreadable on an I/O error."""
    parts = []
    while size:
        try:
            part = pread(fd, size, at)
        except OSError as error:
            raise SourceUnreadable(f"cannot read file: {error.strerror}", path=path, offset=at) from None
        if not part:
            raise SourceChanged("file shrank while it was read", path=path, offset=at)
        parts.append(part)
        at += len(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class FileBlob:
    """An image in a file or block device, held open; thread-safe; `with` closes it.

    Raises SourceUnreadable when it cannot be opened. Reading after `close` is a ValueError; a reader in another thread
    ends its read first, since a descriptor's number is soon another file's.
    """

    __slots__ = ("_closed", "_fd", "_lock", "_readers", "_size", "path")

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self.path = os.fsencode(path)
        self._closed = False
        self._readers = 0
        self._lock = threading.Lock()
        try:
            self._fd = open_existing(self.path, _OPEN_FLAGS)  # O_NONBLOCK among them: a FIFO must not make us wait
        except OSError as error:
            raise SourceUnreadable(f"cannot open: {error.strerror}", path=self.path) from None
        try:
            mode = os.fstat(self._fd).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
                raise SourceUnreadable("neither a regular file nor a block device", path=self.path)
            self._size = os.fstat(self._fd).st_size if is_faked() else os.lseek(self._fd, 0, os.SEEK_END)
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def size(self) -> int:
        """Bytes in the file when it was opened."""
        return self._size

    @contextlib.contextmanager
    def descriptor(self) -> Iterator[int]:
        """Hold the descriptor: it stays open until the block is left, `close` or not."""
        with self._lock:
            if self._closed:
                raise ValueError(f"{show(self.path)} was closed")
            self._readers += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._readers -= 1
                self._close_if_unused()

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the file. Raises SourceUnreadable, or SourceChanged when it was cut meanwhile."""
        size = max(0, min(size, self._size - at)) if at >= 0 else 0
        with self.descriptor() as fd:
            return read_exactly(fd, at, size, self.path) if size else b""

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes."""
        return self.segments_in(0, self._size)

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of `size` bytes from `at`, without a look at the rest of the file."""
        end = min(at + size, self._size)
        if not _knows_holes():
            if at < end:
                yield Segment(at, end - at, False)
            return
        with self.descriptor() as fd:
            yield from _holes_of(fd, end, at)  # lseek's answer does not depend on the position it moves

    def close(self) -> None:
        """Close the descriptor once nobody reads any more; twice is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closed and not self._readers:
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
