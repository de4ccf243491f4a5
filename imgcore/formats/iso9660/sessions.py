"""The volume descriptors of an image, and which session of several counts."""

from __future__ import annotations

from typing import Final, NamedTuple

from imgcore.blob import Blob
from imgcore.errors import Corrupt, NotThisFormat
from imgcore.formats.iso9660.layout import BLOCK, ESCAPES, FIRST_DESCRIPTOR, MAGIC, BootRecord, VolumeDescriptor

__all__ = ["Descriptor", "last_session", "read_descriptors"]

_LAST_DESCRIPTOR: Final = 100
_MOST_SESSIONS: Final = 99


class Descriptor(NamedTuple):
    """A volume descriptor: its block, and what it is (None for one that no reader knows)."""

    block: int
    kind: int
    record: VolumeDescriptor | BootRecord | None

    @property
    def is_joliet(self) -> bool:
        """Whether it leads to a Joliet tree."""
        return isinstance(self.record, VolumeDescriptor) and self.kind == 2 and self.record.escapes[:3] in ESCAPES

    @property
    def is_enhanced(self) -> bool:
        """Whether it leads to a tree of ISO 9660:1999."""
        return isinstance(self.record, VolumeDescriptor) and self.kind == 2 and self.record.version == 2


def read_descriptors(blob: Blob, first: int = FIRST_DESCRIPTOR) -> list[Descriptor]:
    """Return the volume descriptors from a block on, the terminator left out. Raises NotThisFormat, Corrupt."""
    found: list[Descriptor] = []
    for block in range(first, first + _LAST_DESCRIPTOR - FIRST_DESCRIPTOR):
        data = blob.read_at(block * BLOCK, BLOCK)
        if data[1:6] != MAGIC:
            break
        if data[0] == 255:
            break
        if len(data) < BLOCK:
            raise Corrupt("a volume descriptor that is cut", offset=block * BLOCK, structure="VolumeDescriptor")
        record: VolumeDescriptor | BootRecord | None = None
        if data[0] in (1, 2):
            record = VolumeDescriptor.unpack_from(data, base=block * BLOCK)
        elif data[0] == 0:
            record = BootRecord.unpack_from(data, base=block * BLOCK)
        found.append(Descriptor(block, data[0], record))
    if not any(one.kind == 1 for one in found):
        raise NotThisFormat("not an ISO 9660 image", offset=first * BLOCK, structure="VolumeDescriptor")
    return found


def _partition_starts(blob: Blob) -> set[int]:
    """Return the blocks at which partitions of the MBR begin."""
    data = blob.read_at(446, 66)
    if data[64:] != b"\x55\xaa":
        return set()
    starts = [int.from_bytes(data[16 * number + 8 : 16 * number + 12], "little") for number in range(4)]
    return {start // 4 for start in starts if start and start % 4 == 0}


def last_session(blob: Blob) -> int:
    """Return the block at which the last session of a multi-session image begins, 0 where there is one session.

    A session follows where the one before ends, at a multiple of 16 blocks, and has all that is to be seen. What begins a
    partition of the MBR is that partition's, and no session: discs that drives wrote have none.
    """
    start = 0
    taken = _partition_starts(blob)
    for _ in range(_MOST_SESSIONS):
        head = blob.read_at((start + FIRST_DESCRIPTOR) * BLOCK, 84)
        if len(head) < 84:
            return start
        following = start + int.from_bytes(head[80:84], "little")
        following += -following % 16
        if (
            following in taken
            or following <= start
            or blob.read_at((following + FIRST_DESCRIPTOR) * BLOCK, 7) != b"\x01" + MAGIC + b"\x01"
        ):
            return start
        start = following
    return start
