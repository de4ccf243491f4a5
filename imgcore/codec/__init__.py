"""Compressors and decompressors of whole buffers, by name.

`make_codec` gives a compressor in one configuration, `get_decoder` the function that undoes it, `codec_infos` says who
does the work here. Both engines call the same library function with the same arguments, so they write the same bytes;
`binding` finds these functions.

Whole streams (a `.tar.gz`) are another matter: `StreamDecoder` undoes them, `StreamCompressor` makes them.
"""

from imgcore.codec.base import Codec, CodecInfo, Decoder
from imgcore.codec.best import BestCodec, alternatives, best_of
from imgcore.codec.registry import codec_infos, get_decoder, make_codec
from imgcore.codec.stream import StreamDecoder, decompress_stream, detect_stream
from imgcore.codec.stream_writer import StreamCompressor, stream_level

__all__ = [
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
