"""Bytes that come as a stream, kept in an unnamed temporary file, and then read like any other blob.

What is decompressed, or read from a pipe, goes here. Aligned blocks of zeros are not written: they become holes, so that
a bomb of zeros takes no disk. Nobody but this process sees the file, and it is gone whatever ends the process. In a
made-up file system (`faked`) the bytes are kept in memory: no descriptor there is good for all that is done here.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from typing import Self

from imgcore.blob.base import Segment
from imgcore.blob.faked import is_faked
from imgcore.blob.file import FileBlob
from imgcore.errors import OutputError

__all__ = ["Spool"]

_BLOCK = 64 << 10
_ZEROS = bytes(_BLOCK)
_FLUSH = 16 * _BLOCK


class Spool(FileBlob):
    """A blob that is filled first: `append` in order, `seal` once, then read; `with` closes it.

    Raises OutputError when the temporary file system refuses, most likely because it is full.
    """

    __slots__ = ("_memory", "_pending", "_pending_size", "_sealed", "_written")

    def __init__(self) -> None:
        self.path = b"temporary file"
        self._closed = False
        self._readers = 0
        self._lock = threading.Lock()
        self._size = 0
        self._written = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._sealed = False
        self._fd = -1
        self._memory: bytearray | None = bytearray() if is_faked() else None
        if self._memory is not None:
            return
        try:
            import tempfile  # late: few sources are streams

            with tempfile.TemporaryFile(prefix="imgcore-") as stream:
                self._fd = os.dup(stream.fileno())
        except OSError as error:
            raise _refused(error) from None

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        if self._sealed:
            raise ValueError("the spool was sealed")
        self._size += len(data)
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _FLUSH:
            self._flush()

    def seal(self) -> Self:
        """End the writing; return the spool itself, which can be read from now on."""
        if not self._sealed:
            self._flush(last=True)
            try:
                if self._memory is None:
                    os.ftruncate(self._fd, self._size)
                else:
                    self._memory.extend(bytes(self._size - len(self._memory)))
            except OSError as error:
                raise _refused(error) from None
            self._sealed = True
        return self

    def flush(self) -> int:
        """Return up to where the bytes can be read before `seal`: in whole blocks, what is behind them waits."""
        if not self._sealed and self._pending_size >= _BLOCK:
            self._flush()
            try:
                if self._memory is None:
                    os.ftruncate(self._fd, self._written)  # it may end in a hole
                else:
                    self._memory.extend(bytes(self._written - len(self._memory)))
            except OSError as error:
                raise _refused(error) from None
        return self._size if self._sealed else self._written

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of what was written; before `seal` of what `flush` said."""
        if self._memory is None:
            return super().read_at(at, size)
        if self._closed:
            raise ValueError("the spool was closed")
        return bytes(self._memory[at : at + max(size, 0)]) if at >= 0 else b""

    def segments_in(self, at: int, size: int) -> Iterator[Segment]:
        """Yield data and holes of `size` bytes from `at`."""
        end = min(at + size, self._size)
        if self._memory is None:
            yield from super().segments_in(at, size)
        elif at < end:
            yield Segment(at, end - at, False)

    def _close_if_unused(self) -> None:
        if self._memory is None:
            super()._close_if_unused()

    def _flush(self, last: bool = False) -> None:
        """Write what is pending, but for blocks of zeros; the odd end waits, so that positions stay aligned."""
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        keep = 0 if last else len(data) % _BLOCK
        view = memoryview(data)[: len(data) - keep]
        run = 0  # where the bytes begin that have to be written
        for at in range(0, len(view), _BLOCK):
            size = min(_BLOCK, len(view) - at)
            # startswith compares as memcmp does; comparing a memoryview takes it byte by byte
            if data.startswith(_ZEROS if size == _BLOCK else bytes(size), at):
                self._write(view[run:at], self._written + run)
                run = at + size
        self._write(view[run:], self._written + run)
        self._written += len(view)
        self._pending = [bytes(data[len(data) - keep :])] if keep else []
        self._pending_size = keep

    def _write(self, view: memoryview, at: int) -> None:
        if self._memory is not None:
            if len(view):
                self._memory.extend(bytes(at - len(self._memory)))
                self._memory.extend(view)
            return
        try:
            while len(view):
                done = os.pwrite(self._fd, view, at)
                view, at = view[done:], at + done
        except OSError as error:
            raise _refused(error) from None


def _refused(error: OSError) -> OutputError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    hint = "TMPDIR names a directory with more room" if full else "TMPDIR names a directory that can be written to"
    import tempfile

    return OutputError(f"cannot write a temporary file: {error.strerror}", path=os.fsencode(tempfile.gettempdir()), hint=hint)
