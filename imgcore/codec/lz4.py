"""Bare LZ4 blocks, by LZ4_compress_default, LZ4_compress_fast and LZ4_compress_HC of the library inside the `lz4` package.

LZ4_compress_default is also the quick look that the engine takes at a block before a slow codec gets it (`compress_into`).

`lz4.block` calls the stream functions, which write other and larger bytes below 64 KiB; so the functions are called
through ctypes, and `lz4.block` is used only where they cannot be reached.
"""

from __future__ import annotations

import ctypes
import threading

import lz4.block

from imgcore.codec.base import CodecInfo, Decoder, require_level
from imgcore.codec.binding import Bound, ScratchBuffers, address, lz4_library
from imgcore.errors import Corrupt

__all__ = ["LEVELS", "Lz4Codec", "compress_into", "compress_into_address", "info", "make_decoder"]

LEVELS = tuple(range(3, 13))
_MAX_ACCELERATION = 65537
_MAX_INPUT = 0x7E000000  # LZ4_MAX_INPUT_SIZE of the public header


class Lz4Codec:
    """LZ4, fast without a level, HC with one; `acceleration` above 1 makes the fast one faster still, and larger."""

    name = "lz4"

    def __init__(self, level: int | None = None, *, acceleration: int = 1) -> None:
        if level is not None and acceleration != 1:
            raise ValueError("LZ4 HC has no acceleration")
        if not 1 <= acceleration <= _MAX_ACCELERATION:
            raise ValueError(f"LZ4 has accelerations 1 to {_MAX_ACCELERATION}, not {acceleration}")
        self.level = level
        self.acceleration = acceleration
        self.slow = level is not None
        self._local = threading.local()

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        if self.acceleration != 1:
            return f"lz4 {_version()} fast acceleration {self.acceleration}"
        return f"lz4 {_version()} " + ("fast" if self.level is None else f"hc level {self.level}")

    @property
    def bound(self) -> Bound | None:
        """The functions for the native core; None where it has to call back."""
        library = lz4_library()
        if library is None:
            return None
        if self.level is not None:
            kind, name, number = "lz4hc", "LZ4_compress_HC", self.level
        elif self.acceleration != 1:
            kind, name, number = "lz4fast", "LZ4_compress_fast", self.acceleration
        else:
            kind, name, number = "lz4", "LZ4_compress_default", 0
        return Bound(kind, number, 0, (address(library, "LZ4_compressBound"), address(library, name)), library)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as one LZ4 block without its size."""
        library = lz4_library()
        if library is None:
            mode: dict[str, object] = {"mode": "high_compression", "compression": self.level}
            if self.level is None:
                mode = {"mode": "fast", "acceleration": self.acceleration} if self.acceleration != 1 else {"mode": "default"}
            return bytes(lz4.block.compress(data, store_size=False, **mode))
        if len(data) > _MAX_INPUT:
            raise ValueError(f"LZ4 takes at most {_MAX_INPUT} bytes, not {len(data)}")
        raw, bound = bytes(data), library.LZ4_compressBound(len(data))
        buffer = _scratch(self._local).get(bound)
        # The bound, not the buffer's length: both engines hand over the same arguments.
        if self.acceleration != 1:
            size = library.LZ4_compress_fast(raw, buffer, len(raw), bound, self.acceleration)
        elif self.level is None:
            size = library.LZ4_compress_default(raw, buffer, len(raw), bound)
        else:
            size = library.LZ4_compress_HC(raw, buffer, len(raw), bound, self.level)
        if size <= 0:
            raise MemoryError("LZ4 ran out of memory")  # the one error left within its own bound
        return ctypes.string_at(buffer, size)


_local = threading.local()


def compress_into(data: bytes, room: int) -> int:
    """Return the size of `data` compressed by LZ4_compress_default into `room` bytes, 0 when it does not fit."""
    library = lz4_library()
    if library is None:
        size = len(lz4.block.compress(data, store_size=False, mode="default"))
        return size if size <= room else 0
    return int(library.LZ4_compress_default(data, _scratch(_local).get(room), len(data), room))


def compress_into_address() -> int | None:
    """Return where LZ4_compress_default is for the native core; None where it has to call back."""
    library = lz4_library()
    return None if library is None else address(library, "LZ4_compress_default")


def _scratch(local: threading.local) -> ScratchBuffers:
    scratch: ScratchBuffers | None = getattr(local, "scratch", None)
    if scratch is None:
        scratch = local.scratch = ScratchBuffers()
    return scratch


def make(level: int | None, block_size: int) -> Lz4Codec:
    """Return the compressor of a level, None for the default one. Raises ValueError for another level."""
    require_level("lz4", level, LEVELS)
    return Lz4Codec(level)


def make_decoder() -> Decoder:
    """Return the decoder."""
    library = lz4_library()
    if library is None:
        return _decode_package
    local = threading.local()

    def decode(data: bytes | memoryview, max_size: int) -> bytes:
        if len(data) > _MAX_INPUT or max_size > _MAX_INPUT:
            raise Corrupt("LZ4 data is too long", found=len(data), allowed=f"at most {_MAX_INPUT} bytes")
        buffer = _scratch(local).get(max(1, max_size))
        size = library.LZ4_decompress_safe(bytes(data), buffer, len(data), max_size)
        if size < 0:
            raise Corrupt("LZ4 data is broken", allowed=f"at most {max_size} bytes")
        return ctypes.string_at(buffer, size)

    return decode


def _decode_package(data: bytes | memoryview, max_size: int) -> bytes:
    try:
        return bytes(lz4.block.decompress(data, uncompressed_size=max_size))
    except (lz4.block.LZ4BlockError, ValueError) as error:
        raise Corrupt(f"LZ4 data is broken ({error})", allowed=f"at most {max_size} bytes") from None


def _version() -> str:
    library = lz4_library()
    return str(lz4.library_version_string()) if library is None else str(library.LZ4_versionString(), "ascii", "replace")


def info() -> CodecInfo:
    """Return who does the work."""
    return CodecInfo("lz4", "lz4", _version(), LEVELS, None, True)
