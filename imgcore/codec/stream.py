"""Whole compressed streams, as `gzip` and its like write them: recognised, and undone piece by piece.

A `StreamDecoder` is an iterator of pieces of at most 1 MiB, whatever the stream claims or gives. Members that follow each
other are one stream, also of different kinds (a Linux initrd), and so are zeros between and behind them. Memory is
bounded: a window or dictionary that needs more than `memory` raises LimitExceeded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol

from imgcore.codec.binding import lzma_library, zstd_module
from imgcore.codec.registry import get_decoder
from imgcore.codec.stream_detect import HEAD_SIZE, detect_stream
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded

__all__ = ["STREAMS", "StreamDecoder", "decompress_stream"]

_PIECE: Final = 1 << 20
_STEP: Final = 256 << 10
_FIRST_STEP: Final = 512
_MEMORY: Final = 256 << 20
_LEGACY_BLOCK: Final = 8 << 20


class _Member(Protocol):
    """One member of a stream; the shape of bz2.BZ2Decompressor and lzma.LZMADecompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """A member of a gzip file; zlib checks its CRC and length."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = not self._stream.unconsumed_tail and len(out) < max_length
        return out


class _Zstd:
    """A frame of a zstd file, by ZSTD_decompressStream, which alone bounds both its output and what it takes."""

    def __init__(self, module: Any, memory: int) -> None:
        self._ffi, self._lib = module.ffi, module.lib
        context = self._lib.ZSTD_createDCtx()
        if context == self._ffi.NULL:
            raise MemoryError
        self._context = self._ffi.gc(context, self._lib.ZSTD_freeDCtx)
        window = max(10, min(memory.bit_length() - 1, 31))
        self._lib.ZSTD_DCtx_setParameter(context, self._lib.ZSTD_d_windowLogMax, window)
        self._rest = b""
        self._buffer = self._ffi.new("char[]", _PIECE)
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data = self._rest + data
        source = self._ffi.from_buffer(data)
        taken = self._ffi.new("ZSTD_inBuffer *", {"src": source, "size": len(data), "pos": 0})
        room = min(max_length, _PIECE)
        given = self._ffi.new("ZSTD_outBuffer *", {"dst": self._buffer, "size": room, "pos": 0})
        while True:
            before = taken.pos, given.pos
            result = self._lib.ZSTD_decompressStream(self._context, given, taken)
            if self._lib.ZSTD_isError(result):
                raise _zstd_error(self._ffi.string(self._lib.ZSTD_getErrorName(result)).decode("ascii", "replace"))
            if result == 0:
                self.eof = True
                self.unused_data = data[taken.pos :]
                break
            if given.pos == room or (taken.pos, given.pos) == before or taken.pos == len(data):
                break
        self._rest = b"" if self.eof else data[taken.pos :]
        self.needs_input = not self._rest and given.pos < room
        return bytes(self._ffi.buffer(self._buffer, given.pos))


class _ZstdByPackage:
    """The same by zstandard's API, whose output is not bounded: so it gets little at a time."""

    _FEW = 32  # bytes; a block of four bytes may stand for 128 KiB

    def __init__(self, memory: int) -> None:
        import zstandard

        self._broken = zstandard.ZstdError
        self._stream = zstandard.ZstdDecompressor(max_window_size=max(1 << 10, min(memory, 1 << 31))).decompressobj()
        self._rest = b""
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data + self._rest

    def decompress(self, data: bytes, max_length: int) -> bytes:
        data, parts, size, at = self._rest + data, [], 0, 0
        try:
            while at < len(data) and not self._stream.eof and size < max_length:
                part = self._stream.decompress(data[at : at + self._FEW])
                at += self._FEW
                parts.append(part)
                size += len(part)
        except self._broken as error:
            raise _zstd_error(str(error)) from None
        self._rest = data[at:]
        self.needs_input = not self._rest
        return b"".join(parts)


