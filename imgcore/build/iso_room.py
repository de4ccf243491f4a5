"""Where an ISO image has room for what is new, and what moves to make it.

New blocks go behind the file system. What lies behind that, a partition say, moves; the entries of the partition tables and
of the boot catalog that lead there follow, the copy of a GPT goes to the new end. A partition that holds the file system
grows with it.
"""

from __future__ import annotations

from typing import Final

from imgcore.blob import Blob, BytesBlob, SliceBlob
from imgcore.disk.edit import gpt_tail_sectors, moved_gpt, moved_mbr
from imgcore.disk.gpt import Gpt, read_gpt
from imgcore.disk.layout import PROTECTIVE
from imgcore.disk.mbr import read_mbr
from imgcore.disk.partitions import partitions
from imgcore.errors import Corrupt, Unsupported
from imgcore.formats.iso9660.catalog import Catalog
from imgcore.formats.iso9660.extents import end_of_extents
from imgcore.formats.iso9660.layout import BLOCK, MAGIC, low32
from imgcore.formats.iso9660.reader import IsoImage

__all__ = ["Room"]

_PER_BLOCK: Final = BLOCK // 512
_MIB: Final = 1 << 20
_CYLINDER: Final = 64 * 32


class Room:
    """The room of an image: `end` is the block behind the file system, `base` where its second tree begins, 0 for none."""

    def __init__(self, image: IsoImage, notes: list[str]) -> None:
        """Take an image, and where to put sentences."""
        self._image, self._blob, self._notes = image, image.blob, notes
        blob = image.blob
        self._volume = low32(image.primary.space_size)
        self._root = image._root_item(image.primary).sections[0][0]
        self.old_blocks = -(-blob.size // BLOCK)
        self._gpt = self._read_gpt()
        self._end_of_data: int | None = None
        self.base = self._second_base()
        self.end = self._end_of_files()
        self._next = self.end

    def allocate(self, count: int) -> int:
        """Return the first of so many new blocks."""
        block = self._next
        self._next += count
        return block

    # What is there

    def _read_gpt(self) -> Gpt | None:
        try:
            return read_gpt(self._blob)
        except Corrupt:
            return None

    def _second_base(self) -> int:
        """Return the block at which a partition begins that shows the same files by a second tree, 0 where there is none.

        It has the first tree in it. A partition with an ISO of its own, which was appended, comes behind that.
        """
        for start, _ in self._spans():
            base = start // _PER_BLOCK
            if not start or start % _PER_BLOCK or base > self._root:
                continue
            if self._blob.read_at((base + 16) * BLOCK, 6) == b"\x01" + MAGIC:
                return base
        return 0

    def _spans(self) -> list[tuple[int, int]]:
        """Return (first sector, sector behind the last) of all partitions but the protective one."""
        spans = [(one.first, one.last + 1) for one in self._gpt.partitions] if self._gpt is not None else []
        mbr = read_mbr(self._blob) or {}
        return spans + [(one.start, one.start + one.sectors) for one in mbr.values() if one.kind != PROTECTIVE and one.sectors]

    def _end_of_files(self) -> int:
        """Return the block behind the file system, where there is room to be made."""
        if self.base:
            start = self.base * _PER_BLOCK
            ends = [end for first, end in self._spans() if first == start]
            end = -(-ends[0] // _PER_BLOCK)
            if end_of_extents(self._image) > end:
                raise Unsupported("files behind the partition that has the file system", found=end_of_extents(self._image))
            return end
        end = self._data_end()
        spans = [(one.first, one.last + 1) for one in self._gpt.partitions] if self._gpt is not None else []
        spans += [
            (one.start, one.start + one.sectors) for one in (read_mbr(self._blob) or {}).values() if one.kind != PROTECTIVE
        ]
        holders = [span for span in spans if span[0] <= 16 * _PER_BLOCK < span[1]]
        whole = [-(-span[1] // _PER_BLOCK) for span in holders if span[0] == 0]
        # The volume, and what holds it; where a descriptor says too much (of isohybrid images it does), the partition alone.
        for block in (max([self._volume, *(-(-span[1] // _PER_BLOCK) for span in holders)]), *whole):
            behind = [first for first, last in spans if last > block * _PER_BLOCK and (first, last) not in holders]
            if block < end and behind and min(behind) >= block * _PER_BLOCK and end_of_extents(self._image) <= block:
                return block
        return end

    def _data_end(self) -> int:
        """Return the block behind everything but the copy of the GPT. Raises Unsupported."""
        if self._end_of_data is None:
            self._end_of_data = self._find_data_end()
        return self._end_of_data

    def _find_data_end(self) -> int:
        if self._gpt is None or self._gpt.alternate * 512 + 512 > self._blob.size:
            return self.old_blocks
        first = self._gpt.alternate + 1 - gpt_tail_sectors(self._blob)
        behind = (self._gpt.alternate + 1) * 512
        rest = self._blob.size - behind
        if rest > 64 * _MIB or self._blob.read_at(behind, rest).strip(b"\0"):
            raise Unsupported("bytes behind the copy of the GPT, whose meaning is not known", offset=behind)
        if rest >= BLOCK:
            self._notes.append(f"the copy of the GPT was not at the end: {rest} zero bytes behind it go")
        ends = [one.last + 1 for one in self._gpt.partitions if one.last < first]
        return max(first // _PER_BLOCK, -(-max(ends, default=0) // _PER_BLOCK))

    # What moves

    def grown(self) -> int:
        """Return how many blocks what is behind the files moves: what is new, kept to the alignment of partitions there."""
        delta = self._next - self.end
        starts = [one.offset for one in partitions(self._blob) if one.offset >= self.end * BLOCK] if delta else []
        if starts and all(start % _MIB == 0 for start in starts):
            delta += -delta % (_MIB // BLOCK)
        return delta

    def new_size(self, delta: int) -> int:
        if not delta:
            return self._blob.size
        if self._gpt is not None and self._gpt.alternate * 512 + 512 <= self._blob.size:
            sectors = (self._data_end() + delta) * _PER_BLOCK + gpt_tail_sectors(self._blob)
            sectors += -sectors % _PER_BLOCK
        else:
            sectors = (self.old_blocks + delta) * _PER_BLOCK
        mbr = read_mbr(self._blob) or {}
        whole = any(one.start == 0 and one.sectors * 512 == self._blob.size for one in mbr.values())
        if whole and self._blob.size % (_CYLINDER * 512) == 0:
            sectors += -sectors % _CYLINDER
        return sectors * 512

    def space_size(self, old: int, delta: int, size: int, *, second: bool) -> int:
        """Return the blocks that a descriptor says of an image that becomes `size` bytes; all that is new is among them.

        `second`: of the tree that a partition begins with, which has the files alone.
        """
        if second:
            return old + delta
        if old >= self._data_end():
            return max(old + -(-size // BLOCK) - self.old_blocks, self._next)
        return max(old, self.end) + delta if delta else old

    def moved(self, delta: int) -> list[tuple[int, Blob]]:
        """Return what is behind the files, at its new place."""
        start, end = self.end * BLOCK, self._data_end() * BLOCK
        if not delta or end <= start:
            return []
        return [(start + delta * BLOCK, SliceBlob(self._blob, start, min(end, self._blob.size) - start))]

    def tables(self, delta: int, size: int) -> list[tuple[int, Blob]]:
        """Return the partition tables as they become."""
        limit = self.end * _PER_BLOCK
        shift = delta * _PER_BLOCK
        descriptors = (self.base + 16) * _PER_BLOCK

        def move(first: int, end: int) -> tuple[int, int]:
            if first >= limit:
                return first + shift, end + shift
            if first < limit < end and not first <= descriptors:
                what = "a partition that lies across the end of the file system, where room is made"
                raise Unsupported(what, offset=first * 512, found=f"sectors {first} to {end - 1}")
            holds = first <= descriptors < end and -(-end // _PER_BLOCK) * _PER_BLOCK >= limit
            return (first, end + shift) if end > limit or holds else (first, end)

        sectors = size // 512
        out = list(moved_mbr(self._blob, sectors, self._blob.size // 512, move))
        if self._gpt is not None:
            if self._gpt.is_backup:
                raise Unsupported("the GPT's first copy is damaged: repair it first", offset=512)
            out += moved_gpt(self._blob, sectors, move)
        return [(at, BytesBlob(data)) for at, data in out]

    def catalog_patches(self, catalog: Catalog | None, delta: int) -> list[tuple[int, Blob]]:
        """Return the catalog's entries whose images move."""
        if catalog is None or not delta:
            return []
        return [
            (entry.at + 8, BytesBlob((entry.block + delta).to_bytes(4, "little")))
            for entry in catalog.entries
            if self.end <= entry.block < self.old_blocks
        ]
