"""What an engine does, for both of its implementations: cut content into blocks, drop duplicates, compress, keep order.

An engine takes `Job`s, the contents of regular files in the order of the image, and yields `Piece`s in that same order:

* a file is cut into blocks of `block_size`; what remains at its end is a short block or, when `tails` says so, a *tail*
  that is packed with the tails of other files into *fragment* blocks of at most `block_size`;
* a block of zeros becomes ZERO (`count` of them in a row), and nothing is stored;
* a block that equals an earlier one becomes SAME, `number` says which; it is never compressed;
* any other block becomes BLOCK: it is given the next number, counted from 0, and `data` is what is to be stored;
* blocks of zeros in a row, within one file, are one ZERO; a block that lies in a hole of its blob is not even read;
* a tail becomes TAIL: the fragment's number and the offset in it. A tail that equals an earlier tail gets that one's
  place. Tails are packed next-fit: one that does not fit closes the open fragment. A tail of zeros is a tail like any
  other;
* a fragment that is closed becomes FRAGMENT, in the place where it was closed (so it may come before the TAIL that
  closed it, and after TAILs that lie in it); the last open one comes at the end of all;
* END closes the file; its `number` is the file's position among the jobs;
* FILES is short for the pieces of `count` files in a row that have nothing but a tail, or nothing at all, when no fragment
  is closed in between: `data` has 16 bytes for each, as `SMALL_FILE` unpacks them.

A short last block equals an earlier block only when both have the same length. Blocks, fragments and tails are numbered
apart. Stored bytes are the compressed ones when these are shorter than the raw ones, else the raw ones. Where the codec
has alternatives (`imgcore.codec.best`), each of them is tried, and the shortest result kept; of equals the first.

A job can ask for less:

* `compress` off: its blocks are stored raw, and its tail is not packed but a short block. A block that is to be raw and
  one that may be compressed are never the SAME, whatever is in them; blocks that are to be raw are compared with each other;
* `pack_tail` off: its tail is a short block;
* `dedup` off: each of its blocks and its tail is new, and no later one equals them;
* `holes` off: its blocks of zeros are blocks like any others, and its holes are read.

`Spec.raw_blocks` has all blocks stored raw, as `compress` off does, but leaves tails alone; `Spec.raw_fragments` has the
fragments stored raw. Without a codec both hold.

Early store: where the codec is `slow`, a quick look at a block decides whether the codec is asked at all. Fragments are
not looked at: what many small files have in common is little and often (the headers of archives), and worth finding.
One of n bytes is stored raw when all of this holds, in whole numbers:

* n >= 16384;
* no byte value is much more frequent than others: with c the number of times each of the 256 occurs,
  sum(c * c) * 256 * 32 <= n * n * 33, where bytes by chance are at 32 or little more and base64 is at 128;
* LZ4_compress_default of all of it does not fit into n - n // 64 bytes.

What has neither frequent bytes nor repetitions within 64 KiB does not get smaller by much; a repetition from further
away in a large block is missed. Metadata is not looked at in this way.

The pieces depend on the contents, their order and the `Spec`, never on `jobs`, `memory` or the engine: both engines
yield the same, byte for byte, because they call the same codec functions.
"""

from __future__ import annotations

import dataclasses
import struct
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from imgcore.blob import Blob, HostFile, Identity
from imgcore.codec import Codec
from imgcore.engine.hashing import BlockHash
from imgcore.engine.rows import RowColumns, RowEncoder
from imgcore.events import Control
from imgcore.store.base import BlockStore, KnownBlocks, StoreUse, key_prefix
from imgcore.values import value_class

__all__ = [
    "SMALL_FILE",
    "Engine",
    "HostFiles",
    "HostRun",
    "Job",
    "Kind",
    "Piece",
    "ScanFailed",
    "Scanned",
    "Spec",
    "Tails",
    "each_job",
    "minimum_memory",
]

Tails: TypeAlias = Literal["all", "small", "none"]
"""Which tails are packed: of every file, of files shorter than one block only, or none."""


def minimum_memory(block_size: int, jobs: int) -> int:
    """Return the least `Spec.memory` that works: a raw and a stored block for each job, two open fragments, one to spare."""
    return (2 * jobs + 4) * block_size


