"""XZ streams undone without their checks (CRC64 mostly), which take liblzma a sixth of its time.

For streams of which every byte is covered by a digest that is compared anyway. The functions are those of the standard
library's own liblzma, whose decompressor has no such option.
"""

from __future__ import annotations

import ctypes
import lzma
from typing import Final

from imgcore.codec.xz import Stream

__all__ = ["UncheckedXz"]

_RUN, _OK, _STREAM_END, _NO_MEMORY, _NO_PROGRESS = 0, 0, 1, 5, 10
_IGNORE_CHECK: Final = 0x10
_ERRORS: Final = {  # as the standard library says it
    6: "Memory usage limit exceeded",
    7: "Input format not supported by decoder",
    8: "Invalid or unsupported options",
    9: "Corrupt input data",
}


class UncheckedXz:
    """One stream; the shape of lzma.LZMADecompressor."""

    def __init__(self, library: ctypes.CDLL, memory: int) -> None:
        self._library = library
        self._end, self._stream = library.lzma_end, Stream()
        self._at = ctypes.byref(self._stream)
        self._data = b""  # what the stream's `next_in` points into
        self._room = ctypes.create_string_buffer(1)
        self.eof = False
        self._stream.avail_out = 1  # nothing waits to be given out
        if library.lzma_stream_decoder(self._at, memory, _IGNORE_CHECK) != _OK:
            raise MemoryError

    @property
    def needs_input(self) -> bool:
        """Whether all that was given has been taken, and what came of it was given out."""
        return not self.eof and not self._stream.avail_in and bool(self._stream.avail_out)

    @property
    def unused_data(self) -> bytes:
        """What came behind the end."""
        return self._data[len(self._data) - self._stream.avail_in :] if self.eof else b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes. Raises lzma.LZMAError."""
        stream = self._stream
        if data:
            self._data = self._data[len(self._data) - stream.avail_in :] + data
            stream.next_in = ctypes.cast(ctypes.c_char_p(self._data), ctypes.c_void_p)
            stream.avail_in = len(self._data)
        if len(self._room) < max_length:
            self._room = ctypes.create_string_buffer(max_length)
        stream.next_out, stream.avail_out = ctypes.addressof(self._room), max_length
        result = self._library.lzma_code(self._at, _RUN)
        if result == _STREAM_END:
            self.eof = True
        elif result == _NO_MEMORY:
            raise MemoryError
        elif result not in (_OK, _NO_PROGRESS):
            raise lzma.LZMAError(_ERRORS.get(result, f"Unrecognized error from liblzma: {result}"))
        return ctypes.string_at(self._room, max_length - stream.avail_out)

    def __del__(self) -> None:
        if hasattr(self, "_end"):
            self._end(self._at)
