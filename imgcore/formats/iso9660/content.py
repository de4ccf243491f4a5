"""The content of files: extents of the image, and zisofs, where each block is compressed by itself."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from imgcore.blob import Blob, BytesBlob, Segment, SliceBlob
from imgcore.blob.cache import BlockCache
from imgcore.errors import Corrupt, Unsupported
from imgcore.formats.iso9660.layout import BLOCK
from imgcore.formats.iso9660.susp_reader import Zisofs

__all__ = ["ExtentBlob", "ZisofsBlob", "content_of"]

_MAGIC: Final = bytes.fromhex("37e45396c9dbd607")
_CACHE: Final = 4 << 20


def content_of(image: Blob, sections: Sequence[tuple[int, int]]) -> Blob:
    """Return the bytes of these sections, (block, bytes) each; those that are not in the image raise Corrupt when read."""
    if not any(size for _, size in sections):
        return BytesBlob(b"")
    if len(sections) == 1:
        block, size = sections[0]
        if block * BLOCK + size <= image.size:
            return SliceBlob(image, block * BLOCK, size)
    return ExtentBlob(image, sections)


class ExtentBlob:
    """Several extents, or one that is cut."""

    __slots__ = ("_image", "_sections", "_size", "_starts")

    def __init__(self, image: Blob, sections: Sequence[tuple[int, int]]) -> None:
        self._image = image
        self._sections = tuple(sections)
        self._starts = []
        self._size = 0
        for _, size in sections:
            self._starts.append(self._size)
            self._size += size

    @property
    def size(self) -> int:
        """Bytes of all extents."""
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes. Raises Corrupt where the image has ended."""
        end, out = min(at + size, self._size), []
        if at < 0 or at >= end:
            return b""
        for (block, length), start in zip(self._sections, self._starts, strict=True):
            first, last = max(at, start), min(end, start + length)
            if first < last:
                place = block * BLOCK + first - start
                data = self._image.read_at(place, last - first)
                if len(data) < last - first:
                    raise Corrupt(
                        "content behind the end of the image",
                        offset=place,
                        found=f"{len(data)} bytes",
                        allowed=f"{last - first}",
                    )
                out.append(data)
        return b"".join(out)

    def segments(self) -> Iterator[Segment]:
        """Yield one segment of data."""
        if self._size:
            yield Segment(0, self._size, False)


class ZisofsBlob:
    """A file that was compressed by blocks (zisofs, version 1)."""

    def __init__(self, stored: Blob, said: Zisofs) -> None:
        if said.method != b"pz":
            raise Unsupported("zisofs of version 2, which Linux does not read", structure="ZF", found=said.method)
        head = stored.read_at(0, 16)
        if len(head) < 16 or head[:8] != _MAGIC:
            raise Corrupt("zisofs file without its magic", structure="zisofs", field="magic")
        self._size = int.from_bytes(head[8:12], "little")
        self._header, log2 = 4 * head[12], head[13]
        if not 15 <= log2 <= 17 or self._header < 16:
            raise Corrupt("impossible zisofs header", structure="zisofs", field="block_log", found=log2, allowed="15 to 17")
        self._block = 1 << log2
        self._stored = stored
        self._count = -(-self._size // self._block)
        if self._header + 4 * (self._count + 1) > stored.size:
            raise Corrupt("zisofs pointers beyond the file", structure="zisofs", field="size", found=self._size)
        self._cache = BlockCache(_CACHE)
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of the plain file."""
        return self._size

    def _plain(self, number: int) -> bytes:
        known = self._cache.get(number)
        if known is not None:
            return known
        first, last = struct.unpack("<II", self._stored.read_at(self._header + 4 * number, 8))
        want = min(self._block, self._size - number * self._block)
        if first > last or last > self._stored.size:
            raise Corrupt("zisofs pointers that cannot be right", structure="zisofs", found=f"{first} to {last}")
        if first == last:
            data = bytes(want)
        else:
            if last - first > 2 * self._block:
                raise Corrupt("a zisofs block of impossible length", structure="zisofs", found=last - first)
            decoder = zlib.decompressobj()
            try:
                data = decoder.decompress(self._stored.read_at(first, last - first), want)
            except zlib.error as error:
                raise Corrupt(f"damaged zisofs block: {error}", structure="zisofs", found=f"block {number}") from None
            if len(data) != want:
                raise Corrupt("a zisofs block that is cut", structure="zisofs", found=len(data), allowed=want)
        self._cache.put(number, data)
        return data

    def read_at(self, at: int, size: int) -> bytes:
        """Return bytes of the plain file. Raises Corrupt."""
        end = min(at + size, self._size)
        if at < 0 or at >= end:
            return b""
        first, last = at // self._block, (end - 1) // self._block
        with self._lock:
            data = b"".join(self._plain(number) for number in range(first, last + 1))
        return data[at - first * self._block : end - first * self._block]

    def verify(self, check: Callable[[], None]) -> None:
        """Decompress every block; `check` is called now and then. Raises Corrupt."""
        for number in range(self._count):
            if number % 64 == 0:
                check()
            first, last = struct.unpack("<II", self._stored.read_at(self._header + 4 * number, 8))
            if first != last:
                with self._lock:
                    self._plain(number)

    def segments(self) -> Iterator[Segment]:
        """Yield one segment of data."""
        if self._size:
            yield Segment(0, self._size, False)
