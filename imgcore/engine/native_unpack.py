"""Files of an image written by the C core (native/unpack.h): its columns are handed over once, then directories to fill.

Numbers of an image are checked there; what is wrong is told by the row, and the caller finds the words for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Final

from imgcore._core import ffi, lib
from imgcore.codec.decoding import bound_decoder
from imgcore.engine.stored import FileColumns, StoredFiles, UnpackFailed, UnpackState

__all__ = ["NativeUnpack"]

_KINDS: Final = {
    "zlib": lib.IMGCORE_UNZLIB,
    "zstd": lib.IMGCORE_UNZSTD,
    "xz": lib.IMGCORE_UNXZ,
    "lz4": lib.IMGCORE_UNLZ4,
}
_WHAT: Final = {
    lib.IMGCORE_UNPACK_EXISTS: "exists",
    lib.IMGCORE_UNPACK_MAKE: "make",
    lib.IMGCORE_UNPACK_WRITE: "write",
    lib.IMGCORE_UNPACK_ATTRIBUTES: "attributes",
    lib.IMGCORE_UNPACK_XATTR: "xattr",
    lib.IMGCORE_UNPACK_READ: "content",
    lib.IMGCORE_UNPACK_CORRUPT: "content",
}
_MOST_UNSET: Final = 256
_NO_XATTRS: Final = 0xFFFFFFFF
_ANY: Final = (1 << 64) - 1


class NativeUnpack:
    """Threads that make files. `close` ends them; it has to be called, and removes files that are not whole."""

    def __init__(
        self, stored: StoredFiles, fd: int, start: int, files: FileColumns, *, jobs: int, keep_owner: bool, replace: bool
    ) -> None:
        """Start; `fd` is the file that has the image, from its byte `start` on. Raises MemoryError, OverflowError."""
        decoder = bound_decoder(stored.codec)
        assert decoder is not None
        self._kept: list[object] = [decoder.owner]
        self._xattr_names: list[bytes] = []
        spec = ffi.new("imgcore_unpack_spec *")
        spec.image_fd, spec.image_start, spec.image_size = fd, start, stored.size
        spec.jobs, spec.block_size, spec.keep_owner, spec.replace = jobs, stored.block_size, keep_owner, replace
        spec.decoder = {"kind": _KINDS[decoder.kind], "function": decoder.addresses}
        spec.rows = len(files.names)
        spec.names = self._bytes(b"\0".join(files.names) + b"\0")
        spec.name_at = self._column("Q", accumulate((len(name) + 1 for name in files.names), initial=0))
        spec.wanted = self._bytes(files.wanted, "uint8_t[]")
        spec.modes, spec.sizes = self._column("I", files.modes), self._column("Q", files.sizes)
        spec.uids, spec.gids = self._column("I", files.uids), self._column("I", files.gids)
        spec.mtimes_ns = self._column("q", files.mtimes_ns)
        spec.positions, spec.words_at = self._column("Q", stored.positions), self._column("Q", stored.words_at)
        spec.words, spec.word_count = self._column("I", stored.words), len(stored.words)
        spec.fragments, spec.offsets = self._column("I", stored.fragments), self._column("I", stored.offsets)
        spec.fragment_positions = self._column("Q", stored.fragment_positions)
        spec.fragment_words = self._column("I", stored.fragment_words)
        spec.fragment_count = len(stored.fragment_positions)
        if files.xattrs:
            self._add_xattrs(spec, files)
        self._unset = ffi.new("imgcore_unset[]", _MOST_UNSET)
        self._state = ffi.new("imgcore_unpack_state *")
        self._run = lib.imgcore_unpack_open(spec)
        if self._run == ffi.NULL:
            raise MemoryError("the native engine could not start its threads")

    @staticmethod
    def can_decode(codec: str) -> bool:
        """Return whether the decoder of this name has functions that C can call."""
        return bound_decoder(codec) is not None

    _TYPES: Final = {"Q": "uint64_t[]", "I": "uint32_t[]", "q": "int64_t[]"}

    def _column(self, code: str, values: Iterable[int]) -> Any:
        """Return a C array of these values, which is kept as long as this is."""
        column = values if isinstance(values, array) and values.typecode == code else array(code, values)
        pointer = ffi.from_buffer(self._TYPES[code], column)
        self._kept.append(pointer)
        return pointer

    def _bytes(self, data: bytes, kind: str = "char[]") -> Any:
        pointer = ffi.from_buffer(kind, data)
        self._kept.append(pointer)
        return pointer

    def _add_xattrs(self, spec: Any, files: FileColumns) -> None:
        """Lay out the sets of extended attributes, each once."""
        numbers: dict[int, int] = {}  # of a set, by the mapping's id
        rows, set_at = array("I", [_NO_XATTRS]) * len(files.names), [0]
        items: list[tuple[bytes, bytes]] = []
        for row, xattrs in files.xattrs.items():
            if id(xattrs) not in numbers:
                numbers[id(xattrs)] = len(numbers)
                items += sorted(xattrs.items())
                set_at.append(len(items))
            rows[row] = numbers[id(xattrs)]
        self._kept.append(files.xattrs)  # the ids are those of what is in it
        self._xattr_names = [name for name, _ in items]
        lengths = (size for name, value in items for size in (len(name) + 1, len(value)))
        places = list(accumulate(lengths, initial=0))
        spec.xattrs, spec.set_at = self._column("I", rows), self._column("Q", set_at)
        spec.xattr_name_at, spec.xattr_value_at = self._column("Q", places[:-1:2]), self._column("Q", places[1::2])
        spec.xattr_value_size = self._column("Q", [len(value) for _, value in items])
        spec.xattr_may_fail = self._bytes(bytes(files.may_fail(name) for name, _ in items), "uint8_t[]")
        spec.xattr_bytes = self._bytes(b"".join(name + b"\0" + value for name, value in items))

    def add(self, directory: int, first: int, end: int) -> None:
        """Have the wanted files among rows `first` to `end` made in `directory`, a descriptor that is closed afterwards."""
        if lib.imgcore_unpack_files(self._run, directory, first, end) != 0:
            raise MemoryError

    def wait(self, left: int = _ANY, dirs: int = _ANY) -> UnpackState:
        """Wait for at most 0.1 s until no more files and directories than these are not done. Raises UnpackFailed."""
        state = self._state
        lib.imgcore_unpack_wait(self._run, left, dirs, self._unset, _MOST_UNSET, state)
        if state.error in _WHAT:
            name = self._xattr_names[state.xattr] if state.error == lib.IMGCORE_UNPACK_XATTR else b""
            raise UnpackFailed(state.row, _WHAT[state.error], state.system_error, name)
        if state.error:
            raise MemoryError("the native engine ran out of memory")
        return UnpackState(state.files, state.bytes, state.written, state.last, state.left, state.dirs)

    def take_unset(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield (row, name, errno) of the extended attributes that the last `wait` found refused."""
        for number in range(self._state.unset):
            unset = self._unset[number]
            yield unset.row, self._xattr_names[unset.xattr], unset.system_error

    def close(self) -> None:
        """End the threads."""
        lib.imgcore_unpack_close(self._run)
        self._run = ffi.NULL
