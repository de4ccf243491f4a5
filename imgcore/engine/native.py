"""The engine in C: drives native/imgcore.h, and is the only module that imports the compiled core.

Files of the host are handed over as packed arrays of path and identity, a thousand at a time; the core opens and reads
them itself. Every other blob stays here: the core's threads call back to read it, and to compress with a codec that has
no C function. Pieces come back as an array of records, with the stored bytes copied out one by one while they are
yielded. Importing this module raises ImportError where the core was not built.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from imgcore._core import ffi, lib
from imgcore.blob import BytesBlob, HostFile
from imgcore.blob.faked import is_faked
from imgcore.codec import Codec, alternatives
from imgcore.codec.binding import Bound
from imgcore.codec.lz4 import compress_into, compress_into_address
from imgcore.engine.hashing import BlockHash
from imgcore.engine.native_hashing import hash_blocks
from imgcore.engine.native_rows import HostTree, NativeRows
from imgcore.engine.native_scan import scan
from imgcore.engine.protocol import HostRun, Job, Kind, Piece, Scanned, Spec
from imgcore.engine.pure import compress_all, hole_runs
from imgcore.engine.rows import RowColumns, RowEncoder
from imgcore.errors import ImgcoreError, SourceChanged, SourceError, SourceUnreadable
from imgcore.events import Control
from imgcore.store.base import Kept, StoreUse

__all__ = ["NativeEngine", "Times", "xxh3"]

_BATCH = 1024  # files handed over at once
_PIECES = 1024  # records taken at once
_LONGEST_PATH = 4000  # bytes; longer ones need HostFile's own way of opening
_ALL_ONES = (1 << 64) - 1

_FILE = struct.Struct("=QQQqqqQQ")  # imgcore_file
_PIECE = struct.Struct("=8Q")  # imgcore_piece
_NO_PATH = _ALL_ONES
_NO_HOLES, _PERHAPS_HOLES = -1, 0

_KINDS = (Kind.BLOCK, *Kind)  # by number; there is no 0
_TAILS = {"none": lib.IMGCORE_TAILS_NONE, "small": lib.IMGCORE_TAILS_SMALL, "all": lib.IMGCORE_TAILS_ALL}
_CODECS = {
    "zlib": lib.IMGCORE_ZLIB,
    "zstd": lib.IMGCORE_ZSTD,
    "xz": lib.IMGCORE_XZ,
    "lz4": lib.IMGCORE_LZ4,
    "lz4hc": lib.IMGCORE_LZ4HC,
    "lz4fast": lib.IMGCORE_LZ4FAST,
}
_CHANGED = {
    lib.IMGCORE_VANISHED: "file vanished while it was read",
    lib.IMGCORE_REPLACED: "file was replaced while it was read",
    lib.IMGCORE_CHANGED: "file changed while it was read",
    lib.IMGCORE_SHRANK: "file shrank while it was read",
}

assert ffi.sizeof("imgcore_file") == _FILE.size
assert ffi.sizeof("imgcore_piece") == _PIECE.size


class Times(NamedTuple):
    """Nanoseconds that the threads of one call spent, summed up, and the most bytes of content that were in flight."""

    read_ns: int
    hash_ns: int
    verify_ns: int
    compress_ns: int
    peak_bytes: int


class NativeEngine:
    """The block pipeline in C.

    `observe` is called with what the threads of each `pack` did when it ends, for benchmarks. `hash_mask` makes hashes
    collide, for tests.
    """

    name = "native"

    def __init__(self, *, observe: Callable[[Times], None] | None = None, hash_mask: int = _ALL_ONES) -> None:
        self._observe = observe
        self._hash_mask = hash_mask

    def pack(self, files: Iterable[Job | HostRun], spec: Spec, control: Control) -> Iterator[Piece]:
        """Yield the pieces of `files`; see `Engine.pack`."""
        run = _Run(spec, self._hash_mask)
        try:
            yield from run.pieces(iter(files), control)
        finally:
            times = run.close()
            if self._observe is not None:
                self._observe(times)

    def scan(self, top: bytes, skip: Collection[tuple[int, int, bytes]], xattrs: bool, control: Control) -> Scanned | None:
        """Return a directory of the host as columns; see `Engine.scan`."""
        return scan(top, skip, xattrs, control)

    def row_encoder(self, columns: RowColumns) -> RowEncoder | None:
        """Return what encodes inodes and listings; see `Engine.row_encoder`."""
        return NativeRows(columns)

    def hash_blocks(self, data: bytes, how: BlockHash) -> bytes:
        """Return the digests of the blocks of `data`; see `Engine.hash_blocks`."""
        return hash_blocks(data, how)

    def compress_all(self, blocks: Sequence[bytes], codec: Codec | None, jobs: int) -> list[tuple[bool, bytes]]:
        """Return (compressed, stored bytes) of each block."""
        return compress_all(blocks, codec, jobs)


class _Contents:
    """What the core's threads call back for; an exception is kept for the one who sees the core's answer."""

    def __init__(self, codecs: tuple[Codec, ...], use: StoreUse | None) -> None:
        self.use = use
        self._runs: list[Sequence[Job] | HostRun] = []
        self._starts: list[int] = []  # the number of the first job of each run
        self.job_count = 0
        self.failures: dict[int, BaseException] = {}
        self.codec_failure: BaseException | None = None
        self._codecs = codecs
        self._holes_of = -1
        self._holes: Iterator[tuple[int, int]] = iter(())
        self._hole = (0, 0)

    def add(self, run: Sequence[Job] | HostRun) -> None:
        """Keep jobs that the core was given."""
        self._runs.append(run)
        self._starts.append(self.job_count)
        self.job_count += len(run.rows) if isinstance(run, HostRun) else len(run)

    def job(self, number: int) -> Job:
        """Return a job by its number."""
        place = bisect_right(self._starts, number) - 1
        run, index = self._runs[place], number - self._starts[place]
        return run.job(index) if isinstance(run, HostRun) else run[index]

    def read(self, job: int, at: int, size: int) -> bytes:
        """Return exactly the bytes asked for."""
        data = self.job(job).blob.read_at(at, size)
        if len(data) != size:
            raise SourceChanged("content ended early", offset=at, found=f"{len(data)} bytes", allowed=f"{size} bytes")
        return data

    def next_hole(self, job: int, at: int) -> tuple[int, int]:
        """Return the first hole that ends after `at`, an empty one at the end if there is none; `at` only grows."""
        blob = self.job(job).blob
        if self._holes_of != job:
            self._holes_of, self._holes, self._hole = job, hole_runs(blob), (0, 0)
        while self._hole[1] <= at:
            self._hole = next(self._holes, (blob.size, blob.size))
            if self._hole[0] == blob.size:
                break
        return self._hole

    def compress(self, codec: int, data: bytes) -> bytes:
        """Return `data` compressed by one of the Python codecs."""
        return self._codecs[codec].compress(data)


@ffi.def_extern(error=-1)  # type: ignore[untyped-decorator]
def imgcore_call_read(context: Any, job: int, at: int, size: int, out: Any) -> int:
    """imgcore_calls.read; like the two below, it must not let an exception out into C."""
    contents: _Contents = ffi.from_handle(context)
    try:
        ffi.memmove(out, contents.read(job, at, size), size)
    except BaseException as error:
        contents.failures[job] = error
        return -1
    return 0


@ffi.def_extern(error=-1)  # type: ignore[untyped-decorator]
def imgcore_call_next_hole(context: Any, job: int, at: int, start: Any, end: Any) -> int:
    """imgcore_calls.next_hole."""
    contents: _Contents = ffi.from_handle(context)
    try:
        start[0], end[0] = contents.next_hole(job, at)
    except BaseException as error:
        contents.failures[job] = error
        return -1
    return 0


@ffi.def_extern(error=-1)  # type: ignore[untyped-decorator]
def imgcore_call_compress(context: Any, codec: int, data: Any, size: int, out: Any) -> int:
    """imgcore_calls.compress."""
    contents: _Contents = ffi.from_handle(context)
    try:
        stored = contents.compress(codec, ffi.buffer(data, size)[:])
        if len(stored) >= size:
            return 0
        ffi.memmove(out, stored, len(stored))
    except BaseException as error:
        contents.codec_failure = error
        return -1
    return len(stored)


@ffi.def_extern(error=-1)  # type: ignore[untyped-decorator]
def imgcore_call_recall(context: Any, data: Any, size: int, looked_at: int, out: Any) -> int:
    """imgcore_calls.recall; whatever goes wrong, the block is compressed."""
    contents: _Contents = ffi.from_handle(context)
    assert contents.use is not None
    kept = contents.use.recall(ffi.buffer(data, size), looked_at=bool(looked_at))
    if kept is None:
        return -1
    ffi.memmove(out, kept.data, len(kept.data))
    return len(kept.data)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def imgcore_call_keep(context: Any, size: int, stored: Any, stored_size: int) -> None:
    """imgcore_calls.keep."""
    contents: _Contents = ffi.from_handle(context)
    assert contents.use is not None
    is_raw = stored == ffi.NULL
    contents.use.keep(size, Kept(not is_raw, b"" if is_raw else ffi.buffer(stored, stored_size)[:]))


@ffi.def_extern(error=-1)  # type: ignore[untyped-decorator]
def imgcore_call_look(data: Any, out: Any, size: int, room: int) -> int:
    """imgcore_spec.look where LZ4_compress_default cannot be reached; nobody reads `out`."""
    try:
        return compress_into(ffi.buffer(data, size)[:], room)
    except MemoryError:
        return -1


def _core_codec(bound: object) -> dict[str, object]:
    """Return the imgcore_codec of a codec's `bound`, as cffi takes it; without one the core calls back."""
    if not isinstance(bound, Bound):
        return {"kind": lib.IMGCORE_CALL}
    made = {name: lib.IMGCORE_PRESET if getattr(bound, name) is None else getattr(bound, name) for name in ("lc", "lp", "pb")}
    return {
        "kind": _CODECS[bound.kind],
        "level": bound.level,
        "dict_size": bound.dict_size,
        "filter": bound.filter,
        "extreme": bound.extreme,
        "function": bound.addresses,
        **made,
    }


