"""Sinks that hold an image before it goes anywhere, or go nowhere: a spool before a stream, a temporary file, memory."""

from __future__ import annotations

import contextlib
from typing import BinaryIO, Self

from imgcore.blob.sink_base import DescriptorSink, output_error

__all__ = ["MemorySink", "ScratchSink", "StreamSink"]

_COPY = 1 << 20


class StreamSink(DescriptorSink):
    """A pipe or standard output: the image is spooled in an unnamed file and copied when it is whole.

    With `close` the stream is closed in the end; `name` is what errors call it.
    """

    def __init__(self, stream: BinaryIO, *, close: bool = False, name: bytes = b"standard output") -> None:
        self._stream = stream
        self._name = name
        self._close = close
        import tempfile  # late, like all that few need

        self._spool = tempfile.TemporaryFile(prefix="imgcore-")  # noqa: SIM115 - __exit__ closes it
        super().__init__(self._spool.fileno(), b"temporary spool file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                for at in range(0, self._position, _COPY):
                    self._stream.write(self.read_back(at, min(_COPY, self._position - at)))
                self._stream.flush()
        except BrokenPipeError:
            raise  # the reader went away: the caller decides how silently to end
        except OSError as problem:
            raise output_error(problem, self._name) from None
        finally:
            self._spool.close()
            if self._close:
                with contextlib.suppress(OSError):  # it was flushed above, or that error is on its way
                    self._stream.close()


class ScratchSink(DescriptorSink):
    """An image in an unnamed temporary file, which is gone when the sink is left."""

    def __init__(self) -> None:
        import tempfile  # late, as above

        self._file = tempfile.TemporaryFile(prefix="imgcore-")  # noqa: SIM115 - __exit__ closes it
        super().__init__(self._file.fileno(), b"temporary file")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


class MemorySink:
    """An image in memory; `value()` returns it."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def position(self) -> int:
        """Bytes appended so far."""
        return len(self._data)

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; return the position that `data` begins at."""
        at = len(self._data)
        self._data += data
        return at

    def patch(self, at: int, data: bytes) -> None:
        """Write over bytes that were appended before."""
        assert at >= 0 and at + len(data) <= len(self._data)
        self._data[at : at + len(data)] = data

    def read_back(self, at: int, size: int) -> bytes:
        """Return exactly `size` appended bytes."""
        assert at >= 0 and at + size <= len(self._data)
        return bytes(self._data[at : at + size])

    def value(self) -> bytes:
        """Return all that was written."""
        return bytes(self._data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        return None
