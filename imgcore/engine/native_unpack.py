"""A tree of an image made by the C core (native/unpack.h), of its columns.

Numbers of an image are checked there; what is wrong is told by the row, and the caller finds the words for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Final

from imgcore._core import ffi, lib
from imgcore.codec.decoding import bound_decoder
from imgcore.engine.stored import MadeKind, StoredFiles, TreeColumns, UnpackFailed, UnpackState

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
    lib.IMGCORE_UNPACK_MAKE_DIR: "make_dir",
    lib.IMGCORE_UNPACK_OPEN_DIR: "open_dir",
    lib.IMGCORE_UNPACK_NOT_DIR: "not_dir",
    lib.IMGCORE_UNPACK_REPLACED: "replaced",
}
_MOST_UNSET: Final = 256
_NO_XATTRS: Final = 0xFFFFFFFF

assert tuple(MadeKind) == (lib.IMGCORE_NOT_MADE, lib.IMGCORE_MAKE_FILE, lib.IMGCORE_MAKE_LINK, lib.IMGCORE_MAKE_DIR)


class NativeUnpack:
    """One run. `close` ends its threads; it has to be called, and removes files that are not whole."""

    def __init__(
        self,
        stored: StoredFiles,
        fd: int,
        start: int,
        root: int,
        files: TreeColumns,
        *,
        jobs: int,
        most_dirs: int,
        keep_owner: bool,
        replace: bool,
    ) -> None:
        """Start; `fd` is the file that has the image, from its byte `start` on, `root` the directory to unpack into.

        Raises MemoryError, OverflowError for owners and times that C cannot hold.
        """
        decoder = bound_decoder(stored.codec)
        assert decoder is not None
        self._kept: list[object] = [decoder.owner]
        self._xattr_names: list[bytes] = []
        spec = ffi.new("imgcore_unpack_spec *")
        spec.image_fd, spec.image_start, spec.image_size = fd, start, stored.size
        spec.root_fd, spec.most_dirs = root, most_dirs
        spec.jobs, spec.block_size, spec.keep_owner, spec.replace = jobs, stored.block_size, keep_owner, replace
        spec.decoder = {"kind": _KINDS[decoder.kind], "function": decoder.addresses}
        spec.rows = len(files.names)
        spec.names = self._bytes(b"\0".join(files.names) + b"\0")
        spec.name_at = self._column("Q", accumulate((len(name) + 1 for name in files.names), initial=0))
        spec.kinds = self._bytes(files.kinds, "uint8_t[]")
        spec.dirs, spec.dir_count = self._column("I", files.dirs), len(files.dirs)
        spec.starts, spec.parents = self._column("I", files.starts), self._column("I", files.parents)
        if files.targets:
            self._add_targets(spec, files)
        self._made = bytearray(len(files.dirs))
        self._devs, self._inos = (array("Q", bytes(8 * len(files.dirs))) for _ in range(2))
        spec.made = self._bytes(self._made, "uint8_t[]")
        spec.devs, spec.inos = self._column("Q", self._devs), self._column("Q", self._inos)
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

    def _bytes(self, data: bytes | bytearray, kind: str = "char[]") -> Any:
        pointer = ffi.from_buffer(kind, data)
        self._kept.append(pointer)
        return pointer

    def _add_targets(self, spec: Any, files: TreeColumns) -> None:
        places, at = array("Q", bytes(8 * len(files.names))), 0
        for row, target in files.targets.items():
            places[row] = at
            at += len(target) + 1
        spec.targets = self._bytes(b"\0".join(files.targets.values()) + b"\0")
        spec.target_at = self._column("Q", places)

    def _add_xattrs(self, spec: Any, files: TreeColumns) -> None:
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

    def walk(self) -> UnpackState:
        """Make directories, links and files, for about 0.1 s; `done` when all are there. Raises UnpackFailed."""
        lib.imgcore_unpack_walk(self._run, self._unset, _MOST_UNSET, self._state)
        return self._look(self._state.walked)

    def finish(self, *, root: bool) -> UnpackState:
        """Give directories their metadata, for about 0.1 s, that of the tree's root only with `root`. Raises UnpackFailed."""
        lib.imgcore_unpack_finish(self._run, root, self._unset, _MOST_UNSET, self._state)
        return self._look(self._state.finished)

    def _look(self, done: int) -> UnpackState:
        state = self._state
        if state.error in _WHAT:
            name = self._xattr_names[state.xattr] if state.error == lib.IMGCORE_UNPACK_XATTR else b""
            raise UnpackFailed(state.row, _WHAT[state.error], state.system_error, name)
        if state.error:
            raise MemoryError("the native engine ran out of memory")
        more = state.unset == _MOST_UNSET
        return UnpackState(state.files, state.bytes, state.written, state.links, state.last, bool(done) and not more)

    def identity(self, index: int) -> tuple[int, int]:
        """Return (device, inode) of a directory that was made, by its place in `dirs`."""
        return self._devs[index], self._inos[index]

    @property
    def dirs_made(self) -> bool:
        """Whether there is a directory but the root that was not there before."""
        return lib.IMGCORE_MADE in self._made[1:]

    def take_unset(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield (row, name, errno) of the extended attributes that were found refused since the call before the last."""
        for number in range(self._state.unset):
            unset = self._unset[number]
            yield unset.row, self._xattr_names[unset.xattr], unset.system_error

    def close(self) -> None:
        """End the threads."""
        lib.imgcore_unpack_close(self._run)
        self._run = ffi.NULL
