"""The master boot record: four partitions behind 440 bytes of a boot loader's code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imgcore.blob import Blob
from imgcore.disk.layout import BOOT_SIGNATURE, PROTECTIVE, Mbr, MbrEntry
from imgcore.values import value_class

__all__ = ["MbrPartition", "chs", "mbr_bytes", "protective", "protective_start", "read_mbr"]

_SECTORS: Final = 0xFFFFFFFF


@value_class
class MbrPartition:
    """One partition: its type, and its place in sectors of 512 bytes. `status` 0x80 makes it active."""

    kind: int
    start: int
    sectors: int
    status: int = 0


def chs(sector: int, heads: int = 255, per_track: int = 63) -> bytes:
    """Return a sector as cylinder, head and sector; beyond 1024 cylinders all ones, which means: look at the number."""
    cylinder, rest = divmod(sector, heads * per_track)
    if cylinder > 1023:
        return b"\xfe\xff\xff"
    head, number = divmod(rest, per_track)
    return bytes((head, (number + 1) | (cylinder >> 2) & 0xC0, cylinder & 0xFF))


def protective(sectors: int) -> MbrPartition:
    """Return the partition that stands for a GPT on a disk of so many sectors."""
    return MbrPartition(PROTECTIVE, 1, min(sectors - 1, _SECTORS))


def mbr_bytes(
    partitions: Mapping[int, MbrPartition],
    *,
    code: bytes = b"",
    disk_id: int = 0,
    heads: int = 255,
    per_track: int = 63,
) -> bytes:
    """Return 512 bytes with these partitions, by number from 1 to 4. Raises ValueError for other numbers."""
    table = bytearray(64)
    for number, one in partitions.items():
        if not 1 <= number <= 4:
            raise ValueError(f"an MBR has partitions 1 to 4, not {number}")
        if one.kind == PROTECTIVE:
            first, last = b"\0\2\0", b"\xff\xff\xff"
        else:
            first = chs(one.start, heads, per_track)
            last = chs(max(one.start + one.sectors - 1, one.start), heads, per_track)
        entry = MbrEntry(one.status, first, one.kind, last, one.start, one.sectors)
        table[16 * number - 16 : 16 * number] = entry.pack()
    return Mbr(code[:440].ljust(440, b"\0"), disk_id, 0, bytes(table), BOOT_SIGNATURE).pack()


def protective_start(blob: Blob) -> int | None:
    """Return where the partition begins that stands for a GPT; None where there is none: then nobody looks for the GPT.

    libblkid, and so systemd, wants such a partition, Linux that one begins in sector 1. Sources: util-linux,
    libblkid/src/partitions/gpt.c: is_pmbr_valid; Linux, block/partitions/efi.c: pmbr_part_valid.
    """
    found = [one.start for one in _entries(blob) or () if one.kind == PROTECTIVE]
    return 1 if 1 in found else found[0] if found else None


def read_mbr(blob: Blob) -> dict[int, MbrPartition] | None:
    """Return the partitions by number, those without a type and a size left out; None where there is no MBR."""
    entries = _entries(blob)
    if entries is None:
        return None
    found = {}
    for number, entry in enumerate(entries, 1):
        if entry.kind or entry.sectors:
            if entry.status not in (0, 0x80):
                return None
            found[number] = MbrPartition(entry.kind, entry.start, entry.sectors, entry.status)
    return found


def _entries(blob: Blob) -> list[MbrEntry] | None:
    """Return the four entries, None where there is no MBR."""
    data = blob.read_at(0, Mbr.SIZE)
    if len(data) < Mbr.SIZE:
        return None
    mbr = Mbr.unpack_unchecked(data)
    if mbr.signature != BOOT_SIGNATURE:
        return None
    return [MbrEntry.unpack_from(mbr.entries, 16 * number) for number in range(4)]
