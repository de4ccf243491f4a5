"""Where images are written: append, patch what was appended, read it back.

`AtomicFile` is the usual one: a temporary file on the target's file system, fsync, link or rename; on any error nothing
is left behind and an older target is intact. `PlainFile` writes in place, for block devices and images at an offset.
`StreamSink` spools, because a superblock that comes first is known last, and copies to the stream at the end.
`MemorySink` is for tests and small images.

A sink is a context manager: leaving the block without an error commits, leaving it with one discards. All positions
are bytes from the image's start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import BinaryIO, Self

from imgcore.blob.faked import fchmod, is_faked, open_existing, resize
from imgcore.blob.sink_base import DescriptorSink, Sink, output_error
from imgcore.blob.sink_held import StreamSink
from imgcore.errors import OutputError, TargetExists

__all__ = ["AtomicFile", "PlainFile", "open_sink"]

_COPY = 1 << 20
_FORCE = "--force replaces it"


def _name_beside(target: bytes) -> bytes:
    """Return a free name in the target's directory."""
    return os.path.join(os.path.dirname(target), b".imgcore-" + os.urandom(8).hex().encode() + b".part")


def _open_beside(target: bytes) -> tuple[int, bytes | None]:
    """Return a new file on the target's file system: (descriptor, name), without a name where the system allows that.

    A file without a name is gone whatever ends the process, kill -9 and power failure included.
    """
    directory = os.path.dirname(target)
    if hasattr(os, "O_TMPFILE") and not is_faked() and os.path.isdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            return os.open(directory, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666), None
    name = _name_beside(target)
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666), name


class AtomicFile(DescriptorSink):
    """A regular file that appears whole or not at all.

    With `replace` an existing file is replaced (its mode is kept), else TargetExists is raised; a symbolic link is
    followed. Without `sync` the data is not forced to disk before the rename.
    """

    def __init__(
        self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes], *, replace: bool = False, sync: bool = True
    ) -> None:
        target = os.path.realpath(os.fsencode(path))
        self._target, self._replace, self._sync = target, replace, sync
        mode = None
        try:
            found = os.stat(target)
        except OSError:
            pass
        else:
            if not replace:
                raise TargetExists("target exists", path=os.fsencode(path), hint="--force replaces it")
            if not stat.S_ISREG(found.st_mode):
                raise OutputError("target is not a regular file", path=target)
            mode = stat.S_IMODE(found.st_mode)
        try:
            fd, self._name = _open_beside(target)
        except OSError as error:
            raise output_error(error, target) from None
        super().__init__(fd, target)
        if mode is not None:
            fchmod(fd, mode)

    def skip(self, size: int) -> None:
        """Append so many zeros, as a hole."""
        try:
            resize(self._fd, self._position + size)
        except OSError as error:
            raise output_error(error, self._path) from None
        self._position += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._commit()
        except BaseException:
            self._discard()
            raise

    def _commit(self) -> None:
        try:
            if self._sync:
                os.fsync(self._fd)
            self._publish()
            if self._sync:
                directory = os.open(os.path.dirname(self._target), os.O_RDONLY)
                try:
                    os.fsync(directory)
                finally:
                    os.close(directory)
        except FileExistsError:
            raise TargetExists("target appeared while it was written", path=self._target) from None
        except OSError as error:
            raise output_error(error, self._target) from None
        os.close(self._fd)
        self._fd = -1

    def _publish(self) -> None:
        """Give the file its name; link, unlike rename, refuses a target that appeared meanwhile."""
        if self._name is None:
            try:
                self._link_nameless(_name_beside(self._target) if self._replace else self._target)
            except FileExistsError:
                raise
            except OSError:
                self._name = self._copied()  # a file system that makes files without names and cannot name them
        if self._name is not None and not self._replace:
            try:
                os.link(self._name, self._target)
                os.unlink(self._name)
                self._name = None
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                    raise  # else a file system without hard links
        if self._name is not None:
            os.rename(self._name, self._target)
            self._name = None

    def _link_nameless(self, name: bytes) -> None:
        # The descriptor is named only to make Python call linkat, which alone can follow the link in /proc.
        os.link(f"/proc/self/fd/{self._fd}", name, src_dir_fd=self._fd, follow_symlinks=True)
        if self._replace:
            self._name = name

    def _copied(self) -> bytes:
        """Return the name of a new file beside the target with all that was written."""
        name = _name_beside(self._target)
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, stat.S_IMODE(os.fstat(self._fd).st_mode))
        try:
            at = 0
            while at < self._position:
                at += os.sendfile(fd, self._fd, at, min(_COPY, self._position - at))
            if self._sync:
                os.fsync(fd)
        except BaseException:
            os.unlink(name)
            raise
        finally:
            os.close(fd)
        return name

    def _discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._name is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._name)


