"""The engine in Python: the readable specification, and the fallback where the native core was not built.

`_Cutter` is the specification proper: one pass over the files in order that cuts, drops zeros and duplicates, packs
tails and gives numbers, with no thread in sight. `PureEngine.pack` compresses what it yields in a pool of threads (the
codecs release the GIL) and hands everything on in the order it came. The digest that finds duplicates is BLAKE2b, which
needs no comparing of bytes afterwards; no digest is in any result.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from imgcore.blob import Blob
from imgcore.codec import Codec, alternatives
from imgcore.engine.hashing import BlockHash, hash_each
from imgcore.engine.protocol import HostRun, Job, Kind, Piece, Scanned, Spec, each_job
from imgcore.engine.rows import RowColumns, RowEncoder
from imgcore.engine.threads import on_threads
from imgcore.errors import ImgcoreError, SourceChanged, SourceError
from imgcore.events import Control
from imgcore.store.base import Kept, StoreUse

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["PureEngine", "cannot_shrink", "compress_all", "hole_runs"]

_CHECK_SECONDS = 0.05  # how long a wait may last without looking at the cancel flag
_MOST_PENDING = 4096  # pieces without data that may wait behind one that is being compressed
_LEAST_LOOKED_AT = 16384  # bytes; below, the codec is quick anyway
_CHUNK = 64 << 10  # raw bytes that one task of `compress_all` takes


class _Stored(NamedTuple):
    compressed: bool
    data: bytes


def cannot_shrink(raw: bytes) -> bool:
    """Return whether a block is stored without asking the codec; see `imgcore.engine.protocol` on early store.

    LZ4 comes first here because counting is slow in Python; in C it is the other way round.
    """
    from imgcore.codec.lz4 import compress_into  # late: whoever only reads needs no lz4, nor ctypes

    size = len(raw)
    if size < _LEAST_LOOKED_AT or compress_into(raw, size - size // 64):
        return False
    return sum(count * count for count in Counter(raw).values()) * 256 * 32 <= size * size * 33


def _store(
    codec: Codec | None,
    raw: bytes,
    looks_first: bool = False,
    stop: threading.Event | None = None,
    use: StoreUse | None = None,
    is_fragment: bool = False,
) -> _Stored:
    """Return what is to be stored of a block: what the best alternative of the codec makes of it, when that is shorter.

    Once `stop` is set nobody wants the answer any more. `use` is asked for it first, and told of what it did not know.
    """
    if codec is not None and use is not None:
        kept = use.recall(raw, looked_at=not is_fragment)
        if kept is not None:
            return _Stored(kept.compressed, kept.data if kept.compressed else raw)
        made = _store(codec, raw, looks_first, stop)
        if stop is None or not stop.is_set():
            use.keep(len(raw), Kept(made.compressed, made.data if made.compressed else b""))
        return made
    best = _Stored(False, raw)
    if codec is None or (looks_first and cannot_shrink(raw)):
        return best
    for one in alternatives(codec):
        if stop is not None and stop.is_set():
            break
        data = one.compress(raw)
        if len(data) < len(best.data):
            best = _Stored(True, data)
    return best


def _store_many(codec: Codec | None, blocks: Sequence[bytes]) -> list[tuple[bool, bytes]]:
    return [(stored.compressed, stored.data) for stored in (_store(codec, raw) for raw in blocks)]


def compress_all(blocks: Sequence[bytes], codec: Codec | None, jobs: int) -> list[tuple[bool, bytes]]:
    """Return (compressed, stored bytes) of each block; both engines use this."""
    step = max(1, _CHUNK // max(1, len(blocks[0]))) if blocks else 1
    parts = [blocks[at : at + step] for at in range(0, len(blocks), step)]
    if codec is None or jobs <= 1 or len(parts) <= 1:
        return _store_many(codec, blocks)
    done = on_threads(lambda part: _store_many(codec, part), parts, jobs)
    return [stored for part in done for stored in part]


class PureEngine:
    """The block pipeline on a pool of Python threads."""

    name = "pure"

    def pack(self, files: Iterable[Job | HostRun], spec: Spec, control: Control) -> Iterator[Piece]:
        """Yield the pieces of `files`; see `Engine.pack`."""
        from concurrent.futures import ThreadPoolExecutor  # late: it brings much with it, and the native engine needs none

        budget = spec.memory - 3 * spec.block_size  # what the cutter holds: a block, the open fragment, a closed one
        pending: deque[tuple[Piece, Future[_Stored] | None, int]] = deque()
        in_flight = 0
        pool = ThreadPoolExecutor(spec.jobs, thread_name_prefix="imgcore")
        stop = threading.Event()
        use = spec.store
        try:
            for piece, raw, tries in _Cutter(spec, control).cut(each_job(files)):
                reserve = 2 * len(raw)  # until it is handed on: the raw bytes, and what becomes of them
                while pending and (in_flight + reserve > budget or len(pending) >= _MOST_PENDING):
                    yield _finish(pending[0], control)
                    in_flight -= pending.popleft()[2]
                codec = spec.codec if tries else None
                is_fragment = piece.kind is Kind.FRAGMENT
                looks = spec.looks_first and not is_fragment
                future = pool.submit(_store, codec, raw, looks, stop, use, is_fragment) if raw else None
                pending.append((piece, future, reserve))
                in_flight += reserve
                while pending and ((head := pending[0][1]) is None or head.done()):
                    yield _finish(pending[0], control)
                    in_flight -= pending.popleft()[2]
            while pending:
                yield _finish(pending.popleft(), control)
        finally:
            stop.set()
            pending.clear()
            pool.shutdown(wait=True, cancel_futures=True)

    def scan(self, top: bytes, skip: Collection[tuple[int, int, bytes]], xattrs: bool, control: Control) -> Scanned | None:
        """Return None: the scan in Python makes nodes, not columns."""
        return None

    def row_encoder(self, columns: RowColumns) -> RowEncoder | None:
        """Return None: in Python a format does that itself."""
        return None

    def hash_blocks(self, data: bytes, how: BlockHash) -> bytes:
        """Return the digests of the blocks of `data`; see `Engine.hash_blocks`."""
        return hash_each(data, how)

    def compress_all(self, blocks: Sequence[bytes], codec: Codec | None, jobs: int) -> list[tuple[bool, bytes]]:
        """Return (compressed, stored bytes) of each block."""
        return compress_all(blocks, codec, jobs)


def _finish(entry: tuple[Piece, Future[_Stored] | None, int], control: Control) -> Piece:
    """Return the piece with its data, once that is compressed."""
    from concurrent.futures import TimeoutError as FutureTimeoutError

    piece, future, _ = entry
    while future is not None:
        control.check()
        with contextlib.suppress(FutureTimeoutError):
            stored = future.result(_CHECK_SECONDS)
            return piece._replace(compressed=stored.compressed, data=stored.data)
    return piece


class _Place(NamedTuple):
    """Where a tail was packed."""

    fragment: int
    offset: int


class _Cut(NamedTuple):
    """A piece, the raw bytes that it stores (else b""), and whether the codec is to try them."""

    piece: Piece
    raw: bytes = b""
    tries: bool = False


class _Cutter:
    """Decides everything but the compressed bytes."""

    def __init__(self, spec: Spec, control: Control) -> None:
        self._spec = spec
        self._control = control
        self._zeros = bytes(spec.block_size)
        self._blocks: dict[tuple[bool, tuple[int, bytes]], int] = {}  # by whether it is stored raw, and content
        self._block_count = 0
        self._tails: dict[tuple[int, bytes], _Place] = {}
        self._fragment = bytearray()
        self._fragment_number = 0

    def cut(self, files: Iterable[Job]) -> Iterator[_Cut]:
        """Yield the pieces of all files, and the last fragment."""
        for number, job in enumerate(files):
            self._control.check()
            try:
                yield from self._cut_file(job)
            except SourceError as error:
                error.path = job.path  # the name in the tree; the blob knows only its own
                raise
            except ImgcoreError as error:
                error.path = error.path or job.path
                raise
            yield _Cut(Piece(Kind.END, number, job.blob.size))
        if self._fragment:
            yield self._close_fragment()

    def _cut_file(self, job: Job) -> Iterator[_Cut]:
        size = job.blob.size
        tail_size = size % self._spec.block_size if self._spec.packs_tail(job) else 0
        yield from self._cut_blocks(job, size - tail_size)
        if tail_size:
            yield from self._pack_tail(self._read(job.blob, size - tail_size, tail_size), job.dedup)

    def _cut_blocks(self, job: Job, end: int) -> Iterator[_Cut]:
        """Yield the blocks below `end`; zeros are collected until something else comes."""
        blob, block_size = job.blob, self._spec.block_size
        at = zero_count = zero_size = 0
        holes = hole_runs(blob) if end and job.holes else iter(())
        hole_start = hole_end = 0
        while at < end:
            while hole_end <= at:
                hole_start, hole_end = next(holes, (end, end + 1))
            raw = b""
            if hole_start <= at and min(hole_end, end) - at >= min(block_size, end - at):
                covered = min(hole_end, end) - at
                count = -(-covered // block_size) if hole_end >= end else covered // block_size
                size = min(count * block_size, end - at)
            else:
                raw = self._read(blob, at, min(block_size, end - at))
                count, size = 1, len(raw)
                if job.holes and raw == (self._zeros if size == block_size else bytes(size)):
                    raw = b""
            at += size
            if not raw:
                zero_count, zero_size = zero_count + count, zero_size + size
                continue
            if zero_count:
                yield _Cut(Piece(Kind.ZERO, 0, zero_size, zero_count))
                zero_count = zero_size = 0
            yield self._place_block(raw, self._spec.stores_raw(job), job.dedup)
        if zero_count:
            yield _Cut(Piece(Kind.ZERO, 0, zero_size, zero_count))

    def _place_block(self, raw: bytes, stays_raw: bool, dedup: bool) -> _Cut:
        number = self._block_count
        if self._spec.dedup and dedup:
            number = self._blocks.setdefault((stays_raw, _key(raw)), number)
            if number != self._block_count:
                return _Cut(Piece(Kind.SAME, number, len(raw)))
        self._block_count += 1
        return _Cut(Piece(Kind.BLOCK, number, len(raw)), raw, not stays_raw)

    def _pack_tail(self, raw: bytes, dedup: bool) -> Iterator[_Cut]:
        key = _key(raw) if self._spec.dedup and dedup else None
        if key is not None and (known := self._tails.get(key)) is not None:
            yield _Cut(Piece(Kind.TAIL, known.fragment, len(raw), 1, known.offset))
            return
        if len(self._fragment) + len(raw) > self._spec.block_size:
            yield self._close_fragment()
        place = _Place(self._fragment_number, len(self._fragment))
        self._fragment += raw
        if key is not None:
            self._tails[key] = place
        yield _Cut(Piece(Kind.TAIL, place.fragment, len(raw), 0, place.offset))

    def _close_fragment(self) -> _Cut:
        raw, number = bytes(self._fragment), self._fragment_number
        self._fragment.clear()
        self._fragment_number += 1
        return _Cut(Piece(Kind.FRAGMENT, number, len(raw)), raw, not self._spec.raw_fragments)

    def _read(self, blob: Blob, at: int, size: int) -> bytes:
        self._control.check()
        raw = blob.read_at(at, size)
        if len(raw) != size:
            raise SourceChanged("content ended early", offset=at, found=f"{len(raw)} bytes", allowed=f"{size} bytes")
        return raw


def _key(raw: bytes) -> tuple[int, bytes]:
    from hashlib import blake2b  # late, as above

    return len(raw), blake2b(raw, digest_size=32).digest()


def hole_runs(blob: Blob) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each run of holes, in order."""
    start = end = 0
    for at, size, hole in blob.segments():
        if hole:
            if at != end:
                start = at
            end = at + size
        elif start < end:
            yield start, end
            start = end
    if start < end:
        yield start, end