def _zstd_error(text: str) -> ImgcoreError:
    if "too much memory" in text:
        return LimitExceeded("zstd window too large", structure="limits", field="max_metadata")
    return Corrupt(f"zstd stream is broken ({text})")


class _LegacyLz4:
    """The format of `lz4 -l`, which Linux uses: blocks of 8 MiB, each behind its size, up to the end of the file."""

    def __init__(self) -> None:
        self._decode = get_decoder("lz4")
        self._rest = bytearray()
        self._out = b""
        self._given = 0  # bytes of `_out` that were handed on
        self._began = False
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._rest += data
        if self._given == len(self._out):
            self._out, self._given = b"", 0
            self._next_block()
        out = self._out[self._given : self._given + max_length]
        self._given += len(out)
        self.needs_input = not out
        return out

    def _next_block(self) -> None:
        if not self._began and len(self._rest) >= 4:
            del self._rest[:4]
            self._began = True
        if not self._began or len(self._rest) < 4:
            return
        (size,) = struct.unpack_from("<I", self._rest)
        if size == 0 or detect_stream(bytes(self._rest[:4])) is not None:
            self.eof, self.unused_data = True, bytes(self._rest)
        elif size > _LEGACY_BLOCK + _LEGACY_BLOCK // 255 + 16:
            raise Corrupt("lz4 block is too large", found=size, allowed=f"at most {_LEGACY_BLOCK} bytes and a little")
        elif len(self._rest) >= 4 + size:
            self._out = self._decode(bytes(self._rest[4 : 4 + size]), _LEGACY_BLOCK)
            del self._rest[: 4 + size]

    def ends_here(self) -> bool:
        """Return whether the file may end now: no block was begun."""
        return self._began and not self._rest and self._given == len(self._out)


def _zstd(memory: int) -> _Member:
    module = zstd_module()
    return _ZstdByPackage(memory) if module is None else _Zstd(module, memory)


# Each brings its library when it is needed, not with all the others: starting has to be quick.


def _bzip2(memory: int) -> _Member:
    import bz2

    return bz2.BZ2Decompressor()


def _xz(memory: int) -> _Member:
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory)


def _lzma(memory: int) -> _Member:
    import lzma

    return lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=memory)


def _lz4(memory: int) -> _Member:
    import lz4.frame

    decompressor: _Member = lz4.frame.LZ4FrameDecompressor()
    return decompressor


def _lzma_error() -> type[Exception]:
    import lzma

    return lzma.LZMAError


def _unchecked_xz(memory: int) -> _Member:
    from imgcore.codec.xz_unchecked import UncheckedXz

    library = lzma_library()
    return _DECODERS["xz"](memory) if library is None else UncheckedXz(library, memory)


_UNCHECKED: Final[dict[str, Callable[[int], _Member]]] = {"xz": _unchecked_xz}  # of the others, checking takes little time
_DECODERS: Final[dict[str, Callable[[int], _Member]]] = {
    "gzip": lambda memory: _Gzip(),
    "bzip2": _bzip2,
    "xz": _xz,
    "lzma": _lzma,
    "zstd": _zstd,
    "lz4": _lz4,
    "lz4-legacy": lambda memory: _LegacyLz4(),
}
STREAMS: Final = tuple(_DECODERS)
"""The kinds of streams that can be undone."""