class PlainFile(DescriptorSink):
    """A block device, or a file into which the image is written in place from byte `start`.

    What is before `start` stays, and what is behind the image, unless `cut` says that the file is to end with it. A file
    that does not exist is made. After an error a file that was made is removed, and one that ended before `start` is as
    long as before.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        start: int = 0,
        sync: bool = True,
        cut: bool = False,
    ) -> None:
        name = os.path.realpath(os.fsencode(path))
        self._made = not os.path.exists(name)
        is_device = not self._made and stat.S_ISBLK(os.stat(name).st_mode)
        flags = os.O_EXCL if is_device else os.O_CREAT  # O_EXCL: not a mounted device
        try:
            if is_faked() and not self._made:
                fd = open_existing(name, os.O_RDWR)
            else:
                fd = os.open(name, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
        except OSError as error:
            raise output_error(error, name) from None
        super().__init__(fd, name, start)
        self._sync, self._cut = sync, cut
        self._old_size = None if is_device else os.fstat(fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if self._old_size is not None:
                if kind is None and self._cut:
                    resize(self._fd, self._start + self._position)
                elif kind is not None and self._made:
                    os.unlink(self._path)
                elif kind is not None and self._old_size <= self._start:
                    resize(self._fd, self._old_size)
            if kind is None and self._sync:
                os.fsync(self._fd)
        except OSError as problem:
            raise output_error(problem, self._path) from None
        finally:
            os.close(self._fd)


def open_sink(
    dest: str | bytes | os.PathLike[str] | os.PathLike[bytes] | Sink | BinaryIO,
    *,
    replace: bool = False,
    sync: bool = True,
    start: int | None = None,
) -> Sink:
    """Return the sink for `dest`: a path (atomic; a block device or FIFO in place), a binary stream, or a sink itself.

    With `start` the image begins at that byte of the file, which is written in place and ends with it; a file that is
    longer has to be one to `replace`.
    """
    if start is not None and start < 0:
        raise ValueError(f"the offset {start} is negative")
    if isinstance(dest, (str, bytes, os.PathLike)):
        try:
            mode = os.stat(dest).st_mode
        except OSError:
            mode = 0
        if stat.S_ISBLK(mode):
            if not replace:
                raise TargetExists("target is a block device", path=os.fsencode(dest), hint="--force writes over it")
            return PlainFile(dest, start=start or 0, sync=sync)
        if start is not None:
            if mode and not stat.S_ISREG(mode):
                raise OutputError("an offset needs a file or a block device", path=os.fsencode(dest))
            if mode and not replace and os.stat(dest).st_size > start:
                raise TargetExists("target holds something behind the offset", path=os.fsencode(dest), hint=_FORCE)
            return PlainFile(dest, start=start, sync=sync, cut=True)
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            return StreamSink(open(dest, "wb"), close=True, name=os.fsencode(dest))
        return AtomicFile(dest, replace=replace, sync=sync)
    if hasattr(dest, "read_back"):
        return dest  # type: ignore[return-value]
    if hasattr(dest, "write"):
        return StreamSink(dest)
    raise TypeError(f"cannot write an image to a {type(dest).__name__}")
