"""Contents after a write or a truncation, as views of what was there before: nothing is read until somebody does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from imgcore.blob import Blob, BytesBlob, Segment, SliceBlob, ZeroBlob

__all__ = ["over", "patched", "resized"]


class _Run(NamedTuple):
    at: int
    blob: Blob


class _Spliced:
    """Blobs one behind the other."""

    __slots__ = ("_runs", "_size")

    def __init__(self, blobs: list[Blob]) -> None:
        self._runs: list[_Run] = []
        self._size = 0
        for blob in blobs:
            if blob.size:
                self._runs.append(_Run(self._size, blob))
                self._size += blob.size

    @property
    def size(self) -> int:
        """Bytes in all of them."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes, of several of them where need be."""
        if at < 0:
            return b""
        end, out = min(at + size, self._size), []
        for start, blob in self._runs:
            first, last = max(at, start), min(end, start + blob.size)
            if first < last:
                out.append(blob.read_at(first - start, last - first))
        return b"".join(out)

    def segments(self) -> Iterator[Segment]:
        """Yield the data and holes of each."""
        for start, blob in self._runs:
            for at, size, hole in blob.segments():
                yield Segment(start + at, size, hole)


def resized(blob: Blob, size: int) -> Blob:
    """Return the content cut or, with a hole, extended to `size` bytes."""
    if size <= blob.size:
        return SliceBlob(blob, 0, size) if size < blob.size else blob
    return _Spliced([blob, ZeroBlob(size - blob.size)])


def patched(blob: Blob, data: bytes, at: int) -> Blob:
    """Return the content after `data` was written at byte `at`."""
    end = at + len(data)
    rest = SliceBlob(blob, end, blob.size - end) if end < blob.size else ZeroBlob(0)
    return _Spliced([resized(blob, at), BytesBlob(data), rest])


def over(top: Blob, below: Blob) -> Blob:
    """Return the content of a file that had `below` after `top` was written from its first byte on."""
    if below.size <= top.size:
        return top
    return _Spliced([top, SliceBlob(below, top.size, below.size - top.size)])