class StreamDecoder:
    """Iterates over what a compressed stream gives.

    `chunks` are its bytes in pieces of any size; `memory` bounds windows and dictionaries; `start` is where it begins, for
    errors. With `strict`, bytes behind the stream that are neither zeros nor another stream raise Corrupt; else the
    iteration ends there. Without `checked` checksums may be passed over: for those who compare a digest of the stream.
    Raises Corrupt with the offset for a broken or cut stream, LimitExceeded, and what `chunks` does.

    Attributes:
        position: bytes taken of the compressed stream, from `start` on; after the end the place of what comes behind.
    """

    def __init__(
        self,
        name: str,
        chunks: Iterable[bytes],
        *,
        memory: int = _MEMORY,
        start: int = 0,
        strict: bool = True,
        checked: bool = True,
    ) -> None:
        if name not in _DECODERS:
            raise ValueError(f"`{name}` is not a compressed stream; known: {', '.join(STREAMS)}")
        self.name = name
        self.memory = memory
        self.position = 0
        self._start = start
        self._strict = strict
        self._decoders = _DECODERS if checked else _DECODERS | _UNCHECKED
        self._chunks = iter(chunks)
        self._buffer = b""
        self._at = 0

    def __iter__(self) -> Iterator[bytes]:
        name: str | None = self.name
        while name is not None:
            member = self._decoders[name](self.memory)
            # Small steps first: what a member leaves is copied, and a file may be a million members of nothing.
            step = _FIRST_STEP
            while not member.eof:
                data = b""
                if member.needs_input:
                    if not self._fill(1):
                        if isinstance(member, _LegacyLz4) and member.ends_here():
                            return
                        raise Corrupt(f"{name} stream is cut", offset=self._start + self.position)
                    data = self._buffer[self._at : self._at + step]
                    step = min(2 * step, _STEP)
                out = self._step(name, member, data)
                self._advance(len(data))
                for at in range(0, len(out), _PIECE):
                    yield out[at : at + _PIECE]
            self._advance(-len(member.unused_data or b""))  # lz4 says None
            name = self._next(name)

    def _advance(self, count: int) -> None:
        self._at += count
        self.position += count
        if self._at < 0:  # a member gave back more than the last chunk: bytes of chunks before
            raise AssertionError("a decoder returned bytes that it was not given")

    def _fill(self, count: int) -> bool:
        """Return whether at least `count` bytes are at hand, after a look for more."""
        while len(self._buffer) - self._at < count:
            more = next(self._chunks, b"")
            if not more:
                return False
            keep = max(0, self._at - _STEP)  # what a decoder may give back
            self._buffer = self._buffer[keep:] + more
            self._at -= keep
        return True

    def _step(self, name: str, member: _Member, data: bytes) -> bytes:
        """Return what the member makes of `data`, with an error of ours for each of the libraries'."""
        try:
            return member.decompress(data, _PIECE)
        except ImgcoreError as error:
            problem = error
        except _lzma_error() as error:  # asked for where there is an error only
            if "emory" in str(error):
                problem = LimitExceeded(f"{name} dictionary too large", structure="limits", field="max_metadata")
            else:
                problem = Corrupt(f"{name} stream is broken ({error})")
        except (zlib.error, OSError, EOFError, RuntimeError, ValueError) as error:
            problem = Corrupt(f"{name} stream is broken ({error})")
        if isinstance(problem, LimitExceeded):
            problem.allowed = f"{self.memory} bytes"
            problem.hint = "if you trust it: --limits trusted"
        problem.offset = self._start + self.position
        raise problem

    def _next(self, name: str) -> str | None:
        """Skip zeros; return the kind of the next member, None at the end."""
        while self._fill(1) and self._buffer[self._at] == 0:
            rest = self._buffer[self._at :]
            self._advance(len(rest) - len(rest.lstrip(b"\0")))
        if not self._fill(1):
            return None
        self._fill(HEAD_SIZE)
        head = self._buffer[self._at : self._at + HEAD_SIZE]
        following = detect_stream(head)
        if following is None and self._strict:
            raise Corrupt(f"bytes behind the end of the {name} stream", offset=self._start + self.position, found=head.hex(" "))
        return following


def decompress_stream(name: str, chunks: Iterable[bytes], *, memory: int = _MEMORY) -> Iterator[bytes]:
    """Yield what a compressed stream gives, in pieces of at most 1 MiB; see StreamDecoder."""
    return iter(StreamDecoder(name, chunks, memory=memory))
