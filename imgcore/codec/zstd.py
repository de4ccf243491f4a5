"""zstd frames, by ZSTD_compress2 of the library inside the `zstandard` package.

A frame always records its content size, and the content size is known before compression starts, so the window is never
larger than the block: Linux refuses other frames.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import zstandard

from imgcore.codec.base import CodecInfo, Decoder, require_level
from imgcore.codec.binding import Bound, ScratchBuffers, zstd_address, zstd_module
from imgcore.errors import Corrupt

__all__ = ["DEFAULT_LEVEL", "FAST_LEVELS", "LEVELS", "ZstdCodec", "info", "make_decoder"]

LEVELS = tuple(range(1, 23))
FAST_LEVELS = range(-131072, 0)
DEFAULT_LEVEL = 15
_FIRST_SLOW_LEVEL = 5

_BOUND_FUNCTIONS = (
    "ZSTD_createCCtx",
    "ZSTD_CCtx_setParameter",
    "ZSTD_compress2",
    "ZSTD_compressBound",
    "ZSTD_isError",
    "ZSTD_freeCCtx",
)


class _Compressor:
    """One compression context and its output buffer; belongs to one thread."""

    def __init__(self, module: Any, level: int) -> None:
        self._ffi, self._lib = module.ffi, module.lib
        context = self._lib.ZSTD_createCCtx()
        if context == self._ffi.NULL:
            raise MemoryError
        self._context = self._ffi.gc(context, self._lib.ZSTD_freeCCtx)
        result = self._lib.ZSTD_CCtx_setParameter(self._context, self._lib.ZSTD_c_compressionLevel, level)
        assert not self._lib.ZSTD_isError(result)
        self._scratch = ScratchBuffers()

    def compress(self, data: bytes | memoryview) -> bytes:
        bound = self._lib.ZSTD_compressBound(len(data))
        buffer = self._scratch.get(bound)
        # The bound, not the buffer's length: both engines hand over the same arguments.
        size = self._lib.ZSTD_compress2(
            self._context, self._ffi.from_buffer(buffer), bound, self._ffi.from_buffer(data), len(data)
        )
        if self._lib.ZSTD_isError(size):
            raise MemoryError("zstd ran out of memory")  # the one error left within its own bound
        return ctypes.string_at(buffer, size)


class ZstdCodec:
    """zstd at one level; a negative one is faster and larger than level 1."""

    name = "zstd"

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        self.level = level
        self.slow = level >= _FIRST_SLOW_LEVEL
        self._local = threading.local()

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        return f"zstd {_version()} level {self.level}"

    @property
    def bound(self) -> Bound | None:
        """The functions for the native core; None where it has to call back."""
        module = zstd_module()
        if module is None:
            return None
        return Bound("zstd", self.level, 0, tuple(zstd_address(name) for name in _BOUND_FUNCTIONS), module)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as one zstd frame."""
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            module = zstd_module()
            if module is None:
                compressor = zstandard.ZstdCompressor(level=self.level, write_content_size=True)
            else:
                compressor = _Compressor(module, self.level)
            self._local.compressor = compressor
        out: bytes = compressor.compress(data)
        return out


class _Decompressor:
    """One decompression context and its output buffer; belongs to one thread."""

    def __init__(self, module: Any) -> None:
        self._ffi, self._lib = module.ffi, module.lib
        context = self._lib.ZSTD_createDCtx()
        if context == self._ffi.NULL:
            raise MemoryError
        self._context = self._ffi.gc(context, self._lib.ZSTD_freeDCtx)
        self._scratch = ScratchBuffers()

    def decompress(self, data: bytes | memoryview, max_size: int) -> bytes:
        buffer = self._scratch.get(max_size)
        size = self._lib.ZSTD_decompressDCtx(
            self._context, self._ffi.from_buffer(buffer), max_size, self._ffi.from_buffer(data), len(data)
        )
        if self._lib.ZSTD_isError(size):
            text = self._ffi.string(self._lib.ZSTD_getErrorName(size)).decode("ascii", "replace")
            raise Corrupt(f"zstd data is broken ({text})", allowed=f"at most {max_size} bytes")
        return ctypes.string_at(buffer, size)


def make(level: int | None, block_size: int) -> ZstdCodec:
    """Return the compressor of a level, None for the default one. Raises ValueError for another level."""
    if level not in FAST_LEVELS:
        require_level("zstd", level, LEVELS)
    return ZstdCodec(DEFAULT_LEVEL if level is None else level)


def make_decoder() -> Decoder:
    """Return the decoder; the buffer's size is the caller's, whatever the frame claims."""
    module = zstd_module()
    if module is None:
        return _decode_stream
    local = threading.local()

    def decode(data: bytes | memoryview, max_size: int) -> bytes:
        decompressor: _Decompressor | None = getattr(local, "decompressor", None)
        if decompressor is None:
            decompressor = local.decompressor = _Decompressor(module)
        return decompressor.decompress(data, max_size)

    return decode


def _decode_stream(data: bytes | memoryview, max_size: int) -> bytes:
    """Decode with zstandard's stream reader, the only one of its functions that does not believe the frame's header."""
    try:
        with zstandard.ZstdDecompressor(max_window_size=max(64 << 20, max_size)).stream_reader(data) as reader:
            out: bytes = reader.read(max_size + 1)
        declared = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise Corrupt(f"zstd data is broken ({error})") from None
    if len(out) > max_size:
        raise Corrupt("zstd data gives too much", allowed=f"at most {max_size} bytes")
    if declared > len(out):
        raise Corrupt("zstd data is cut")
    return out


def _version() -> str:
    return ".".join(str(part) for part in zstandard.ZSTD_VERSION)


def info() -> CodecInfo:
    """Return who does the work."""
    return CodecInfo("zstd", "zstandard", _version(), LEVELS, DEFAULT_LEVEL, True)