_MOST_WAITING: Final = 16 << 20  # bytes of the blocks of threads that wait for a store: a codec's state is as large as a block


class Kind(IntEnum):
    """What a piece is."""

    BLOCK = 1
    ZERO = 2
    SAME = 3
    TAIL = 4
    FRAGMENT = 5
    END = 6
    FILES = 7


class Piece(NamedTuple):
    """One step of the result; which fields mean something depends on `kind`.

    BLOCK: number, raw_size, compressed, data. ZERO: count, raw_size (bytes of all of them). SAME: number, raw_size.
    TAIL: number (of the fragment), offset, raw_size, count (0 for a new tail, 1 for a duplicate).
    FRAGMENT: number, raw_size, compressed, data. END: number (of the job), raw_size (bytes of the file).
    FILES: number (of the first job), raw_size (bytes of all of them), count, data.
    """

    kind: Kind
    number: int
    raw_size: int
    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody asks a piece
    offset: int = 0
    compressed: bool = False
    data: bytes = b""


SMALL_FILE: Final = struct.Struct("=4I")
"""One file of FILES: fragment, offset in it, bytes (0: the file is empty, and the others say nothing), 1 for a duplicate."""


class Job(NamedTuple):
    """The content of one regular file; `path` is its name in the tree, for errors; the rest is said at the module's top."""

    path: bytes
    blob: Blob
    compress: bool = True
    pack_tail: bool = True
    dedup: bool = True
    holes: bool = True


class HostFiles(NamedTuple):
    """What stat said of a scanned directory, which is at `top`, by row; `names` and `parents` are those of `Shape`."""

    top: bytes
    names: Sequence[bytes]
    parents: array[int]
    devs: Sequence[int]
    inos: Sequence[int]
    sizes: Sequence[int]
    mtimes: Sequence[int]
    ctimes: Sequence[int]
    blocks: Sequence[int]

    def path(self, row: int) -> bytes:
        """Return the path of a row in the tree."""
        names = []
        while row:
            names.append(self.names[row])
            row = self.parents[row]
        return b"/" + b"/".join(reversed(names))


class HostRun(NamedTuple):
    """The contents of several regular files of the host, by their rows; `job` gives a single one."""

    files: HostFiles
    rows: Sequence[int]

    def job(self, index: int) -> Job:
        """Return one of them."""
        files, row = self.files, self.rows[index]
        identity = Identity(*(column[row] for column in files[3:]))
        path = files.path(row)
        return Job(path, HostFile(files.top.removesuffix(b"/") + path, identity))


def each_job(files: Iterable[Job | HostRun]) -> Iterator[Job]:
    """Yield every job by itself."""
    for one in files:
        if isinstance(one, HostRun):
            yield from map(one.job, range(len(one.rows)))
        else:
            yield one


class Scanned(NamedTuple):
    """A directory of the host and everything below, by the column; the rows are as in `imgcore.model.Table`.

    `names` and `targets` (those of symbolic links, in order of rows) are what their names say; `dirs` are the rows of
    directories in walk order, `children` how many rows each has, `xattr_rows` the rows that have extended attributes.
    The other columns have what lstat says of each row; `rdevs` is major << 32 | minor.
    """

    names: Sequence[bytes]
    targets: Sequence[bytes]
    dirs: Sequence[int]
    children: Sequence[int]
    modes: Sequence[int]
    nlinks: Sequence[int]
    uids: Sequence[int]
    gids: Sequence[int]
    sizes: Sequence[int]
    devs: Sequence[int]
    inos: Sequence[int]
    rdevs: Sequence[int]
    blocks: Sequence[int]
    mtimes: Sequence[int]
    ctimes: Sequence[int]
    xattr_rows: Sequence[int]


class ScanFailed(Exception):
    """A scan that cannot go on: what could not be read, the errno or 0 for a replaced directory, and where."""

    def __init__(self, what: str, errno: int, path: bytes) -> None:
        super().__init__(what)
        self.what, self.errno, self.path = what, errno, path


