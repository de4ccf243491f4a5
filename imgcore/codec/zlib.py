"""zlib streams, by libdeflate (the `deflate` package); by zlib itself where a window or a strategy is asked for."""

from __future__ import annotations

import ctypes
import functools
import threading
import zlib as stdlib_zlib

from imgcore.codec.base import CodecInfo, Decoder, require_level
from imgcore.codec.binding import Bound, ScratchBuffers, address, deflate_library
from imgcore.errors import Corrupt

__all__ = ["DEFAULT_LEVEL", "LEVELS", "STRATEGIES", "StrategyCodec", "ZlibCodec", "info", "make_decoder"]

LEVELS = tuple(range(1, 13))
DEFAULT_LEVEL = 6

_BOUND_FUNCTIONS = (
    "libdeflate_alloc_compressor",
    "libdeflate_zlib_compress",
    "libdeflate_zlib_compress_bound",
    "libdeflate_free_compressor",
)


class _Compressor:
    """One libdeflate compressor and its output buffer; belongs to one thread."""

    def __init__(self, library: ctypes.CDLL, level: int) -> None:
        self._library = library
        self._state = library.libdeflate_alloc_compressor(level)
        if not self._state:
            raise MemoryError
        self._scratch = ScratchBuffers()

    def compress(self, data: bytes) -> bytes:
        bound = self._library.libdeflate_zlib_compress_bound(self._state, len(data))
        buffer = self._scratch.get(bound)
        # The bound, not the buffer's length: both engines hand over the same arguments.
        size = self._library.libdeflate_zlib_compress(self._state, data, len(data), buffer, bound)
        assert size, "libdeflate failed within its own bound"
        return ctypes.string_at(buffer, size)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.libdeflate_free_compressor(self._state)


class ZlibCodec:
    """libdeflate at one level."""

    name = "zlib"
    slow = True

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        self.level = level
        self._local = threading.local()

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        return f"zlib deflate-{_version()} level {self.level}"

    @property
    def bound(self) -> Bound | None:
        """The functions for the native core; None where it has to call back."""
        library = deflate_library()
        if library is None:
            return None
        return Bound("zlib", self.level, 0, tuple(address(library, name) for name in _BOUND_FUNCTIONS), library)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as a zlib stream."""
        library = deflate_library()
        if library is None:
            import deflate

            return bytes(deflate.zlib_compress(data, self.level))
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._local.compressor = _Compressor(library, self.level)
        return compressor.compress(bytes(data))


STRATEGIES = {
    "default": stdlib_zlib.Z_DEFAULT_STRATEGY,
    "filtered": stdlib_zlib.Z_FILTERED,
    "huffman": stdlib_zlib.Z_HUFFMAN_ONLY,
    "rle": stdlib_zlib.Z_RLE,
    "fixed": stdlib_zlib.Z_FIXED,
}
_MEM_LEVEL = 8  # zlib's default, which mksquashfs takes too


class StrategyCodec:
    """zlib at one level, with one window (8 to 15 bits) and one strategy; the native core calls back for it."""

    name = "zlib"
    slow = True
    bound: Bound | None = None

    def __init__(self, level: int = 9, *, window: int = 15, strategy: str = "default") -> None:
        if not 1 <= level <= 9:
            raise ValueError(f"zlib has levels 1 to 9, not {level}")
        if not 8 <= window <= 15:
            raise ValueError(f"zlib has windows of 8 to 15 bits, not {window}")
        if strategy not in STRATEGIES:
            raise ValueError(f"zlib has no strategy `{strategy}`; known: {', '.join(STRATEGIES)}")
        self.level = level
        self.window = window
        self.strategy = strategy

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        version = stdlib_zlib.ZLIB_RUNTIME_VERSION
        return f"zlib zlib-{version} level {self.level} window {self.window} strategy {self.strategy}"

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as a zlib stream."""
        stream = stdlib_zlib.compressobj(self.level, stdlib_zlib.DEFLATED, self.window, _MEM_LEVEL, STRATEGIES[self.strategy])
        return stream.compress(data) + stream.flush()


class _Decompressor:
    """One libdeflate decompressor and its output buffer; belongs to one thread."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._state = library.libdeflate_alloc_decompressor()
        if not self._state:
            raise MemoryError
        self._scratch = ScratchBuffers()

    def decompress(self, data: bytes, max_size: int) -> bytes:
        buffer = self._scratch.get(max_size)
        used, size = ctypes.c_size_t(), ctypes.c_size_t()
        result = self._library.libdeflate_zlib_decompress_ex(
            self._state, data, len(data), buffer, max_size, ctypes.byref(used), ctypes.byref(size)
        )
        if result == 3:
            raise Corrupt("zlib data gives too much", allowed=f"at most {max_size} bytes")
        if result != 0:
            raise Corrupt("zlib data is broken")
        return ctypes.string_at(buffer, size.value)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.libdeflate_free_decompressor(self._state)


def make(level: int | None, block_size: int) -> ZlibCodec:
    """Return the compressor of a level, None for the default one. Raises ValueError for another level."""
    require_level("zlib", level, LEVELS)
    return ZlibCodec(DEFAULT_LEVEL if level is None else level)


def make_decoder() -> Decoder:
    """Return the decoder. Bytes after the stream are ignored, as Linux does."""
    library = deflate_library()
    if library is None:
        return _decode_stdlib
    local = threading.local()

    def decode(data: bytes | memoryview, max_size: int) -> bytes:
        decompressor: _Decompressor | None = getattr(local, "decompressor", None)
        if decompressor is None:
            decompressor = local.decompressor = _Decompressor(library)
        return decompressor.decompress(bytes(data), max_size)

    return decode


def _decode_stdlib(data: bytes | memoryview, max_size: int) -> bytes:
    stream = stdlib_zlib.decompressobj()
    try:
        out = stream.decompress(data, max_size + 1)
    except stdlib_zlib.error as error:
        raise Corrupt(f"zlib data is broken ({error})") from None
    if len(out) > max_size:
        raise Corrupt("zlib data gives too much", allowed=f"at most {max_size} bytes")
    if not stream.eof:
        raise Corrupt("zlib data is cut")
    return out


@functools.cache
def _version() -> str:
    import deflate

    return str(deflate.__version__)


def info() -> CodecInfo:
    """Return who does the work; libdeflate does not tell its version at run time, so it is that of the package."""
    return CodecInfo("zlib", "deflate (libdeflate)", _version(), LEVELS, DEFAULT_LEVEL, True)
