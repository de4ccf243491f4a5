"""The Blob protocol: immutable bytes with random access, of known size, perhaps with holes.

A Blob may be shared by threads. `read_at` returns exactly the bytes asked for, or fewer only at the end; reading past
the end returns b"". It raises SourceError when a file of the host cannot be read as it was found, FormatError when it
is a view of a broken image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["Blob", "Segment", "read_all", "read_chunks"]


class Segment(NamedTuple):
    """A run of a blob: `size` bytes from byte `at`; a hole reads as zeros and takes no space at its source."""

    at: int
    size: int
    hole: bool


@runtime_checkable
class Blob(Protocol):
    """Immutable bytes with random access."""

    @property
    def size(self) -> int:
        """Bytes in the blob."""
        ...

    def read_at(self, at: int, size: int) -> bytes:
        """Return the bytes from `at`, at most `size`, fewer only at the end."""
        ...

    def segments(self) -> Iterator[Segment]:
        """Yield data and holes in order, without gap or overlap, none of them empty."""
        ...


def read_chunks(blob: Blob, chunk: int = 1 << 20) -> Iterator[bytes]:
    """Yield the whole blob in order, in pieces of at most `chunk` bytes."""
    at = 0
    while at < blob.size:
        data = blob.read_at(at, min(chunk, blob.size - at))
        if not data:
            raise AssertionError(f"{type(blob).__name__} ended at {at} of {blob.size} bytes")
        yield data
        at += len(data)


def read_all(blob: Blob) -> bytes:
    """Return the whole blob; for blobs known to be small."""
    return b"".join(read_chunks(blob))
