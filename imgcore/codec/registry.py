"""Codecs by name."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from imgcore.codec.base import Codec, CodecInfo, Decoder

__all__ = ["codec_infos", "get_decoder", "make_codec"]

_WRITERS = ("zlib", "zstd", "xz", "lz4", "lzo")
_MODULES = {**{name: name for name in _WRITERS}, "lzma": "lzma_alone"}


def _module(name: str) -> Any:
    """Return the module of a codec, imported when it is first asked for."""
    return importlib.import_module(f"imgcore.codec.{_MODULES[name]}")


def make_codec(name: str, level: int | None = None, *, block_size: int) -> Codec:
    """Return the compressor `name` for blocks of at most `block_size` bytes; None is the default level.

    Raises ValueError for an unknown name or level, Unsupported where the codec's package is missing.
    """
    if name not in _WRITERS:
        raise ValueError(f"`{name}` is not a codec; known: {', '.join(_WRITERS)}")
    codec: Codec = _module(name).make(level, block_size)
    return codec


@functools.cache
def get_decoder(name: str) -> Decoder:
    """Return the decoder of `zlib`, `zstd`, `xz`, `lz4`, `lzo` or `lzma`.

    Raises ValueError for another name, Unsupported where the codec's package is missing.
    """
    if name not in _MODULES:
        raise ValueError(f"`{name}` is not a codec; known: {', '.join(_MODULES)}")
    decoder: Decoder = _module(name).make_decoder()
    return decoder


def codec_infos() -> list[CodecInfo]:
    """Return who does the work, for every codec that can write."""
    return [_module(name).info() for name in _WRITERS]
