"""Codecs by name."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from imgcore.codec import lz4, lzma_alone, lzo, xz, zlib, zstd
from imgcore.codec.base import Codec, CodecInfo, Decoder

__all__ = ["codec_infos", "get_decoder", "make_codec"]

_DECODERS = {
    "zlib": zlib.make_decoder,
    "zstd": zstd.make_decoder,
    "xz": xz.make_decoder,
    "lz4": lz4.make_decoder,
    "lzo": lzo.make_decoder,
    "lzma": lzma_alone.make_decoder,
}


def _require_level(name: str, level: int | None, levels: Sequence[int]) -> None:
    """Raise ValueError for a level that the codec does not have."""
    if level is not None and level not in levels:
        allowed = f"levels {levels[0]} to {levels[-1]}" if levels else "no levels"
        raise ValueError(f"{name} has {allowed}, not {level}")


def make_codec(name: str, level: int | None = None, *, block_size: int) -> Codec:
    """Return the compressor `name` for blocks of at most `block_size` bytes; None is the default level.

    Raises ValueError for an unknown name or level, Unsupported where the codec's package is missing.
    """
    if name == "zlib":
        _require_level(name, level, zlib.LEVELS)
        return zlib.ZlibCodec(zlib.DEFAULT_LEVEL if level is None else level)
    if name == "zstd":
        if level not in zstd.FAST_LEVELS:
            _require_level(name, level, zstd.LEVELS)
        return zstd.ZstdCodec(zstd.DEFAULT_LEVEL if level is None else level)
    if name == "xz":
        _require_level(name, level, xz.LEVELS)
        return xz.XzCodec(xz.DEFAULT_LEVEL if level is None else level, block_size=block_size)
    if name == "lz4":
        _require_level(name, level, lz4.LEVELS)
        return lz4.Lz4Codec(level)
    if name == "lzo":
        _require_level(name, level, ())
        return lzo.LzoCodec()
    raise ValueError(f"`{name}` is not a codec; known: {', '.join(info.name for info in codec_infos())}")


@functools.cache
def get_decoder(name: str) -> Decoder:
    """Return the decoder of `zlib`, `zstd`, `xz`, `lz4`, `lzo` or `lzma`.

    Raises ValueError for another name, Unsupported where the codec's package is missing.
    """
    if name not in _DECODERS:
        raise ValueError(f"`{name}` is not a codec; known: {', '.join(_DECODERS)}")
    return _DECODERS[name]()


def codec_infos() -> list[CodecInfo]:
    """Return who does the work, for every codec that can write."""
    return [module.info() for module in (zlib, zstd, xz, lz4, lzo)]
