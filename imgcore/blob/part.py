"""A part of a sink, written as if it were a whole image: what a partition holds is made where it will lie.

`PartSink` begins where its sink ends at that moment. `append_zeros` leaves a hole where the sink can, and `SinkBlob` reads
what was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from imgcore.blob.base import Segment
from imgcore.blob.sink_base import Sink

__all__ = ["PartSink", "SinkBlob", "append_zeros"]

_ZEROS: Final = 1 << 20


class PartSink:
    """What lies behind all that `sink` has so far; it neither commits nor discards."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._start = sink.position

    @property
    def position(self) -> int:
        """Bytes appended to this part so far."""
        return self._sink.position - self._start

    def append(self, data: bytes | memoryview) -> int:
        """Write at the end; return the position in this part that `data` begins at."""
        return self._sink.append(data) - self._start

    def patch(self, at: int, data: bytes) -> None:
        """Write over bytes of this part."""
        self._sink.patch(self._start + at, data)

    def read_back(self, at: int, size: int) -> bytes:
        """Return exactly `size` bytes of this part."""
        return self._sink.read_back(self._start + at, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None


class SinkBlob:
    """Bytes that were written to a sink: `size` of them from `start` on, or all that follow."""

    def __init__(self, sink: Sink, start: int = 0, size: int | None = None) -> None:
        self._sink = sink
        self._start = start
        self.size = sink.position - start if size is None else size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the image."""
        size = max(0, min(size, self.size - at)) if at >= 0 else 0
        return self._sink.read_back(self._start + at, size) if size else b""

    def segments(self) -> Iterator[Segment]:
        """Yield one segment."""
        if self.size:
            yield Segment(0, self.size, False)


def append_zeros(sink: Sink, size: int) -> None:
    """Append so many zeros, as a hole where the sink is a file that ends here."""
    skip = getattr(sink, "skip", None)
    if skip is not None:
        skip(size)
        return
    while size:
        part = min(size, _ZEROS)
        sink.append(bytes(part))
        size -= part
