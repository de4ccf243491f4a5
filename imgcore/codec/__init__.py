"""Compressors and decompressors of whole buffers, by name.

`make_codec` gives a compressor in one configuration, `get_decoder` the function that undoes it, `codec_infos` says who
does the work here. Both engines call the same library function with the same arguments, so they write the same bytes;
`binding` finds these functions.
"""

from imgcore.codec.base import Codec, CodecInfo, Decoder
from imgcore.codec.best import BestCodec, alternatives, best_of
from imgcore.codec.registry import codec_infos, get_decoder, make_codec

__all__ = ["BestCodec", "Codec", "CodecInfo", "Decoder", "alternatives", "best_of", "codec_infos", "get_decoder", "make_codec"]
