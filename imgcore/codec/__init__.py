"""Compressors and decompressors of whole buffers, by name.

`make_codec` gives a compressor in one configuration, `get_decoder` the function that undoes it, `codec_infos` says who
does the work here. Both engines call the same library function with the same arguments, so they write the same bytes;
`binding` finds these functions.

Whole streams (a `.tar.gz`) are another matter: `StreamDecoder` undoes them, `StreamCompressor` makes them. Their modules,
and that of each codec, are imported when they are needed: starting has to be quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from imgcore.codec.base import Codec, CodecInfo, Decoder
from imgcore.codec.best import BestCodec, alternatives, best_of
from imgcore.codec.registry import codec_infos, get_decoder, make_codec
from imgcore.codec.stream_detect import HEAD_SIZE, detect_stream
from imgcore.codec.stream_levels import STREAM_LEVELS, stream_level

if TYPE_CHECKING:
    from imgcore.codec.stream import StreamDecoder, decompress_stream
    from imgcore.codec.stream_writer import StreamCompressor

__all__ = [
    "HEAD_SIZE",
    "STREAM_LEVELS",
    "BestCodec",
    "Codec",
    "CodecInfo",
    "Decoder",
    "StreamCompressor",
    "StreamDecoder",
    "alternatives",
    "best_of",
    "codec_infos",
    "decompress_stream",
    "detect_stream",
    "get_decoder",
    "make_codec",
    "stream_level",
]

_LATE = {
    "StreamCompressor": "imgcore.codec.stream_writer",
    "StreamDecoder": "imgcore.codec.stream",
    "decompress_stream": "imgcore.codec.stream",
}


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module `imgcore.codec` has no attribute `{name}`")
    return getattr(importlib.import_module(_LATE[name]), name)
