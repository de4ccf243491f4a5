"""Where file content goes: takes the engine's pieces and decides what is shared and what is appended.

A file's stored blocks have to lie one after another, holes left out. So a file whose blocks were all stored before, side
by side, shares that run (a whole file, or a part of a larger one); any other file gets a run of its own at the end of the
image. While a file's blocks keep matching an earlier run nothing is written; when the match ends, the blocks so far
are copied from where they stand, compressed as they are: a duplicate is never compressed again.

A file can ask that its first stored block stands at a multiple of some power of two. Its own run then begins behind a gap
of zeros, and it shares only a run that happens to begin so. A file without blocks, of holes and a tail, is not aligned.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import NamedTuple

from imgcore.blob import Sink
from imgcore.engine.protocol import Kind, Piece
from imgcore.formats.squashfs.layout import BLOCK_RAW, NO_FRAGMENT, FragmentEntry, block_length
from imgcore.values import value_class

__all__ = ["FileData", "Placed", "Placer", "Totals", "pieces_of"]

_STEP = 4096
_TELLING = 1024  # bytes of a stored block that say whether the image falls into step at it
_MOST_CANDIDATES = 32  # runs that are followed at once, for a block that is stored many times


class FileData(NamedTuple):
    """Where one file's content is: what its inode says."""

    start_block: int
    words: array[int]
    fragment: int
    offset: int
    sparse: int


class Placed:
    """Where the content of every file is, by the column; `words` has the size words of all, `counts` says how many."""

    __slots__ = ("counts", "fragments", "offsets", "sparses", "starts", "words")

    def __init__(self) -> None:
        self.starts = array("Q")
        self.fragments = array("I")
        self.offsets = array("I")
        self.sparses = array("Q")
        self.counts = array("I")
        self.words = array("I")

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, number: int) -> FileData:
        """Return one of them; for tests, since it counts all words before."""
        begin = sum(self.counts[:number])
        words = self.words[begin : begin + self.counts[number]]
        return FileData(self.starts[number], words, self.fragments[number], self.offsets[number], self.sparses[number])

    def add_small(self, count: int, records: bytes) -> tuple[int, int]:
        """Add the files of a FILES piece; return how many tails among them were duplicates, and the bytes in those."""
        fields = array("I", records)
        sizes = fields[2::4]
        first = len(self.fragments)
        self.starts.frombytes(bytes(8 * count))
        self.sparses.frombytes(bytes(8 * count))
        self.counts.frombytes(bytes(4 * count))
        self.fragments.extend(fields[0::4])
        self.offsets.extend(fields[1::4])
        if 0 in sizes:
            for at in compress(range(first, first + count), [size == 0 for size in sizes]):
                self.fragments[at], self.offsets[at] = NO_FRAGMENT, 0
        same = fields[3::4]
        return (sum(same), sum(compress(sizes, same))) if 1 in same else (0, 0)


@value_class(frozen=False)
class Totals:
    """Counts of what happened; sizes in bytes."""

    files: int = 0
    bytes_in: int = 0
    bytes_stored: int = 0
    duplicate_blocks: int = 0
    duplicate_tails: int = 0
    duplicate_bytes: int = 0
    hole_bytes: int = 0
    gap_bytes: int = 0


def pieces_of(size: int, most: int = 1 << 20) -> Iterator[int]:
    """Yield numbers of at most `most` that add up to `size`."""
    while size:
        yield min(size, most)
        size -= min(size, most)


