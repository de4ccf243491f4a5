"""The codecs that options name, and how the superblock's neighbour, the compressor options, records them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from imgcore.codec import Codec, best_of, make_codec
from imgcore.codec.lz4 import Lz4Codec
from imgcore.codec.xz import XzCodec
from imgcore.codec.zlib import StrategyCodec
from imgcore.formats.squashfs.layout import METADATA_SIZE
from imgcore.formats.squashfs.options import FILTERS, STRATEGIES, Options

__all__ = ["DEFAULT_LEVELS", "codec_for", "compressor_options", "effective_level"]

DEFAULT_LEVELS: Final = {"gzip": 6, "zstd": 15, "xz": 6}
_ZLIB_LEVEL: Final = 9  # the default of zlib's own, as mksquashfs has it

_MORE_LEVELS: Final = {"gzip": (12, 11), "zstd": (22, 18), "lz4": (12,)}
"""What `optimize` tries beside the level asked for; docs/formats/squashfs.md says what each gains."""

_XZ_FILTERS: Final = ("x86",)  # every kernel has it; ARM64's came with Linux 6.12, so it has to be asked for
_XZ_SETTINGS: Final = ({"pb": 0}, {"lc": 0, "lp": 2})


def effective_level(options: Options) -> int | None:
    """Return the level that will be used, None where the codec has none."""
    if options.level is None and options.uses_zlib:
        return _ZLIB_LEVEL
    return options.level if options.level is not None else DEFAULT_LEVELS.get(options.compression)


def codec_for(options: Options, *, metadata: bool = False) -> Codec | None:
    """Return the codec of data blocks or of metadata blocks, None to store.

    Raises ValueError for a bad level, and for what the library at hand cannot do.
    """
    if options.compression == "none":
        return None
    return best_of(list(_codecs(options, METADATA_SIZE if metadata else options.block_size, metadata)))


def _codecs(options: Options, block_size: int, metadata: bool) -> Iterator[Codec]:
    """Yield all configurations that a block is tried with, the one asked for first."""
    level = effective_level(options)
    name = "zlib" if options.compression == "gzip" else options.compression
    if options.compression == "xz" and not metadata:
        yield from _xz_codecs(options, block_size)
        return
    if options.uses_zlib:
        assert level is not None
        for strategy in options.strategy or ("default",):
            yield StrategyCodec(level, window=options.window or 15, strategy=strategy)
    elif options.acceleration is not None:
        yield Lz4Codec(acceleration=options.acceleration)
    else:
        yield make_codec(name, level, block_size=block_size)
    if options.optimize:
        for more in _MORE_LEVELS.get(options.compression, ()):
            yield make_codec(name, more, block_size=block_size)


def _xz_codecs(options: Options, block_size: int) -> Iterator[Codec]:
    level = effective_level(options)
    assert level is not None

    def codec(bcj: str | None, **parameters: int) -> Codec:
        asked = {name: value for name in ("lc", "lp", "pb") if (value := getattr(options, name)) is not None}
        return XzCodec(
            level,
            block_size=block_size,
            dict_size=options.dict_size,
            bcj=bcj,
            extreme=options.extreme,
            **{**parameters, **asked},
        )

    filters = [*options.filters]
    if options.optimize:
        filters += [bcj for bcj in _XZ_FILTERS if bcj not in filters]
    for bcj in (None, *filters):
        yield codec(bcj)
        if options.optimize and (options.lc, options.lp, options.pb) == (None, None, None):
            for parameters in _XZ_SETTINGS:
                yield codec(bcj, **parameters)


def _bits(names: tuple[str, ...], all_names: tuple[str, ...]) -> int:
    return sum(1 << all_names.index(name) for name in names)


def _used_filters(options: Options) -> tuple[str, ...]:
    """Return the filters that blocks of the image may have."""
    codec = codec_for(options)
    used = {one.bcj for one in getattr(codec, "alternatives", (codec,)) if isinstance(one, XzCodec)}
    return tuple(name for name in FILTERS if name in used)


def compressor_options(options: Options) -> bytes:
    """Return the compressor options that go behind the superblock, b"" where the defaults hold.

    Linux needs them for lz4, and for an xz dictionary larger than a block; the others are for `unsquashfs -s` and say
    what mksquashfs would.
    """
    level = effective_level(options)
    if options.compression == "lz4":
        return struct.pack("<ii", 1, 1 if level is not None or options.optimize else 0)
    if options.compression == "gzip" and level is not None:
        window, strategies = options.window or 15, _bits(options.strategy, STRATEGIES)
        if options.optimize:
            level = 9  # what libdeflate's highest are recorded as
        if min(level, 9) != 9 or window != 15 or strategies > 1:
            return struct.pack("<ihh", min(level, 9), window, strategies or 1)
    if options.compression == "zstd" and level is not None:
        level = 22 if options.optimize else level
        if level != 15:
            return struct.pack("<i", level)
    if options.compression == "xz":
        filters, dictionary = _used_filters(options), options.dict_size or max(options.block_size, METADATA_SIZE)
        if filters or dictionary != max(options.block_size, METADATA_SIZE):
            return struct.pack("<ii", dictionary, _bits(filters, FILTERS))
    return b""
