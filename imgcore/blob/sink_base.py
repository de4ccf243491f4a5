"""What every sink does, and bytes appended to a descriptor; see `imgcore.blob.sink`."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol, Self

from imgcore.blob.faked import is_faked, pread, pwrite
from imgcore.errors import OutputError, SourceChanged, SourceUnreadable

__all__ = ["DescriptorSink", "Sink", "append_from", "output_error"]

_COPY = 1 << 20
_KERNEL_COPY = 64 << 20


class Sink(Protocol):
    """Bytes being written."""

    @property
    def position(self) -> int:
        """Bytes appended so far."""
        ...

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; return the position that `data` begins at. Raises OutputError."""
        ...

    def patch(self, at: int, data: bytes) -> None:
        """Write over bytes that were appended before."""
        ...

    def read_back(self, at: int, size: int) -> bytes:
        """Return exactly `size` appended bytes."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None: ...


def output_error(error: OSError, path: bytes) -> OutputError:
    """Return the error for what the system said of a target."""
    hint = "the file system of the target is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
    return OutputError(f"cannot write: {error.strerror}", path=path, hint=hint)


class DescriptorSink:
    """append, patch and read_back on a descriptor, from byte `start` of the file."""

    def __init__(self, fd: int, path: bytes, start: int = 0) -> None:
        self._fd = fd
        self._path = path
        self._start = start
        self._position = 0

    @property
    def position(self) -> int:
        """Bytes appended so far."""
        return self._position

    def _write(self, at: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while len(view):
                written = pwrite(self._fd, view, self._start + at)
                view, at = view[written:], at + written
        except OSError as error:
            raise output_error(error, self._path) from None

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; return the position that `data` begins at."""
        at = self._position
        self._write(at, data)
        self._position += len(data)
        return at

    def patch(self, at: int, data: bytes) -> None:
        """Write over bytes that were appended before."""
        assert at >= 0 and at + len(data) <= self._position
        self._write(at, data)

    def read_back(self, at: int, size: int) -> bytes:
        """Return exactly `size` appended bytes."""
        assert at >= 0 and at + size <= self._position
        parts = []
        while size:
            try:
                part = pread(self._fd, size, self._start + at)
            except OSError as error:
                raise OutputError(f"cannot read back: {error.strerror}", path=self._path) from None
            if not part:
                raise OutputError("target was cut while it was written", path=self._path)
            parts.append(part)
            at, size = at + len(part), size - len(part)
        return b"".join(parts)


_NOT_BETWEEN = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.ETXTBSY))


def append_from(sink: Sink, fd: int, at: int, size: int, check: Callable[[], None]) -> None:
    """Append bytes of an open file, inside of the kernel where source and target allow it: shared, or copied.

    `check` is called between pieces. Raises SourceChanged when the file ends early, SourceUnreadable, OutputError.
    """
    if isinstance(sink, DescriptorSink) and hasattr(os, "copy_file_range") and not is_faked():
        while size:
            check()
            try:
                done = os.copy_file_range(fd, sink._fd, min(size, _KERNEL_COPY), at, sink._start + sink._position)
            except OSError as error:
                if error.errno not in _NOT_BETWEEN:
                    raise output_error(error, sink._path) from None
                break
            if not done:
                break
            sink._position += done
            at, size = at + done, size - done
    while size:
        check()
        try:
            data = pread(fd, min(size, _COPY), at)
        except OSError as error:
            raise SourceUnreadable(f"cannot read file: {error.strerror}", offset=at) from None
        if not data:
            raise SourceChanged("file shrank while it was read", offset=at)
        sink.append(data)
        at, size = at + len(data), size - len(data)