def _flags(job: Job) -> int:
    """Return enum imgcore_file_flags of a job."""
    return (
        (0 if job.compress else lib.IMGCORE_RAW)
        | (0 if job.pack_tail else lib.IMGCORE_OWN_TAIL)
        | (0 if job.dedup else lib.IMGCORE_UNSHARED)
        | (0 if job.holes else lib.IMGCORE_SOLID)
    )


class _Run:
    """One imgcore_run."""

    def __init__(self, spec: Spec, hash_mask: int) -> None:
        codecs = () if spec.codec is None else alternatives(spec.codec)
        self._contents = _Contents(codecs, spec.store)
        self._handle = ffi.new_handle(self._contents)
        self._bounds = [getattr(codec, "bound", None) for codec in codecs]  # keeps the codecs' libraries loaded
        self._codecs = ffi.new("imgcore_codec[]", [_core_codec(bound) for bound in self._bounds])
        self._tree: HostTree | None = None
        self._run = lib.imgcore_open(self._core_spec(spec, hash_mask))
        if self._run == ffi.NULL:
            raise MemoryError("the native engine could not start its threads")

    def _core_spec(self, spec: Spec, hash_mask: int) -> Any:
        core = ffi.new("imgcore_spec *")
        core.block_size, core.jobs, core.memory = spec.block_size, spec.jobs, spec.memory
        core.tails, core.dedup, core.hash_mask = _TAILS[spec.tails], spec.dedup, hash_mask
        core.raw_blocks, core.raw_fragments = spec.raw_blocks, spec.raw_fragments
        core.codecs, core.codec_count = self._codecs, len(self._bounds)
        if spec.looks_first:
            core.look = compress_into_address() or int(ffi.cast("uintptr_t", lib.imgcore_call_look))
        core.calls.context = self._handle
        core.calls.compress = lib.imgcore_call_compress
        core.calls.read = lib.imgcore_call_read
        core.calls.next_hole = lib.imgcore_call_next_hole
        if self._contents.use is not None:
            core.calls.recall = lib.imgcore_call_recall
            core.calls.keep = lib.imgcore_call_keep
        return core

    def close(self) -> Times:
        """End the core's threads; return what they did."""
        found = ffi.new("imgcore_times *")
        lib.imgcore_measure(self._run, found)
        lib.imgcore_close(self._run)
        self._run = ffi.NULL
        return Times(found.read_ns, found.hash_ns, found.verify_ns, found.compress_ns, found.peak_bytes)

    def pieces(self, files: Iterator[Job | HostRun], control: Control) -> Iterator[Piece]:
        """Yield all pieces, feeding files as the core asks for them."""
        records, state = ffi.new("imgcore_piece[]", _PIECES), ffi.new("imgcore_state *")
        while True:
            control.check()
            count = lib.imgcore_pull(self._run, records, _PIECES, state)
            packed = ffi.buffer(records, count * _PIECE.size)[:]
            for kind, number, raw_size, run, offset, compressed, data, size in _PIECE.iter_unpack(packed):
                if size:
                    control.check()
                    stored = ffi.buffer(ffi.cast("char *", data), size)[:]
                    yield Piece(_KINDS[kind], number, raw_size, run, offset, bool(compressed), stored)
                else:
                    yield Piece(_KINDS[kind], number, raw_size, run, offset)
            if state.error:
                raise self._error(state)
            if state.done:
                return
            if state.hungry:
                self._feed(files)

    def _feed(self, files: Iterator[Job | HostRun]) -> None:
        """Hand the next batch of files to the core, or say that there are no more."""
        batch: list[Job] = []
        for one in files:
            if isinstance(one, HostRun):
                if batch:
                    self._push(batch)
                self._push_run(one)
                return
            batch.append(one)
            if len(batch) == _BATCH:
                break
        if batch:
            self._push(batch)
        else:
            lib.imgcore_finish(self._run)

    def _push_run(self, run: HostRun) -> None:
        """Hand over files by the column."""
        if not is_faked():
            if self._tree is None or self._tree.files is not run.files:
                self._tree = HostTree(run.files)
            rows = array("I", run.rows)
            packed = ffi.from_buffer("uint32_t[]", rows)
            failed = lib.imgcore_push_rows(self._run, self._tree.handle, packed, len(rows), _LONGEST_PATH)
            if not failed:
                self._contents.add(run)
                return
            if failed != lib.IMGCORE_PUSH_LONG:
                raise MemoryError
        self._push(list(map(run.job, range(len(run.rows)))))

    def _push(self, batch: Sequence[Job]) -> None:
        """Hand over files one by one; the types are compared exactly: what a subclass reads is for its own read_at to say."""
        faked = is_faked()  # then Python alone finds the files
        self._contents.add(batch)
        records, paths, paths_size = [], [], 0
        for job in batch:
            blob, flags = job.blob, _flags(job)
            if not faked and type(blob) is HostFile and len(blob.path) <= _LONGEST_PATH:
                dev, ino, size, mtime_ns, ctime_ns, blocks = blob.identity
                records.append(_FILE.pack(size, dev, ino, mtime_ns, ctime_ns, blocks, paths_size, flags))
                paths.append(blob.path)
                paths_size += len(blob.path) + 1
            else:
                holes = _NO_HOLES if type(blob) is BytesBlob else _PERHAPS_HOLES
                records.append(_FILE.pack(blob.size, 0, 0, 0, 0, holes, _NO_PATH, flags))
        self._hand_over(b"".join(records), paths)

    def _hand_over(self, records: bytes, paths: Sequence[bytes]) -> None:
        arena = b"\0".join(paths) + b"\0"
        packed = ffi.from_buffer("imgcore_file[]", records)
        if lib.imgcore_push(self._run, packed, len(records) // _FILE.size, arena, len(arena)) != 0:
            raise MemoryError

    def _error(self, state: Any) -> BaseException:
        """Return the exception for what the core reports."""
        code, job = state.error, self._contents.job(state.job)
        if code in _CHANGED:
            return SourceChanged(_CHANGED[code], path=job.path)
        if code == lib.IMGCORE_UNREADABLE:
            return SourceUnreadable(f"cannot read file: {os.strerror(state.system_error)}", path=job.path)
        if code == lib.IMGCORE_NO_MEMORY:
            return MemoryError("the native engine ran out of memory")
        if code == lib.IMGCORE_CODEC_FAILED:
            return MemoryError("a codec ran out of memory")  # the one error left within its own bound
        error = self._contents.failures.get(state.job) or self._contents.codec_failure
        assert error is not None
        if isinstance(error, SourceError) or (isinstance(error, ImgcoreError) and error.path is None):
            error.path = job.path
        return error


def xxh3(data: bytes) -> int:
    """Return XXH3-128 (seed 0) of `data`, as the core computes it; for tests."""
    out = ffi.new("uint64_t[2]")
    lib.imgcore_xxh3(data, len(data), out)
    return int(out[1]) << 64 | int(out[0])
