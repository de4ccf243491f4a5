"""XZ containers, by the standard library's liblzma, in the one shape that Linux reads.

CRC32, one LZMA2 filter whose dictionary is as large as a block, at least 8 KiB (a larger one mounts and then fails to
read), and before it at most one BCJ filter, which turns the relative addresses in machine code into absolute ones, so
that they repeat. The level is liblzma's preset.

liblzma's functions are called through ctypes, as the native core calls them: Python's `lzma` knows no filter for ARM64 and
RISC-V, liblzma has them since 5.4 and 5.6. Where the functions cannot be reached `lzma` does the work, without these two.
"""

from __future__ import annotations

import ctypes
import functools
import lzma
import threading

from imgcore.codec.base import CodecInfo, Decoder, require_level
from imgcore.codec.binding import Bound, ScratchBuffers, address, lzma_library
from imgcore.errors import Corrupt

__all__ = ["BCJ", "DEFAULT_LEVEL", "LEVELS", "MIN_DICT", "XzCodec", "info", "make_decoder", "memory_limit"]

LEVELS = tuple(range(10))
DEFAULT_LEVEL = 6
MIN_DICT = 8192
BCJ = {"x86": 4, "powerpc": 5, "ia64": 6, "arm": 7, "armthumb": 8, "sparc": 9, "arm64": 10, "riscv": 11}
"""Filters for machine code, and their numbers in the format."""

_SINCE = {"arm64": "5.4", "riscv": "5.6"}
_LZMA2, _NO_MORE = 0x21, (1 << 64) - 1
_RUN, _FINISH, _OK, _STREAM_END, _CRC32 = 0, 3, 0, 1, 1
_BOUND_FUNCTIONS = ("lzma_lzma_preset", "lzma_stream_encoder", "lzma_code", "lzma_end")


