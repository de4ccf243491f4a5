"""Bare LZO1X streams, by the optional package `lzallright`.

Its decoder grows its buffer until the output fits, and one byte may stand for 255; so a stream that could give very
much is measured first (`output_size`).
"""

from __future__ import annotations

import functools
import threading

from imgcore.codec.base import CodecInfo, Decoder, require_level
from imgcore.codec.binding import Bound
from imgcore.errors import Corrupt, Unsupported

__all__ = ["LzoCodec", "info", "make_decoder", "output_size"]

_HINT = "pip install 'imgcore[lzo]'"
_UNMEASURED = 64 << 20  # bytes of output that a decoder may hold without having measured the stream


class LzoCodec:
    """LZO1X; there is one level only, and no C function that the native core could call."""

    name = "lzo"
    level: int | None = None
    slow = True
    bound: Bound | None = None

    def __init__(self) -> None:
        _require()
        self._local = threading.local()

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        return f"lzo lzallright-{_version()}"

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as an LZO1X stream."""
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            import lzallright

            compressor = self._local.compressor = lzallright.LZOCompressor()
        out: bytes = compressor.compress(data)
        return out


def _require() -> None:
    try:
        import lzallright  # noqa: F401
    except ImportError:
        raise Unsupported("lzo needs the package `lzallright`, which is not installed", hint=_HINT) from None


def output_size(data: bytes, most: int) -> int:
    """Return how many bytes an LZO1X stream gives, without decoding it; stops counting above `most`.

    The walk follows Linux's Documentation/staging/lzo.rst. Raises Corrupt when the stream is cut.
    """
    at = total = 0
    state = 0  # literals copied by the instruction before: 0, 1 to 3, or 4 for a long run

    def long_length(base: int) -> int:
        """Return a length that zero bytes extend by 255 each."""
        nonlocal at
        start = at
        while data[at] == 0:
            at += 1
        at += 1
        return base + 255 * (at - 1 - start) + data[at - 1]

    try:
        if data[0] > 17:
            total = data[0] - 17
            at, state = 1 + total, min(total, 4)
        while total <= most:
            code = data[at]
            at += 1
            if code < 16 and state == 0:
                literals = (code or long_length(15)) + 3
                at, total, state = at + literals, total + literals, 4
                continue
            if code >= 64:
                length, at, state = (code >> 5) + 1, at + 1, code & 3
            elif code >= 16:
                mask = 31 if code >= 32 else 7
                length = (code & mask or long_length(mask)) + 2
                low, high = data[at], data[at + 1]
                at, state = at + 2, low & 3
                if code < 32 and not code & 8 and not low >> 2 and not high:
                    return total  # a distance of exactly 16384 ends the stream
            else:
                length, at, state = (3 if state == 4 else 2), at + 1, code & 3
            at, total = at + state, total + length + state
    except IndexError:
        raise Corrupt("LZO data is cut") from None
    return total


def _decode(data: bytes | memoryview, max_size: int) -> bytes:
    import lzallright

    raw = bytes(data)
    # An extended length is at least 4 bytes for up to 288, beside the zero bytes that add 255 each.
    if 255 * raw.count(0) + 72 * len(raw) > _UNMEASURED and output_size(raw, max_size) > max_size:
        raise Corrupt("LZO data gives too much", allowed=f"at most {max_size} bytes")
    try:
        out: bytes = lzallright.LZOCompressor.decompress(raw, max_size)
    except lzallright.InputNotConsumed as error:
        out = error.args[1]  # bytes after the stream: the caller sees by the size whether anything is missing
    except lzallright.LZOError as error:
        raise Corrupt(f"LZO data is broken ({error})", allowed=f"at most {max_size} bytes") from None
    if len(out) > max_size:
        raise Corrupt("LZO data gives too much", allowed=f"at most {max_size} bytes")
    return out


def make(level: int | None, block_size: int) -> LzoCodec:
    """Return the compressor of a level, None for the default one. Raises ValueError for another level."""
    require_level("lzo", level, ())
    return LzoCodec()


def make_decoder() -> Decoder:
    """Return the decoder. Raises Unsupported where the package is missing."""
    _require()
    return _decode


@functools.cache
def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("lzallright")


def info() -> CodecInfo:
    """Return who does the work."""
    try:
        _require()
    except Unsupported as error:
        return CodecInfo("lzo", "lzallright", "", (), None, False, f"{error.message}; {error.hint}")
    return CodecInfo("lzo", "lzallright", _version(), (), None, True)
