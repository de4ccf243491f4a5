"""Finds the C functions of the codecs, once, in the very libraries that the Python packages carry.

`zstandard` lends the functions of its own cffi module; the wheels of `lz4` and `deflate` export the symbols of the
libraries inside them; liblzma is reached through the standard library's `_lzma`, which depends on it. The pure engine
calls these functions from Python, the native core gets their addresses (`Bound`): not only one build, the same
function, hence the same bytes.

Where a library cannot be reached in this way (another platform's wheel, a static build that hides its symbols), a
loader returns None and the codec uses its package's Python API, in both engines: the native core then calls back.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any, NamedTuple

__all__ = ["Bound", "ScratchBuffers", "deflate_library", "lz4_library", "lzma_library", "zstd_module"]

_SIZE, _INT, _POINTER = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p

_LZ4 = {
    "LZ4_compressBound": (_INT, (_INT,)),
    "LZ4_compress_default": (_INT, (_POINTER, _POINTER, _INT, _INT)),
    "LZ4_compress_fast": (_INT, (_POINTER, _POINTER, _INT, _INT, _INT)),
    "LZ4_compress_HC": (_INT, (_POINTER, _POINTER, _INT, _INT, _INT)),
    "LZ4_decompress_safe": (_INT, (_POINTER, _POINTER, _INT, _INT)),
    "LZ4_versionString": (ctypes.c_char_p, ()),
}
_DEFLATE = {
    "libdeflate_alloc_compressor": (_POINTER, (_INT,)),
    "libdeflate_zlib_compress": (_SIZE, (_POINTER, _POINTER, _SIZE, _POINTER, _SIZE)),
    "libdeflate_zlib_compress_bound": (_SIZE, (_POINTER, _SIZE)),
    "libdeflate_free_compressor": (None, (_POINTER,)),
    "libdeflate_alloc_decompressor": (_POINTER, ()),
    "libdeflate_zlib_decompress_ex": (_INT, (_POINTER, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER, _POINTER)),
    "libdeflate_free_decompressor": (None, (_POINTER,)),
}
_LZMA = {
    "lzma_lzma_preset": (ctypes.c_ubyte, (_POINTER, ctypes.c_uint32)),
    "lzma_stream_encoder": (_INT, (_POINTER, _POINTER, _INT)),
    "lzma_stream_decoder": (_INT, (_POINTER, ctypes.c_uint64, ctypes.c_uint32)),
    "lzma_code": (_INT, (_POINTER, _INT)),
    "lzma_filter_encoder_is_supported": (ctypes.c_ubyte, (ctypes.c_uint64,)),
    "lzma_end": (None, (_POINTER,)),
    "lzma_version_string": (ctypes.c_char_p, ()),
}


class Bound(NamedTuple):
    """What the native core needs to call a codec itself.

    `kind` names the calling convention; `addresses` are its functions in the order that native/imgcore.h documents;
    `owner` keeps the library loaded. The rest means something to xz only: the dictionary's size, the id of a BCJ filter (0
    is none), whether the preset is the extreme one, and LZMA's parameters where the preset is not to decide (None).
    """

    kind: str
    level: int
    dict_size: int
    addresses: tuple[int, ...]
    owner: object
    filter: int = 0
    extreme: bool = False
    lc: int | None = None
    lp: int | None = None
    pb: int | None = None


class ScratchBuffers:
    """One output buffer, kept for the next call unless it is large; belongs to one thread."""

    KEEP = 4 << 20

    def __init__(self) -> None:
        self._kept = ctypes.create_string_buffer(1)

    def get(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """Return a buffer of at least `size` bytes, with anything in it."""
        if len(self._kept) >= size:
            return self._kept
        fresh = ctypes.create_string_buffer(size)
        if size <= self.KEEP:
            self._kept = fresh
        return fresh


def _load(extension: str, functions: dict[str, tuple[Any, tuple[Any, ...]]]) -> ctypes.CDLL | None:
    """Return an extension module as a C library with typed functions, or None if it lacks one of them."""
    path = getattr(importlib.import_module(extension), "__file__", None)
    if path is None:  # built into the interpreter
        return None
    try:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in functions.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library


@functools.cache
def lz4_library() -> ctypes.CDLL | None:
    """Return the LZ4 inside the `lz4` wheel."""
    return _load("lz4.block._block", _LZ4)


@functools.cache
def deflate_library() -> ctypes.CDLL | None:
    """Return the libdeflate inside the `deflate` wheel."""
    return _load("deflate._deflate", _DEFLATE)


@functools.cache
def lzma_library() -> ctypes.CDLL | None:
    """Return the liblzma that the standard library uses."""
    return _load("_lzma", _LZMA)


@functools.cache
def zstd_module() -> Any | None:
    """Return the cffi module of `zstandard`, with `ffi` and `lib`."""
    try:
        return importlib.import_module("zstandard._cffi")
    except ImportError:
        return None


def address(library: ctypes.CDLL, name: str) -> int:
    """Return where the function `name` of a library is."""
    where = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert where
    return where


def zstd_address(name: str) -> int:
    """Return where the function `name` of zstandard's cffi module is."""
    module = zstd_module()
    assert module is not None
    return int(module.ffi.cast("uintptr_t", module.ffi.addressof(module.lib, name)))
