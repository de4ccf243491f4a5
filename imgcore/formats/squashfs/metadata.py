"""Chains of metadata blocks: the stream that inodes, listings and tables are written to and read from.

A stream is cut into payloads of 8192 bytes; each is stored compressed when that is shorter, behind a 16-bit header. A
reference to a place in the stream names the block's position on disk, which is known only once all blocks before it are
compressed. So the writer compresses lazily, in batches as large as the references allow, on all processors.

A record that begins exactly where a block ends is referenced as (next block, 0): Linux refuses (this block, 8192).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

from imgcore.blob import Blob, Sink
from imgcore.blob.cache import BlockCache
from imgcore.codec import Codec, Decoder
from imgcore.engine import Engine
from imgcore.errors import Corrupt, context
from imgcore.formats.squashfs.layout import METADATA_RAW, METADATA_SIZE
from imgcore.limits import Limits

__all__ = ["Cursor", "MetadataReader", "MetadataWriter", "OnStored", "little_endian", "write_table"]

OnStored: TypeAlias = Callable[[int, bytes], None]
"""Is told the position and the stored bytes of each compressed block before it is decoded."""

_SHIFT: Final = METADATA_SIZE.bit_length() - 1
_OFFSET: Final = METADATA_SIZE - 1
_BATCH: Final = 1024  # blocks that are compressed at once: 8 MiB of payload


class MetadataWriter:
    """Collects a stream and gives references into it; `write_to` appends the blocks to a sink."""

    def __init__(self, engine: Engine, codec: Codec | None, jobs: int) -> None:
        self._engine = engine
        self._codec = codec
        self._jobs = jobs
        self._pending = bytearray()
        self._stored: list[bytes] = []
        self._starts = array("Q", [0])
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append_all(self, records: Sequence[bytes]) -> list[int]:
        """Add several records; return the position where each begins."""
        ends = list(accumulate(map(len, records), initial=self._length))
        self.append(b"".join(records))
        return ends[:-1]

    def append(self, data: bytes) -> int:
        """Add `data` to the stream; return the position where it begins."""
        at = self._length
        self._pending += data
        self._length += len(data)
        if len(self._pending) >= _BATCH * METADATA_SIZE:
            self._compress(len(self._pending) // METADATA_SIZE)
        return at

    def place(self, position: int) -> tuple[int, int]:
        """Return (start of the block, offset in it) of a position of the stream; the start counts from the first block."""
        block, offset = divmod(position, METADATA_SIZE)
        if block >= len(self._starts):
            self._compress(len(self._pending) // METADATA_SIZE)
        return self._starts[block], offset

    def block_starts(self) -> array[int]:
        """Return where each block begins, the one that is not yet full being the last; from the first block on."""
        self._compress(len(self._pending) // METADATA_SIZE)
        return self._starts

    def places(self, positions: Sequence[int]) -> list[tuple[int, int]]:
        """Return the places of several positions."""
        if not positions:
            return []
        self.place(max(positions))
        starts = self._starts
        return [(starts[position // METADATA_SIZE], position % METADATA_SIZE) for position in positions]

    def references(self, positions: Sequence[int]) -> array[int]:
        """Return the references of several positions, the block's start in the upper 48 bits."""
        if positions:
            self.place(max(positions))
        starts = [start << 16 for start in self._starts]
        return array("Q", [starts[at >> _SHIFT] | at & _OFFSET for at in positions])

    def reference(self, position: int) -> int:
        """Return the reference of a position of the stream."""
        start, offset = self.place(position)
        return start << 16 | offset

    def _compress(self, blocks: int) -> None:
        """Compress the first `blocks` pending payloads; the last may be short."""
        if not blocks:
            return
        size = min(blocks * METADATA_SIZE, len(self._pending))
        with memoryview(self._pending) as view:
            payloads = [bytes(view[at : min(at + METADATA_SIZE, size)]) for at in range(0, size, METADATA_SIZE)]
        del self._pending[:size]
        for compressed, data in self._engine.compress_all(payloads, self._codec, self._jobs):
            self._stored.append(struct.pack("<H", len(data) | (0 if compressed else METADATA_RAW)) + data)
            self._starts.append(self._starts[-1] + len(self._stored[-1]))

    def finish(self) -> int:
        """Compress what is left; return the bytes of all blocks. Nothing may be appended afterwards."""
        if self._pending:
            self._compress(-(-len(self._pending) // METADATA_SIZE))
        return self._starts[-1]

    def write_to(self, sink: Sink) -> list[int]:
        """Append all blocks to `sink`; return the position of each in the image."""
        self.finish()
        base = sink.position
        sink.append(b"".join(self._stored))
        return [base + start for start in self._starts[: len(self._stored)]]


def little_endian(numbers: array[int]) -> bytes:
    """Return numbers as they stand in an image."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def write_table(sink: Sink, engine: Engine, codec: Codec | None, jobs: int, data: bytes) -> tuple[list[int], int]:
    """Write `data` as a lookup table: its blocks, then the 64-bit list of their positions.

    Returns (the positions, the position of the list, which is what the superblock names).
    """
    writer = MetadataWriter(engine, codec, jobs)
    writer.append(data)
    positions = writer.write_to(sink)
    return positions, sink.append(struct.pack(f"<{len(positions)}Q", *positions))


class MetadataReader:
    """Decoded metadata blocks of one image by position; thread-safe, with a cache.

    `name` is the table's name in errors; `end` is where the next structure begins: no block reaches beyond it.
    """

    def __init__(
        self,
        blob: Blob,
        start: int,
        end: int,
        name: str,
        decoder: Decoder,
        cache: BlockCache,
        limits: Limits,
        on_stored: OnStored | None = None,
    ) -> None:
        self._blob = blob
        self._on_stored = on_stored
        self._decoder = decoder
        self._cache = cache
        self._limits = limits
        self._ends: dict[int, int] = {}
        self._spent = 0
        self.start = start
        self.end = end
        self.name = name

    def block(self, position: int) -> tuple[bytes, int]:
        """Return (payload, position of the block that follows) of the block at `position` of the image. Raises Corrupt."""
        after = self._ends.get(position)
        if after is not None:
            data = self._cache.get((self.name, position))
            if data is not None:
                return data, after
        with context(offset=position, structure=f"{self.name} block"):
            data, after = self._read(position)
        if position not in self._ends:
            self._ends[position] = after
            self._spent += len(data)
            self._limits.require("max_metadata", self._spent)
        self._cache.put((self.name, position), data)
        return data, after

    def _read(self, position: int) -> tuple[bytes, int]:
        if not self.start <= position <= self.end - 3:
            raise Corrupt(
                f"reference to outside of the {self.name}", found=f"{position:#x}", allowed=f"{self.start:#x} to {self.end:#x}"
            )
        raw = self._blob.read_at(position, min(2 + METADATA_SIZE, self.end - position))
        if len(raw) < 2:
            raise Corrupt("image ends inside a metadata block")
        (header,) = struct.unpack_from("<H", raw)
        length = header & ~METADATA_RAW
        if not 0 < length <= METADATA_SIZE:
            raise Corrupt("impossible length of a metadata block", field="header", found=length, allowed="1 to 8192")
        if len(raw) < 2 + length:
            raise Corrupt(
                f"metadata block reaches beyond the {self.name}",
                field="header",
                found=f"{length} bytes",
                allowed=f"{len(raw) - 2} bytes",
            )
        stored = raw[2 : 2 + length]
        if self._on_stored is not None and not header & METADATA_RAW:
            self._on_stored(position, stored)
        data = stored if header & METADATA_RAW else self._decoder(stored, METADATA_SIZE)
        if not data:
            raise Corrupt("metadata block without content")
        return data, position + 2 + length

    def cursor(self, block: int, offset: int) -> Cursor:
        """Return a cursor at the place that a reference names: `block` counts from the table's start. Raises Corrupt."""
        data, _ = self.block(self.start + block)
        if not 0 <= offset < len(data):
            raise Corrupt(
                f"reference to outside of a metadata block of the {self.name}",
                offset=self.start + block,
                structure=self.name,
                field="offset",
                found=offset,
                allowed=f"below {len(data)}",
            )
        return Cursor(self, self.start + block, offset)


class Cursor:
    """Reads a stream of metadata blocks onwards from one place; `offset` may be the end of its block."""

    __slots__ = ("_block", "_data", "_next", "_offset", "_reader")

    def __init__(self, reader: MetadataReader, block: int, offset: int) -> None:
        self._reader = reader
        self._block = block
        self._data, self._next = reader.block(block)
        self._offset = offset

    @property
    def place(self) -> tuple[int, int]:
        """Where the next byte stands: the position of its block in the image, and the offset in the block's payload.

        At a block's end that is the next block's beginning, as references have it; it may be the table's end.
        """
        return (self._next, 0) if self._offset == len(self._data) else (self._block, self._offset)

    def read(self, size: int, what: str) -> bytes:
        """Return the next `size` bytes; `what` names them in errors. Raises Corrupt at the table's end."""
        end = self._offset + size
        if end <= len(self._data):
            data = self._data[self._offset : end]
            self._offset = end
            return data
        parts = [self._data[self._offset :]]
        missing = size - len(parts[0])
        while missing:
            with context(structure=what):
                self._data, after = self._reader.block(self._next)
            self._block, self._next = self._next, after
            parts.append(self._data[:missing])
            self._offset = len(parts[-1])
            missing -= len(parts[-1])
        return b"".join(parts)
