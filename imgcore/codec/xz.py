"""XZ containers, by the standard library's liblzma, in the one shape that Linux reads.

CRC32 and a single LZMA2 filter, whose dictionary is as large as a block, at least 8 KiB: a larger one mounts and then
fails to read. The level is liblzma's preset.
"""

from __future__ import annotations

import lzma

from imgcore.codec.base import CodecInfo, Decoder
from imgcore.codec.binding import Bound, address, lzma_library
from imgcore.errors import Corrupt

__all__ = ["DEFAULT_LEVEL", "LEVELS", "MIN_DICT", "XzCodec", "info", "make_decoder", "memory_limit"]

LEVELS = tuple(range(10))
DEFAULT_LEVEL = 6
MIN_DICT = 8192

_BOUND_FUNCTIONS = ("lzma_lzma_preset", "lzma_stream_encoder", "lzma_code", "lzma_end")


class XzCodec:
    """LZMA2 at one level, for blocks of at most `block_size` bytes."""

    name = "xz"
    slow = True

    def __init__(self, level: int = DEFAULT_LEVEL, *, block_size: int) -> None:
        self.level = level
        self.dict_size = max(block_size, MIN_DICT)
        self._filters = [{"id": lzma.FILTER_LZMA2, "preset": level, "dict_size": self.dict_size}]

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        return f"xz {_version()} level {self.level} dictionary {self.dict_size}"

    @property
    def bound(self) -> Bound | None:
        """The functions for the native core; None where it has to call back."""
        library = lzma_library()
        if library is None:
            return None
        addresses = tuple(address(library, name) for name in _BOUND_FUNCTIONS)
        return Bound("xz", self.level, self.dict_size, addresses, library)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as one XZ stream of one block."""
        return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=self._filters)


def memory_limit(max_size: int) -> int:
    """Return the memory a decoder may take: no dictionary of use is much larger than the output."""
    return max(64 << 20, 2 * max_size + (1 << 20))


def _decode(data: bytes | memoryview, max_size: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory_limit(max_size))
    try:
        out = decoder.decompress(data, max_length=max_size + 1)
    except lzma.LZMAError as error:
        raise Corrupt(f"xz data is broken ({error})") from None
    if len(out) > max_size:
        raise Corrupt("xz data gives too much", allowed=f"at most {max_size} bytes")
    if not decoder.eof:
        raise Corrupt("xz data is cut")
    return out


def make_decoder() -> Decoder:
    """Return the decoder."""
    return _decode


def _version() -> str:
    library = lzma_library()
    return "unknown" if library is None else str(library.lzma_version_string(), "ascii", "replace")


def info() -> CodecInfo:
    """Return who does the work."""
    return CodecInfo("xz", "lzma (liblzma)", _version(), LEVELS, DEFAULT_LEVEL, True)
