"""Directories below one directory of the host, reached without following anything.

Every step is one `openat` of one name with O_NOFOLLOW: never a path of several components, so a symbolic link in the
target leads nowhere, whoever put it there and when. `Place` is a directory that was opened so; it remembers which one it
was (device, inode). `Chain` keeps the descriptors of the directory that is worked on and of those above it, but only
the nearest `_OPEN_AT_MOST`: a parent whose descriptor was given up is reached again through `..`, and has to be the very
directory that it was.
"""

from __future__ import annotations

import errno
import os
from typing import Self

from imgcore.blob.faked import is_faked, plain
from imgcore.errors import OutputError

__all__ = ["Chain", "Place", "not_a_directory", "open_directory", "output_error", "replaced"]

_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_OPEN_AT_MOST = 64


def output_error(error: OSError, path: bytes, what: str) -> OutputError:
    """Return the OutputError for a system call that failed; `what` completes "cannot …"."""
    hint = "the file system of the target is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return OutputError(f"cannot {what}: {error.strerror}", path=path, hint=hint)


def not_a_directory(path: bytes) -> OutputError:
    """Return the error for something else in the place of a directory."""
    return OutputError(
        "something that is not a directory is where a directory has to be",
        path=path,
        hint="nothing in the target is followed or replaced by a directory; remove it, or unpack elsewhere",
    )


def replaced(path: bytes) -> OutputError:
    """Return the error for a directory that is another one than it was."""
    return OutputError("directory was replaced while it was written to", path=path)


class Place:
    """One directory below the target: its parent, its name there, which one it is, and its path for messages."""

    __slots__ = ("depth", "fd", "identity", "name", "parent", "path")

    def __init__(self, parent: Place | None, name: bytes, path: bytes, fd: int, known: tuple[int, int] | None = None) -> None:
        """`fd` is its descriptor, -1 for a directory that is closed but whose identity is `known`."""
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.name = name
        self.path = path
        self.fd = fd
        if known is None:
            found = os.fstat(fd)
            known = found.st_dev, found.st_ino
        self.identity = known

    def require_same(self, fd: int) -> None:
        """Raise OutputError unless `fd` is this directory."""
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != self.identity:
            raise replaced(self.path)


def open_directory(name: bytes, parent_fd: int, path: bytes) -> int:
    """Return a descriptor of the directory `name`, which must not be a symbolic link. Raises OutputError."""
    try:
        return os.open(plain(name), _FLAGS | _NOFOLLOW, dir_fd=parent_fd)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise not_a_directory(path) from None
        raise output_error(error, path, "open directory") from None


class Chain:
    """The way from the target down to the directory that is worked on, as open descriptors; `with` closes them."""

    def __init__(self, root_fd: int, path: bytes) -> None:
        self.root = Place(None, b"", path, root_fd)
        self._places = [self.root]

    @property
    def current(self) -> Place:
        """The directory that is worked on; its descriptor is open."""
        return self._places[-1]

    def enter(self, name: bytes) -> Place:
        """Go down into the directory `name` of the current one."""
        parent = self.current
        path = parent.path + b"/" + name
        fd = open_directory(name, parent.fd, path)
        try:
            place = Place(parent, name, path, fd)
        except BaseException:
            os.close(fd)
            raise
        self._push(place)
        return place

    def _push(self, place: Place) -> None:
        self._places.append(place)
        surplus = len(self._places) - _OPEN_AT_MOST
        if surplus > 1:  # the root's stays open: every other one can be found again from it
            self._close(self._places[surplus - 1])

    def leave(self) -> None:
        """Go up to the parent of the current directory."""
        child, parent = self._places[-1], self._places[-2]
        if parent.fd < 0:
            try:
                fd = os.open("..", _FLAGS, dir_fd=child.fd)
            except OSError as error:
                raise output_error(error, parent.path, "open directory again") from None
            try:
                parent.require_same(fd)
            except BaseException:
                os.close(fd)
                raise
            parent.fd = fd
        self._places.pop()
        self._close(child)

    def go_to(self, place: Place) -> None:
        """Go to a place that was entered before, by the shortest way along the chain."""
        down: list[Place] = []
        step: Place = place
        while not (step.depth < len(self._places) and self._places[step.depth] is step):
            down.append(step)
            assert step.parent is not None
            step = step.parent
        while self.current is not step:
            self.leave()
        for target in reversed(down):
            fd = open_directory(target.name, self.current.fd, target.path)
            try:
                target.require_same(fd)
            except BaseException:
                os.close(fd)
                raise
            target.fd = fd
            self._push(target)

    def reopen(self, place: Place) -> int:
        """Return a new descriptor of `place`, found from the root; for any thread. The caller closes it."""
        steps: list[Place] = []
        step = place
        while step.parent is not None:
            steps.append(step)
            step = step.parent
        # An older pyfakefs hands `dup` on to the real system, where this number is some other file.
        fd = os.open(plain(self.root.path), _FLAGS) if is_faked() else os.dup(self.root.fd)
        for step in reversed(steps):
            try:
                below = open_directory(step.name, fd, step.path)
            finally:
                os.close(fd)
            fd = below
        try:
            place.require_same(fd)
        except BaseException:
            os.close(fd)
            raise
        return fd

    @staticmethod
    def _close(place: Place) -> None:
        if place.fd >= 0:
            os.close(place.fd)
            place.fd = -1

    def close(self) -> None:
        """Close every descriptor."""
        for place in self._places:
            self._close(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