@value_class
class Spec:
    """How to pack.

    `codec` is None to store everything. `memory` bounds the bytes of content in flight, raw and compressed together;
    fewer than `minimum_memory()` raise ValueError. What dedup remembers of earlier content (some 100 bytes for each
    distinct block) is not in it. `dedup` off makes every block and tail new. `early_store` off has the codec try every block.
    `raw_blocks` and `raw_fragments` keep the codec from what they name. `store` is asked for each block and fragment before
    it is compressed, and handed what was made of it; the pieces do not depend on it.
    """

    block_size: int
    codec: Codec | None
    tails: Tails = "all"
    dedup: bool = True
    jobs: int = 1
    memory: int = 128 << 20
    early_store: bool = True
    raw_blocks: bool = False
    raw_fragments: bool = False
    store: StoreUse | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.block_size <= 1 << 30:
            raise ValueError(f"a block has 1 to {1 << 30} bytes, not {self.block_size}")
        if self.jobs < 1:
            raise ValueError(f"at least one job is needed, not {self.jobs}")
        if not self.memory < 1 << 63:
            raise ValueError(f"{self.memory} bytes of memory are more than any machine has")
        if self.memory < self.minimum_memory():
            raise ValueError(f"{self.memory} bytes of memory are too few; at least {self.minimum_memory()} are needed")

    def stores_raw(self, job: Job) -> bool:
        """Whether the blocks of `job` are stored raw, whatever the codec could do."""
        return self.raw_blocks or self.codec is None or not job.compress

    def packs_tail(self, job: Job) -> bool:
        """Whether what remains of `job` behind its whole blocks is packed with other tails."""
        if not (job.pack_tail and job.compress):
            return False
        return self.tails == "all" or (self.tails == "small" and job.blob.size < self.block_size)

    @property
    def looks_first(self) -> bool:
        """Whether there is a quick look at each block before the codec gets it."""
        return self.early_store and self.codec is not None and self.codec.slow

    def with_store(self, store: BlockStore | None, known: KnownBlocks | None = None) -> Spec:
        """Return this with a use of `store` and `known`; unchanged without them, or where nothing is compressed.

        For a store whose answers take a while there are more threads, but no more than `jobs` of them compress at a time.
        """
        if self.codec is None or (store is None and known is None):
            return self
        from imgcore.codec.lz4 import Lz4Codec  # late: few have a store

        look = Lz4Codec().fingerprint if self.looks_first else ""
        fitting = (min(self.memory // 2, _MOST_WAITING) // self.block_size - 4) // 2
        jobs = max(self.jobs, min(getattr(store, "at_once", 1), fitting))
        makers = None if jobs == self.jobs else self.jobs
        prefix, of_fragments = (key_prefix(self.codec, self.block_size, how) for how in (look, ""))
        use = StoreUse(store, prefix, of_fragments, known, makers)
        return dataclasses.replace(self, jobs=jobs, store=use)

    def minimum_memory(self) -> int:
        """Return the least `memory` that works with these jobs and blocks."""
        return minimum_memory(self.block_size, self.jobs)


class Engine(Protocol):
    """The block pipeline; stateless, may be shared by threads."""

    @property
    def name(self) -> str:
        """`native` or `pure`."""
        ...

    def pack(self, files: Iterable[Job | HostRun], spec: Spec, control: Control) -> Iterator[Piece]:
        """Yield the pieces of `files`, which is consumed as needed.

        Raises SourceError (with the job's path) for a file that cannot be read or changed, Cancelled. Closing the
        iterator early ends all work; no thread outlives it.
        """
        ...

    def scan(self, top: bytes, skip: Collection[tuple[int, int, bytes]], xattrs: bool, control: Control) -> Scanned | None:
        """Return what is at and below the directory `top`, or None where this engine cannot or a path is too long.

        `skip` are names to leave out, as (device and inode of the directory, name). Raises ScanFailed, Cancelled.
        """
        ...

    def row_encoder(self, columns: RowColumns) -> RowEncoder | None:
        """Return what encodes the inodes and listings of this tree, or None where that is done row by row."""
        ...

    def compress_all(self, blocks: Sequence[bytes], codec: Codec | None, jobs: int) -> list[tuple[bool, bytes]]:
        """Return (compressed, stored bytes) of each block, for metadata; no zero test, no dedup."""
        ...

    def hash_blocks(self, data: bytes, how: BlockHash) -> bytes:
        """Return the digests of the blocks of `data`, each in its slot; for the thread that calls."""
        ...
