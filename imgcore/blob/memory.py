"""Blobs that need no file: bytes, zeros, a slice of another blob."""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.blob.base import Blob, Segment

__all__ = ["EMPTY", "BytesBlob", "SliceBlob", "ZeroBlob"]


class BytesBlob:
    """Bytes in memory."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """Bytes in the blob."""
        return len(self.data)

    def read_at(self, at: int, size: int) -> bytes:
        """Return a slice of the bytes."""
        return self.data[at : at + size] if at >= 0 else b""

    def segments(self) -> Iterator[Segment]:
        """Yield one segment, or none when empty."""
        if self.data:
            yield Segment(0, len(self.data), False)


class ZeroBlob:
    """A hole of any size."""

    __slots__ = ("_size",)

    def __init__(self, size: int) -> None:
        self._size = size

    @property
    def size(self) -> int:
        """Bytes in the blob."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Return zeros."""
        return bytes(max(0, min(size, self._size - at)))

    def segments(self) -> Iterator[Segment]:
        """Yield one hole, or none when empty."""
        if self._size:
            yield Segment(0, self._size, True)


class SliceBlob:
    """`size` bytes of another blob from byte `start`; raises ValueError when they do not lie inside it."""

    __slots__ = ("_size", "blob", "start")

    def __init__(self, blob: Blob, start: int, size: int) -> None:
        if start < 0 or size < 0 or start > blob.size or size > blob.size - start:
            raise ValueError(f"{size} bytes at {start} are not inside a blob of {blob.size}")
        self.blob = blob
        self.start = start
        self._size = size

    @property
    def size(self) -> int:
        """Bytes in the slice."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the slice."""
        if at < 0 or at >= self._size:
            return b""
        return self.blob.read_at(self.start + at, min(size, self._size - at))

    def segments(self) -> Iterator[Segment]:
        """Yield the parts of the other blob's segments that lie in the slice."""
        return self.segments_in(0, self._size)

    def segments_in(self, first: int, length: int) -> Iterator[Segment]:
        """Yield data and holes of `length` bytes of the slice from `first`.

        A blob that can tell of a part of it is asked for that part only: an archive has as many slices as files.
        """
        start = self.start + first
        end = min(start + length, self.start + self._size)
        part = getattr(self.blob, "segments_in", None)
        for at, size, hole in self.blob.segments() if part is None else part(start, end - start):
            if at >= end:
                return
            low, high = max(at, start), min(at + size, end)
            if low < high:
                yield Segment(low - self.start, high - low, hole)


EMPTY = BytesBlob(b"")
