"""Owner, extended attributes, mode and times of what `extract` made, in the one order that works.

Owner first, because changing it clears setuid, setgid and `security.capability`; then extended attributes, while the
mode still lets us write; then the mode; the time last, since everything before changes it.

A file or directory is reached through its descriptor, anything else through its directory's descriptor and its name,
without following a link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Mapping

from imgcore.blob.faked import fchmod, fchown, is_faked, plain
from imgcore.errors import OutputError, show
from imgcore.hosts.beneath import output_error
from imgcore.model import Meta
from imgcore.values import value_class

__all__ = ["Attributes", "may_be_refused", "unset_message", "xattr_error"]

_PRIVILEGED = (b"security.", b"trusted.", b"system.")
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


@value_class
class Attributes:
    """What to set. `warn` is told of an extended attribute that only root, or another system, could set."""

    keep_owner: bool
    xattrs: bool
    warn: Callable[[str, bytes], None]

    def mode_of(self, meta: Meta) -> int:
        """Return the mode to set: without the owner that they were meant for, setuid and setgid are dropped."""
        return meta.mode & self.mode_mask

    @property
    def mode_mask(self) -> int:
        """The bits of a mode that are set."""
        return 0o7777 if self.keep_owner else 0o1777

    def settable(self, xattrs: Mapping[bytes, bytes], path: bytes) -> list[tuple[bytes, bytes]]:
        """Return those extended attributes of `path` that are to be set, sorted; warn of what cannot be."""
        if not self.xattrs:
            return []
        if not hasattr(os, "setxattr"):
            self.warn("extended attributes cannot be set on this system", path)
            return []
        found = sorted(xattrs.items())
        if b"security.capability" in xattrs and not self.keep_owner:
            self.warn("extended attribute `security.capability` was not set: ownership is not kept", path)
            found = [item for item in found if item[0] != b"security.capability"]
        return found

    def apply(self, meta: Meta, path: bytes, fd: int) -> None:
        """Set everything on the file or directory `fd`; `path` is for messages. Raises OutputError."""
        try:
            if self.keep_owner:
                fchown(fd, meta.uid, meta.gid)
            self._set_xattrs(meta, path, lambda name, value: os.setxattr(fd, name, value), _PRIVILEGED)
            fchmod(fd, self.mode_of(meta))
            os.utime(fd, ns=(meta.mtime_ns, meta.mtime_ns))
        except OSError as error:
            raise output_error(error, path, "set owner, mode or time") from None
        except OverflowError:
            raise OutputError("time is outside of what this system can store", path=path) from None

    def apply_at(self, meta: Meta, path: bytes, name: bytes, dir_fd: int, *, mode: bool) -> None:
        """Set everything on `name` in the directory `dir_fd`; `mode` is False for a symbolic link, which has none."""
        try:
            if self.keep_owner:
                os.chown(plain(name), meta.uid, meta.gid, dir_fd=dir_fd, follow_symlinks=False)
            if meta.xattrs:
                # No system call takes a directory's descriptor and a name here: /proc stands for the descriptor.
                beside = path if is_faked() else b"/proc/self/fd/%d/%s" % (dir_fd, name)
                # Linux has user.* on files and directories only, whoever asks; an image may hold them elsewhere too.
                self._set_xattrs(
                    meta,
                    path,
                    lambda key, value: os.setxattr(plain(beside), key, value, follow_symlinks=False),
                    (*_PRIVILEGED, b"user."),
                )
            if mode:
                _chmod_at(name, self.mode_of(meta), dir_fd)
            os.utime(plain(name), ns=(meta.mtime_ns, meta.mtime_ns), dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            raise output_error(error, path, "set owner, mode or time") from None
        except OverflowError:
            raise OutputError("time is outside of what this system can store", path=path) from None

    def _set_xattrs(self, meta: Meta, path: bytes, put: Callable[[bytes, bytes], None], may_fail: tuple[bytes, ...]) -> None:
        """Set them all; those whose names start with one of `may_fail` may be refused by the system."""
        if not meta.xattrs:
            return
        for name, value in self.settable(meta.xattrs, path):
            try:
                put(name, value)
            except OSError as error:
                if name.startswith(may_fail) and error.errno in _REFUSED:
                    self.warn(unset_message(name, error.strerror), path)
                    continue
                raise xattr_error(error, path, name) from None


def may_be_refused(name: bytes) -> bool:
    """Return whether the system may refuse to set an extended attribute of a file or directory, which is then only told."""
    return name.startswith(_PRIVILEGED)


def unset_message(name: bytes, why: str | None) -> str:
    """Return what is said of an extended attribute that the system refused."""
    return f"extended attribute `{show(name)}` was not set: {why}"


def xattr_error(error: OSError, path: bytes, name: bytes) -> OutputError:
    """Return the OutputError for an extended attribute that could not be set, and should have been."""
    failure = output_error(error, path, f"set extended attribute `{show(name)}`")
    failure.hint = "the target's file system may not hold it; --no-xattrs unpacks without extended attributes"
    return failure


def _chmod_at(name: bytes, mode: int, dir_fd: int) -> None:
    """Set the mode of `name`, which may have been made a symbolic link by somebody else meanwhile. Raises OSError."""
    if is_faked():  # there is nobody else
        os.chmod(plain(name), mode, dir_fd=dir_fd)
        return
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, mode, dir_fd=dir_fd, follow_symlinks=False)
        return
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(b"/proc/self/fd/%d" % fd, mode)
    finally:
        os.close(fd)
