"""The C functions of the decoders, for the native core; from the same libraries as those of the compressors (`binding`)."""

from __future__ import annotations

import ctypes
from typing import Final, NamedTuple

from imgcore.codec.binding import address, deflate_library, lz4_library, lzma_library, zstd_address, zstd_module

__all__ = ["BoundDecoder", "bound_decoder"]

_ZLIB: Final = ("libdeflate_alloc_decompressor", "libdeflate_zlib_decompress_ex", "libdeflate_free_decompressor")
_ZSTD: Final = ("ZSTD_createDCtx", "ZSTD_decompressDCtx", "ZSTD_isError", "ZSTD_freeDCtx")
_XZ: Final = ("lzma_stream_decoder", "lzma_code", "lzma_end")
_LZ4: Final = ("LZ4_decompress_safe",)


class BoundDecoder(NamedTuple):
    """A decoder's calling convention, its functions in the order of native/decode.h, and what keeps them loaded."""

    kind: str
    addresses: tuple[int, ...]
    owner: object


def bound_decoder(name: str) -> BoundDecoder | None:
    """Return the functions of the decoder `name`; None where it has none that C could call."""
    if name == "zstd":
        module = zstd_module()
        return None if module is None else BoundDecoder(name, tuple(zstd_address(function) for function in _ZSTD), module)
    library: ctypes.CDLL | None = None
    functions: tuple[str, ...] = ()
    if name == "zlib":
        library, functions = deflate_library(), _ZLIB
    elif name == "xz":
        library, functions = lzma_library(), _XZ
    elif name == "lz4":
        library, functions = lz4_library(), _LZ4
    if library is None:
        return None
    try:
        return BoundDecoder(name, tuple(address(library, function) for function in functions), library)
    except AttributeError:  # a build that hides this one
        return None