class Placer:
    """Feeds on pieces, in order, and appends to the sink; `files` has the result of each job that ended.

    `align_of` says of a job, by its number, what its first block's position is a multiple of.

    `resync` bytes apart on average, a run or a fragment begins at a multiple of 4 KiB: where the digest of what is stored
    first says so, and so wherever that content comes to lie. After a change, whatever its length, the rest of the image
    then falls into step again with that of another build, block by block of 4 KiB; 0 is never.
    """

    def __init__(self, sink: Sink, align_of: Callable[[int], int] = lambda job: 1, resync: int = 0) -> None:
        self.files = Placed()
        self.fragments: list[FragmentEntry] = []
        self.totals = Totals()
        self._words = self.files.words
        self._sink = sink
        self._align_of = align_of
        self._resync = resync
        # Slots are the stored blocks in the order of the image; one block may stand in several.
        self._slot_at = array("Q")
        self._slot_word = array("I")
        self._slot_block = array("Q")
        self._slots_of: list[int | list[int]] = []  # block number to its slots; one slot, the usual case, without a list
        # The current file: where its words begin, and what else its inode says.
        self._first_word = 0
        self._start_block = self._offset = self._sparse = 0
        self._fragment = NO_FRAGMENT
        self._held: list[int] = []  # blocks of the current file that so far match an earlier run
        self._runs: list[int] | None = []  # the slots that the next block may be in; None once the file has its own run
        self._started = False  # whether that run has a first block

    def feed(self, piece: Piece) -> None:
        """Take one piece."""
        kind = piece.kind
        if kind is Kind.FILES:
            duplicates, size = self.files.add_small(piece.count, piece.data)
            self.totals.files += piece.count
            self.totals.bytes_in += piece.raw_size
            self.totals.duplicate_tails += duplicates
            self.totals.duplicate_bytes += size
        elif kind is Kind.BLOCK:
            self._leave_runs()
            self._place(piece.number, piece.data, len(piece.data) | (0 if piece.compressed else BLOCK_RAW))
        elif kind is Kind.SAME:
            self.totals.duplicate_blocks += 1
            self.totals.duplicate_bytes += piece.raw_size
            self._same(piece.number)
        elif kind is Kind.ZERO:
            self._words.frombytes(bytes(self._words.itemsize * piece.count))
            self._sparse += piece.raw_size
            self.totals.hole_bytes += piece.raw_size
        elif kind is Kind.TAIL:
            self._fragment, self._offset = piece.number, piece.offset
            if piece.count:
                self.totals.duplicate_tails += 1
                self.totals.duplicate_bytes += piece.raw_size
        elif kind is Kind.FRAGMENT:
            assert piece.number == len(self.fragments)
            self._fill_to(self._step_of(piece.data))
            at = self._sink.append(piece.data)
            self.fragments.append(FragmentEntry(at, len(piece.data) | (0 if piece.compressed else BLOCK_RAW), 0))
            self.totals.bytes_stored += len(piece.data)
        else:
            self._end(piece)

    def feed_all(self, pieces: Iterable[Piece]) -> None:
        """Take all pieces."""
        for piece in pieces:
            self.feed(piece)

    def _end(self, piece: Piece) -> None:
        if self._runs and self._held:
            self._start_block = self._slot_at[self._runs[0] - len(self._held)]
        files = self.files
        files.starts.append(self._start_block)
        files.fragments.append(self._fragment)
        files.offsets.append(self._offset)
        files.sparses.append(min(self._sparse, max(piece.raw_size - 1, 0)))
        files.counts.append(len(self._words) - self._first_word)
        self.totals.files += 1
        self.totals.bytes_in += piece.raw_size
        self._first_word = len(self._words)
        self._start_block = self._offset = self._sparse = 0
        self._fragment = NO_FRAGMENT
        self._held, self._runs, self._started = [], [], False

    def _same(self, block: int) -> None:
        """Follow a block that is stored already: along the runs that match so far, else as a copy."""
        if self._runs is not None:
            following = self._next_slots(block)
            if following:
                self._words.append(self._slot_word[following[0]])
                self._held.append(block)
                self._runs = [slot + 1 for slot in following]
                return
            self._leave_runs()
        self._copy(block)

    def _next_slots(self, block: int) -> list[int]:
        """Return the slots where `block` continues a run that the file's blocks match so far."""
        assert self._runs is not None
        if not self._held:
            known = self._slots_of[block]
            slots = [known] if isinstance(known, int) else known[:_MOST_CANDIDATES]
            align = self._align_of(len(self.files))
            return slots if align == 1 else [slot for slot in slots if self._slot_at[slot] % align == 0]
        return [
            slot
            for slot in self._runs
            if slot < len(self._slot_at)
            and self._slot_block[slot] == block
            and self._slot_at[slot] == self._slot_at[slot - 1] + block_length(self._slot_word[slot - 1])
        ]

    def _leave_runs(self) -> None:
        """Begin the file's own run: write what was held so far."""
        if self._runs is None:
            return
        self._runs = None
        if self._held:
            words = self._words[self._first_word :]
            del self._words[self._first_word :]
            held = iter(self._held)
            for word in words:
                if word:
                    self._copy(next(held))
                else:
                    self._words.append(0)
            self._held = []

    def _copy(self, block: int) -> None:
        slots = self._slots_of[block]
        slot = slots if isinstance(slots, int) else slots[0]
        word = self._slot_word[slot]
        self._place(block, self._sink.read_back(self._slot_at[slot], block_length(word)), word)

    def _step_of(self, data: bytes) -> int:
        """Return 4096 where the image falls into step, else 1: as likely as `data` is a part of `resync`."""
        return _STEP if self._resync and zlib.crc32(data[:_TELLING]) * self._resync < len(data) << 32 else 1

    def _fill_to(self, align: int) -> None:
        """Append zeros until the position is a multiple of `align`."""
        gap = -self._sink.position % align
        self.totals.gap_bytes += gap
        for size in pieces_of(gap):
            self._sink.append(bytes(size))

    def _place(self, block: int, data: bytes, word: int) -> None:
        """Append a stored block to the file's own run."""
        if not self._started:
            self._started = True
            self._fill_to(max(self._align_of(len(self.files)), self._step_of(data)))
            self._start_block = self._sink.position
        at = self._sink.append(data)
        slot = len(self._slot_at)
        self._slot_at.append(at)
        self._slot_word.append(word)
        self._slot_block.append(block)
        if block == len(self._slots_of):
            self._slots_of.append(slot)
        else:
            known = self._slots_of[block]
            self._slots_of[block] = [known, slot] if isinstance(known, int) else known
            if not isinstance(known, int) and len(known) < _MOST_CANDIDATES:
                known.append(slot)
        self._words.append(word)
        self.totals.bytes_stored += len(data)
