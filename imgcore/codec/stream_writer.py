"""Compressed streams, as `gzip` and its like read them; the bytes depend on the input and the level, not on `jobs`.

gzip, xz and bzip2 streams are members one after another, each of a fixed number of bytes of input and compressed by a
thread of its own. zstd is one frame, with threads inside of the library, whose result does not depend on how many there
are. With `single`, for Linux, which reads one member only, gzip and xz are one as well, and take one processor.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self

import deflate
import zstandard

from imgcore.codec.stream_levels import stream_level

__all__ = ["StreamCompressor"]

_CHUNKS: Final = {"gzip": 1 << 20, "bzip2": 4_500_000, "xz": 16 << 20}


class StreamCompressor:
    """Compresses what it is given and hands it to `write`, in order; `with` ends the stream, or abandons it on an error.

    `name` is none, gzip, bzip2, xz or zstd. Raises ValueError for a level that there is not.
    """

    def __init__(
        self, name: str, write: Callable[[bytes], object], *, level: int | None = None, jobs: int = 1, single: bool = False
    ) -> None:
        self.name = name
        self.level = stream_level(name, level, single=single)
        self._write = write
        self._single = single
        self._stream: Any = self._whole(jobs) if single or name == "zstd" else None
        self._chunk = _CHUNKS.get(name, 0)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._members = 0
        self._limit = jobs + 1
        self._futures: deque[Future[bytes]] = deque()
        self._pool = ThreadPoolExecutor(jobs) if jobs > 1 and self._chunk and self._stream is None else None

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        versions = {"zstd": ".".join(map(str, zstandard.ZSTD_VERSION)), "gzip": f"deflate-{deflate.__version__}"}
        if self.name == "gzip" and self._single:
            versions["gzip"] = f"zlib-{zlib.ZLIB_RUNTIME_VERSION}"
        version = versions.get(self.name)
        return " ".join([self.name, *([version] if version else []), *([] if self.level is None else [f"level {self.level}"])])

    def _whole(self, jobs: int) -> Any:
        """Return the compressor of a stream of one member, None where nothing is compressed."""
        level = self.level or 0
        if self.name == "zstd":
            return zstandard.ZstdCompressor(level=level, threads=jobs, write_checksum=True).compressobj()
        if self.name == "gzip":
            return zlib.compressobj(level, zlib.DEFLATED, 31)
        if self.name == "xz":
            return lzma.LZMACompressor(format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, preset=level)
        return bz2.BZ2Compressor(level) if self.name == "bzip2" else None

    def _member(self, data: bytes) -> bytes:
        level = self.level or 0
        if self.name == "gzip":
            return bytes(deflate.gzip_compress(data, level))
        if self.name == "xz":
            return lzma.compress(data, format=lzma.FORMAT_XZ, preset=level)
        return bz2.compress(data, level)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.name == "none":
            self._write(data)
        elif self._stream is not None:
            self._put(self._stream.compress(data))
        else:
            self._pending.append(data)
            self._pending_size += len(data)
            while self._pending_size >= self._chunk:
                whole = b"".join(self._pending)
                self._submit(whole[: self._chunk])
                rest = whole[self._chunk :]
                self._pending, self._pending_size = [rest], len(rest)

    def _put(self, data: bytes) -> None:
        if data:
            self._write(data)

    def _submit(self, data: bytes) -> None:
        self._members += 1
        if self._pool is None:
            self._put(self._member(data))
            return
        self._futures.append(self._pool.submit(self._member, data))
        while len(self._futures) > self._limit:
            self._put(self._futures.popleft().result())

    def finish(self) -> None:
        """End the stream; everything was handed to `write` then."""
        if self._stream is not None:
            self._put(self._stream.flush())
        elif self._chunk:
            if self._pending_size or not self._members:
                self._submit(b"".join(self._pending))
            while self._futures:
                self._put(self._futures.popleft().result())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._stream = None  # and with it zstd's threads
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
