"""A disk with a GPT, written around what is in its partitions.

What fills the first partition is written first, before anybody knows how large it will be, at 1 MiB: there the first
partition of every disk begins that is larger than 4 MiB. On a smaller disk it is moved to the front, which costs little.
Then the places of all partitions are known, the file gets its size, and everything else is patched into it: the other
partitions, the protective MBR, the table and its copy. The bytes are those that systemd-repart writes (through libfdisk).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from imgcore.blob import Blob, Sink, read_chunks
from imgcore.blob.part import append_zeros
from imgcore.disk.gpt import GptPartition, gpt_bytes
from imgcore.disk.mbr import mbr_bytes, protective
from imgcore.disk.placing import ALIGNMENT, first_usable
from imgcore.disk.types import PartitionType
from imgcore.events import Control
from imgcore.values import value_class

__all__ = ["GROW_FILE_SYSTEM", "NO_AUTO", "READ_ONLY", "DiskPart", "begin_disk", "finish_disk", "table_bytes"]

GROW_FILE_SYSTEM: Final = 1 << 59
READ_ONLY: Final = 1 << 60
NO_AUTO: Final = 1 << 63


@value_class(eq=False)
class DiskPart:
    """A partition with a place; `offset` and `size` are bytes. `content` is None for what was written at 1 MiB before.

    `number` is its number in the table; 0: that of its place among the parts.
    """

    kind: PartitionType
    label: str
    guid: uuid.UUID
    attributes: int
    offset: int
    size: int
    content: Blob | None = None
    number: int = 0


def begin_disk(sink: Sink) -> None:
    """Leave the room before the first partition."""
    append_zeros(sink, ALIGNMENT)


def finish_disk(
    sink: Sink, body: int, parts: Sequence[DiskPart], *, total: int, sector: int, disk_guid: uuid.UUID, control: Control
) -> None:
    """Write all but the `body` bytes that were written behind `begin_disk`, and move those to the first partition.

    Raises ValueError for parts that overlap or lie outside of the disk.
    """
    first = next((part for part in parts if part.content is None), None)
    if first is not None and first.offset != ALIGNMENT:
        _move(sink, ALIGNMENT, first.offset, body)
    append_zeros(sink, total - sink.position)
    for part in parts:
        if part.content is None:
            continue
        if part.content.size > part.size:
            raise ValueError(f"{part.content.size} bytes do not fit into partition {part.label} of {part.size}")
        at = part.offset
        for data in read_chunks(part.content):
            control.check()
            sink.patch(at, data)
            at += len(data)
    head, tail = table_bytes(parts, total=total, sector=sector, disk_guid=disk_guid)
    sink.patch(0, head)
    sink.patch(total - len(tail), tail)


def table_bytes(parts: Sequence[DiskPart], *, total: int, sector: int, disk_guid: uuid.UUID) -> tuple[bytes, bytes]:
    """Return what lies before the partitions, and behind them."""
    sectors = total // sector
    entries = [
        GptPartition(
            one.number or number,
            one.kind.guid,
            one.guid,
            one.offset // sector,
            (one.offset + one.size) // sector - 1,
            one.label,
            one.attributes,
        )
        for number, one in enumerate(parts, 1)
    ]
    usable = first_usable(total, sector)
    made = gpt_bytes(entries, sectors=sectors, disk_guid=disk_guid, first_usable=usable, sector=sector)
    mbr = mbr_bytes({1: protective(sectors)}).ljust(sector, b"\0")
    # What is behind the last whole sector belongs to nobody.
    return mbr + made.header + made.array, made.backup_array + made.backup_header + bytes(total % sector)


def _move(sink: Sink, old: int, new: int, size: int) -> None:
    data = sink.read_back(old, size)
    sink.patch(new, data)
    begin = max(old, new + size)
    sink.patch(begin, bytes(max(old + size - begin, 0)))
