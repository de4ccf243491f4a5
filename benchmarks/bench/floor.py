"""The floor: how long the codec alone takes for what an image holds, with as many threads; `floor.c` is the loop.

The blocks are in memory before the clock starts: those of all files in the order of the image, the tails put together to
fragments, without zeros and without blocks that were there before. So reading, hashing and writing are not in it, nor is
the early look that spares a codec what cannot shrink.
"""

from __future__ import annotations

import array
import ctypes
import hashlib
import mmap
import os
import shlex
import subprocess
import sys
from pathlib import Path

from bench.measure import ROOT, Measured, Runner, as_case, in_turn
from bench.programs import Codec, Programs
from bench.results import Case


def build(scratch: Path) -> ctypes.CDLL:
    """Return the compiled loop."""
    library = scratch / "floor.so"
    if not library.exists():
        sources = [ROOT / "benchmarks" / "floor.c", ROOT / "native" / "codec.c"]
        flags = ["-std=c11", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-pthread", "-I", ROOT / "native"]
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), *flags, *sources, "-o", library], check=True)
    loaded = ctypes.CDLL(str(library))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    loaded.floor_run.restype = ctypes.c_double
    loaded.floor_run.argtypes = [pointer, pointer, pointer, size, size, ctypes.c_uint, pointer]
    return loaded


class Blocks:
    """The blocks of a directory, one behind the other in memory."""

    def __init__(self, source: Path, block_size: int) -> None:
        paths = sorted(
            os.path.join(root, name)
            for root, _, names in os.walk(os.fsencode(source))
            for name in names
            if os.path.isfile(os.path.join(root, name)) and not os.path.islink(os.path.join(root, name))
        )
        self._room = mmap.mmap(-1, max(1, sum(os.stat(path).st_blocks * 512 + block_size for path in paths)))
        self.ends = array.array("Q")
        self.size = 0
        self._known: set[bytes] = set()
        self._block_size = block_size
        fragment = bytearray()
        for path in paths:
            with open(path, "rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                for at in range(0, size - size % block_size, block_size):
                    if _has_data(stream.fileno(), at, block_size):
                        self._add(os.pread(stream.fileno(), block_size, at))
                tail = os.pread(stream.fileno(), size % block_size, size - size % block_size)
            if not self._is_new(tail):
                continue
            if len(fragment) + len(tail) > block_size:
                self._append(bytes(fragment))
                fragment.clear()
            fragment += tail
        if fragment:
            self._append(bytes(fragment))

    def _is_new(self, data: bytes) -> bool:
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if not data or digest in self._known:
            return False
        self._known.add(digest)
        return True

    def _add(self, block: bytes) -> None:
        if block.count(0) != len(block) and self._is_new(block):
            self._append(block)

    def _append(self, block: bytes) -> None:
        self._room[self.size : self.size + len(block)] = block
        self.size += len(block)
        self.ends.append(self.size)

    def compress(self, loop: ctypes.CDLL, codec: int, threads: int) -> tuple[float, int]:
        """Return the seconds that all blocks take, and the bytes that come out; `codec` is the address of an imgcore_codec."""
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._room))
        ends, _ = self.ends.buffer_info()
        stored = ctypes.c_uint64()
        seconds = loop.floor_run(codec, start, ends, len(self.ends), self._block_size, threads, ctypes.byref(stored))
        if seconds < 0:
            raise MemoryError("the floor could not be measured")
        return seconds, stored.value


def _has_data(fd: int, at: int, size: int) -> bool:
    try:
        return os.lseek(fd, at, os.SEEK_DATA) < at + size
    except OSError:
        return False


def _address(codec: Codec, block_size: int) -> tuple[int, object]:
    """Return the address of the imgcore_codec that the engine would use, and what keeps it."""
    sys.path.insert(0, str(ROOT))
    from imgcore.codec import make_codec
    from imgcore.codec.binding import Bound
    from imgcore.engine.native import _core_codec, ffi
    from imgcore.formats.squashfs.codecs import DEFAULT_LEVELS

    level = codec.level if codec.level is not None else DEFAULT_LEVELS.get(codec.name)
    made = make_codec("zlib" if codec.name == "gzip" else codec.name, level, block_size=block_size)
    bound = getattr(made, "bound", None)
    if not isinstance(bound, Bound):
        raise SystemExit(f"{codec}: its functions cannot be reached from C on this machine")
    struct = ffi.new("imgcore_codec *", _core_codec(bound))
    return int(ffi.cast("uintptr_t", struct)), (struct, bound)


def against_floor(runner: Runner, programs: Programs, source: Path, blocks: Blocks, codec: Codec, rounds: int | None) -> Case:
    """Return the case of one directory and codec: packing it, and its floor, in turn."""
    loop = build(runner.scratch)
    address, keep = _address(codec, programs.block_size)
    image = runner.scratch / "ours.raw"
    command = programs.pack(codec, source, image)

    def floor() -> Measured:
        seconds, stored = blocks.compress(loop, address, programs.jobs)
        return Measured(seconds, 0.0, 0.0, stored / (1 << 20))

    def ours() -> Measured:
        done = runner.run(command, image)
        image.unlink()
        return done

    pairs = in_turn(ours, floor, rounds)
    del keep
    told = {"kind": "floor", "corpus": source.name, "codec": str(codec), "blocks": len(blocks.ends), "block_bytes": blocks.size}
    return {**told, **as_case(pairs, command, ["floor.c", f"{programs.jobs} threads"])}
