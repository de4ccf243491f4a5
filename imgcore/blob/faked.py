"""Whether `os` is the operating system, or one that a test made up (pyfakefs), and what differs there.

pyfakefs puts an object in the place of `os` in every module. It lacks some calls (pread, pwrite, fchown …) and hands these
on to the real system, where its descriptors are other files: they must not be made. Names have to be text there, and
only one thread may be at work. Whoever makes such calls asks here; on a real system the answers are those of `os` itself.
"""

from __future__ import annotations

import os
import stat
import threading

__all__ = ["FAKE_LOCK", "fchmod", "fchown", "is_faked", "open_existing", "plain", "pread", "pwrite", "resize"]

FAKE_LOCK = threading.RLock()
"""Held while a made-up file is read or written."""


def is_faked() -> bool:
    """Return whether `os` is pyfakefs's; anything else is taken for the real one, with all its checks."""
    return type(os).__module__.partition(".")[0] == "pyfakefs"


def plain(name: bytes) -> bytes | str:
    """Return a name or path as `os` takes it."""
    return os.fsdecode(name) if is_faked() else name


def open_existing(path: bytes, flags: int) -> int:
    """Return a descriptor of a file that is there. Raises OSError."""
    if not is_faked():
        return os.open(path, flags)
    name = os.fsdecode(path)
    return os.open(name, flags, stat.S_IMODE(os.stat(name).st_mode))  # it sets the mode of what is there too


def pread(fd: int, size: int, at: int) -> bytes:
    """Return at most `size` bytes of a file from `at` on. Raises OSError."""
    if not is_faked():
        return os.pread(fd, size, at)
    with FAKE_LOCK:
        os.lseek(fd, at, os.SEEK_SET)
        return os.read(fd, size)


def pwrite(fd: int, data: bytes | memoryview, at: int) -> int:
    """Write `data` at `at`; return how many bytes were. Raises OSError."""
    if not is_faked():
        return os.pwrite(fd, data, at)
    with FAKE_LOCK:
        missing = at - os.fstat(fd).st_size
        if missing > 0:
            os.lseek(fd, at - missing, os.SEEK_SET)
            os.write(fd, bytes(missing))
        os.lseek(fd, at, os.SEEK_SET)
        return os.write(fd, bytes(data))


def resize(fd: int, size: int) -> None:
    """Make a file `size` bytes long. Raises OSError."""
    if not is_faked():
        os.ftruncate(fd, size)
    elif size > os.fstat(fd).st_size:
        pwrite(fd, b"\0", size - 1)  # its truncate only cuts
    elif size < os.fstat(fd).st_size:
        os.truncate(fd, size)  # its ftruncate came late


def fchmod(fd: int, mode: int) -> None:
    """Give an open file other permissions. Raises OSError."""
    if is_faked():
        os.chmod(fd, mode)
    else:
        os.fchmod(fd, mode)


def fchown(fd: int, uid: int, gid: int) -> None:
    """Give an open file to another owner. Raises OSError."""
    if is_faked():
        os.chown(fd, uid, gid)
    else:
        os.fchown(fd, uid, gid)
