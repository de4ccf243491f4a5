"""The .lzma container, to be read only: old squashfs images have it, Linux never did.

Squashfs writes five bytes of properties, the size, and then a stream *with* end marker, which strict decoders refuse.
As squashfs-tools does, the size is overwritten with "unknown"; a stream without a marker is accepted when it gives the
size it announced.
"""

from __future__ import annotations

import lzma
import struct

from imgcore.codec.base import Decoder
from imgcore.codec.xz import memory_limit
from imgcore.errors import Corrupt

__all__ = ["make_decoder"]

_PROPERTIES, _HEADER = 5, 13
_UNKNOWN_SIZE = b"\xff" * 8


def _decode(data: bytes | memoryview, max_size: int) -> bytes:
    if len(data) < _HEADER:
        raise Corrupt("lzma data is cut")
    (announced,) = struct.unpack_from("<Q", data, _PROPERTIES)
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=memory_limit(max_size))
    try:
        out = decoder.decompress(bytes(data[:_PROPERTIES]) + _UNKNOWN_SIZE)
        out += decoder.decompress(data[_HEADER:], max_length=max_size + 1)
    except lzma.LZMAError as error:
        raise Corrupt(f"lzma data is broken ({error})") from None
    if len(out) > max_size:
        raise Corrupt("lzma data gives too much", allowed=f"at most {max_size} bytes")
    if not decoder.eof and not (decoder.needs_input and len(out) == announced):
        raise Corrupt("lzma data is cut")
    return out


def make_decoder() -> Decoder:
    """Return the decoder."""
    return _decode