class Stream(ctypes.Structure):
    """lzma_stream of the public header; what follows the named members is reserved."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_size_t),
        ("total_in", ctypes.c_uint64),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_size_t),
        ("total_out", ctypes.c_uint64),
        ("allocator", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
        ("reserved", ctypes.c_uint64 * 16),
    )


class _Options(ctypes.Structure):
    """lzma_options_lzma, of which lzma_lzma_preset fills all but what is named here."""

    _fields_ = (
        ("dict_size", ctypes.c_uint32),
        ("preset_dict", ctypes.c_void_p),
        ("preset_dict_size", ctypes.c_uint32),
        ("lc", ctypes.c_uint32),
        ("lp", ctypes.c_uint32),
        ("pb", ctypes.c_uint32),
        ("rest", ctypes.c_uint64 * 32),
    )


class _Filter(ctypes.Structure):
    """lzma_filter."""

    _fields_ = (("id", ctypes.c_uint64), ("options", ctypes.c_void_p))


class _Encoder:
    """One stream, whose memory is used again for each block; belongs to one thread."""

    def __init__(self, library: ctypes.CDLL, codec: XzCodec) -> None:
        self._library = library
        self._stream = Stream()
        self._end, self._at = library.lzma_end, ctypes.byref(self._stream)  # also there when the interpreter ends
        self._options = _Options()
        self._scratch = ScratchBuffers()
        if library.lzma_lzma_preset(ctypes.byref(self._options), codec.preset):
            raise ValueError(f"liblzma refuses the preset {codec.preset:#x}")
        self._options.dict_size = codec.dict_size
        for name, value in codec.parameters.items():
            setattr(self._options, name, value)
        chain = [_Filter(_LZMA2, ctypes.addressof(self._options)), _Filter(_NO_MORE, None)]
        if codec.bcj is not None:
            chain.insert(0, _Filter(BCJ[codec.bcj], None))
        self._filters = (_Filter * len(chain))(*chain)

    def compress(self, data: bytes) -> bytes:
        stream, library = self._stream, self._library
        result = library.lzma_stream_encoder(self._at, self._filters, _CRC32)
        if result != _OK:
            raise MemoryError("liblzma could not start to compress")
        room = len(data) + len(data) // 512 + 1024  # LZMA2 stores what does not shrink, in chunks of up to 64 KiB
        buffer = self._scratch.get(room)
        stream.next_in, stream.avail_in = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data)
        stream.next_out, stream.avail_out = ctypes.addressof(buffer), room
        while result == _OK and stream.avail_in:
            result = library.lzma_code(self._at, _RUN)
        while result == _OK:
            result = library.lzma_code(self._at, _FINISH)
        if result != _STREAM_END:
            raise MemoryError("liblzma ran out of memory")  # the one error left within this room
        return ctypes.string_at(buffer, room - stream.avail_out)

    def __del__(self) -> None:
        self._end(self._at)


class XzCodec:
    """LZMA2 at one level, for blocks of at most `block_size` bytes; `bcj` names a filter before it.

    `dict_size` is that of a block unless given; `extreme` is the level's slower variant; `lc`, `lp` and `pb` are LZMA's
    own parameters, the level's where they are None. Raises ValueError for what liblzma or Linux refuse.
    """

    name = "xz"
    slow = True

    def __init__(
        self,
        level: int = DEFAULT_LEVEL,
        *,
        block_size: int,
        dict_size: int | None = None,
        bcj: str | None = None,
        extreme: bool = False,
        lc: int | None = None,
        lp: int | None = None,
        pb: int | None = None,
    ) -> None:
        self.level = level
        self.dict_size = max(block_size, MIN_DICT) if dict_size is None else dict_size
        self.bcj = bcj
        self.preset = level | (lzma.PRESET_EXTREME if extreme else 0)
        if bcj == "arm64" and lc is None and lp is None:
            lc = lp = 2  # instructions of four bytes; what liblzma's authors advise for this filter
        given = {"lc": lc, "lp": lp, "pb": pb}
        self.parameters = {name: value for name, value in given.items() if value is not None}
        if bcj is not None:
            _require_filter(bcj)
        if not MIN_DICT <= self.dict_size <= max(block_size, MIN_DICT):
            raise ValueError(f"dictionary of {self.dict_size} bytes is not within {MIN_DICT} and {max(block_size, MIN_DICT)}")
        if any(not 0 <= value <= 4 for value in self.parameters.values()):
            raise ValueError("lc, lp and pb are numbers from 0 to 4")
        if self.parameters.get("lc", 3) + self.parameters.get("lp", 0) > 4:
            raise ValueError("lc and lp are more than 4 together")
        self._local = threading.local()

    @staticmethod
    def has_filter(bcj: str) -> bool:
        """Return whether the liblzma at hand has the filter `bcj`."""
        return _has_filter(bcj)

    @property
    def fingerprint(self) -> str:
        """What determines the bytes."""
        extra = f" {self.bcj}" if self.bcj is not None else ""
        extra += " extreme" if self.preset != self.level else ""
        extra += "".join(f" {name}{value}" for name, value in self.parameters.items())
        return f"xz {_version()} level {self.level} dictionary {self.dict_size}{extra}"

    @property
    def bound(self) -> Bound | None:
        """The functions for the native core; None where it has to call back."""
        library = lzma_library()
        if library is None:
            return None
        addresses = tuple(address(library, name) for name in _BOUND_FUNCTIONS)
        number = 0 if self.bcj is None else BCJ[self.bcj]
        extreme = self.preset != self.level
        return Bound("xz", self.level, self.dict_size, addresses, library, number, extreme, **self.parameters)

    def compress(self, data: bytes | memoryview) -> bytes:
        """Return `data` as one XZ stream of one block."""
        library = lzma_library()
        if library is None:
            lzma2 = {"id": lzma.FILTER_LZMA2, "preset": self.preset, "dict_size": self.dict_size, **self.parameters}
            filters = [lzma2] if self.bcj is None else [{"id": BCJ[self.bcj]}, lzma2]
            return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)
        encoder: _Encoder | None = getattr(self._local, "encoder", None)
        if encoder is None:
            encoder = self._local.encoder = _Encoder(library, self)
        return encoder.compress(bytes(data))


@functools.cache
def _has_filter(bcj: str) -> bool:
    library = lzma_library()
    if library is None:
        return bcj not in _SINCE
    return bool(library.lzma_filter_encoder_is_supported(BCJ[bcj]))


def _require_filter(bcj: str) -> None:
    """Raise ValueError for a filter that does not exist, or not here."""
    if bcj not in BCJ:
        raise ValueError(f"xz has no filter `{bcj}`; known: {', '.join(BCJ)}")
    if not _has_filter(bcj):
        since = f", which liblzma has since {_SINCE[bcj]}" if bcj in _SINCE else ""
        raise ValueError(f"liblzma {_version()}, which this Python uses, has no filter `{bcj}`{since}")


def memory_limit(max_size: int) -> int:
    """Return the memory a decoder may take: no dictionary of use is much larger than the output."""
    return max(64 << 20, 2 * max_size + (1 << 20))


def _decode(data: bytes | memoryview, max_size: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=memory_limit(max_size))
    try:
        out = decoder.decompress(data, max_length=max_size + 1)
    except lzma.LZMAError as error:
        raise Corrupt(f"xz data is broken ({error})") from None
    if len(out) > max_size:
        raise Corrupt("xz data gives too much", allowed=f"at most {max_size} bytes")
    if not decoder.eof:
        raise Corrupt("xz data is cut")
    return out


def make(level: int | None, block_size: int) -> XzCodec:
    """Return the compressor of a level, None for the default one. Raises ValueError for another level."""
    require_level("xz", level, LEVELS)
    return XzCodec(DEFAULT_LEVEL if level is None else level, block_size=block_size)


def make_decoder() -> Decoder:
    """Return the decoder."""
    return _decode


def _version() -> str:
    library = lzma_library()
    return "unknown" if library is None else str(library.lzma_version_string(), "ascii", "replace")


def info() -> CodecInfo:
    """Return who does the work."""
    return CodecInfo("xz", "lzma (liblzma)", _version(), LEVELS, DEFAULT_LEVEL, True)
