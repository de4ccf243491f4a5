"""A payload undone piece by piece: decompressed, and its digest, which is of what is compressed, compared at the end.

Checksums of the compressed stream (CRC64 of xz) are left to that digest, which covers all that they do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgcore.blob import Blob, read_chunks
from imgcore.codec.bounded import bounded_stream
from imgcore.formats.rpm.digests import Digest
from imgcore.formats.rpm.header import Header
from imgcore.limits import Limits

__all__ = ["Undoing"]

_CHUNK: Final = 256 << 10
_LEAST: Final = 64 << 10


class Undoing:
    """The pieces of a payload, once; those of `packed` itself where `stream`, its compression, is None.

    The iteration raises Corrupt, LimitExceeded, SourceError; `require_digest` is for after its end.
    """

    def __init__(self, packed: Blob, stream: str | None, digest: Digest | None, header: Header, limits: Limits) -> None:
        self._digest = digest
        self._made = None if digest is None else digest.start(header)
        self._chunks = self._pieces = self._told(packed)
        if stream is not None:
            # What stands behind the stream is nobody's: of v3 and v4 packages only digests would tell.
            self._pieces = bounded_stream(stream, self._chunks, limits, start=header.end, strict=False, checked=digest is None)

    def _told(self, packed: Blob) -> Iterator[bytes]:
        """Yield the pieces of the payload as it is in the package, and digest them."""
        for data in read_chunks(packed, _CHUNK):
            if self._made is not None:
                self._made.update(data)
            yield data

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces, none of them small but the last: a stream may be a million members of a byte."""
        parts, size = [], 0
        for data in self._pieces:
            size += len(data)
            parts.append(data)
            if size >= _LEAST:
                yield data if len(parts) == 1 else b"".join(parts)
                parts, size = [], 0
        if parts:
            yield b"".join(parts)
        for _ in self._chunks:  # what the stream did not need is part of the digest
            pass

    def require_digest(self) -> None:
        """Raise VerificationFailed where all that was read has another digest than the header says."""
        if self._digest is not None and self._made is not None:
            self._digest.require(self._made.hexdigest())
