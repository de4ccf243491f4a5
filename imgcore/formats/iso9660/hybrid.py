"""The system area and the end of an image: what a disk's firmware and partition tools see of it.

The first 32 KiB of an ISO belong to nobody, so that it may be a disk as well: a master boot record with a boot loader's
code, a GPT behind it, whose copy is in the very last sectors. Sectors are 512 bytes, four of a block.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from typing import Final, NamedTuple

from imgcore.disk.gpt import GptPartition, gpt_bytes, unchecked_gpt_bytes
from imgcore.disk.mbr import MbrPartition, mbr_bytes, protective
from imgcore.disk.partitions import BASIC_DATA
from imgcore.formats.iso9660.boot import Boot
from imgcore.formats.iso9660.layout import BLOCK

__all__ = ["TAIL", "Span", "image_end", "system_area"]

_AREA: Final = 32768
_PER_BLOCK: Final = BLOCK // 512
_FIRST_USABLE: Final = 64
_CODE_AT: Final = 432
_READ_ONLY: Final = 1 << 60 | 1
_ISOHYBRID_GAP: Final = 1 << 30
_ENTRIES: Final = 248
"""Entries of a GPT: so many end where the first usable sector begins; with fewer, partition tools warn of a gap."""
TAIL: Final = 16
"""Blocks at the end for the copy of a GPT: 62 sectors of entries and the header."""


class Span(NamedTuple):
    """Blocks from the first to the one behind the last."""

    first: int
    end: int


def image_end(boot: Boot | None, end: int) -> int:
    """Return the blocks of the whole image, where content and partitions end at block `end`."""
    if boot is None:
        return end
    if boot.table == "gpt":
        return end + TAIL
    if boot.table in ("isohybrid", "isohybrid-gpt"):
        if boot.table == "isohybrid-gpt":
            end += TAIL
        heads, per_track = _geometry(boot, end)
        cylinder = heads * per_track
        sectors = -(-end * _PER_BLOCK // cylinder) * cylinder
        while sectors % _PER_BLOCK:
            sectors += cylinder
        return sectors // _PER_BLOCK
    return end


def _geometry(boot: Boot, blocks: int) -> tuple[int, int]:
    """Return heads and sectors per track, as old BIOSes guess them of a USB stick."""
    if boot.table in ("isohybrid", "isohybrid-gpt") and blocks * BLOCK <= _ISOHYBRID_GAP:
        return 64, 32
    return 255, 63


def system_area(
    boot: Boot, *, blocks: int, iso_end: int, spans: dict[int, Span], efi: Span | None, loader_block: int, seed: bytes
) -> tuple[bytes, bytes]:
    """Return (the first 32 KiB, what is to be at the very end).

    `blocks` is the whole image, `iso_end` where the file system ends, `spans` the appended partitions, `efi` the file that
    is the EFI boot image, `loader_block` the place of the file that the boot loader's code starts.
    """
    digest = hashlib.sha256(b"imgcore iso ids" + seed).digest()
    disk_id = boot.disk_id if boot.disk_id is not None else int.from_bytes(digest[16:20], "little")
    disk_guid = boot.disk_guid or uuid.UUID(bytes=digest[:16], version=4)
    sectors = blocks * _PER_BLOCK
    code = boot.loader
    if boot.loader_kind == "isolinux":
        code = code[:_CODE_AT].ljust(_CODE_AT, b"\0") + struct.pack("<Q", loader_block * _PER_BLOCK)
    elif boot.loader_kind == "grub2":
        code = code[:_CODE_AT].ljust(_CODE_AT, b"\0") + struct.pack("<Q", loader_block * _PER_BLOCK + 4)
    iso = Span(boot.partition_offset, iso_end)
    table = _mbr_table(boot, sectors, iso, spans, efi)
    heads, per_track = _geometry(boot, blocks)
    area = mbr_bytes(table, code=code, disk_id=disk_id, heads=heads, per_track=per_track) if table or code else bytes(512)
    tail = b""
    if boot.table == "gpt":
        halves = gpt_bytes(
            _gpt_table(boot, disk_guid, iso, spans),
            sectors=sectors,
            disk_guid=disk_guid,
            first_usable=_FIRST_USABLE,
            count=_ENTRIES,
        )
        area += halves.header + halves.array
        tail = halves.backup_array + halves.backup_header
    elif boot.table == "isohybrid-gpt":
        front, tail = _overlapping(efi, iso_end, sectors, disk_guid)
        area += front
    return area.ljust(_AREA, b"\0"), tail


def _mbr_table(boot: Boot, sectors: int, iso: Span, spans: dict[int, Span], efi: Span | None) -> dict[int, MbrPartition]:
    """Return the partitions of the master boot record."""
    table: dict[int, MbrPartition] = {}
    if boot.table == "gpt":
        table[1] = protective(sectors)
        if boot.active:
            table[2] = MbrPartition(0, 0, 1, 0x80)
    elif boot.table == "mbr":
        if boot.partition_offset and 1 not in spans:
            table[1] = _mbr(boot.mbr_kind, iso, 0x80 if boot.active else 0)
        elif 1 not in spans and boot.loader:
            table[1] = MbrPartition(boot.mbr_kind, 0, iso.end * _PER_BLOCK, 0x80)
        for number, span in spans.items():
            table[number] = _mbr(boot.appended[number].mbr_kind, span, 0)
    elif boot.table != "none":
        table[1] = MbrPartition(0 if efi is not None else 0x17, 0, sectors, 0x80)
        if efi is not None:
            table[2] = _mbr(0xEF, efi, 0)
    return table


def _gpt_table(boot: Boot, disk_guid: uuid.UUID, iso: Span, spans: dict[int, Span]) -> list[GptPartition]:
    """Return the partitions of the GPT."""
    found = []
    if boot.partition_offset and 1 not in spans:
        found.append(_gpt(1, boot.gpt_kind, disk_guid, iso, "ISO9660", _READ_ONLY))
    for number, span in spans.items():
        one = boot.appended[number]
        found.append(_gpt(number, one.gpt_kind, disk_guid, span, one.name or f"Appended{number}", 0))
    return found


def _gpt(number: int, kind: uuid.UUID, disk_guid: uuid.UUID, span: Span, name: str, attributes: int) -> GptPartition:
    guid = uuid.UUID(bytes=hashlib.sha256(disk_guid.bytes + bytes((number,))).digest()[:16], version=4)
    return GptPartition(number, kind, guid, span.first * _PER_BLOCK, span.end * _PER_BLOCK - 1, name, attributes)


def _mbr(kind: int, span: Span, status: int) -> MbrPartition:
    return MbrPartition(kind, span.first * _PER_BLOCK, (span.end - span.first) * _PER_BLOCK, status)


def _overlapping(efi: Span | None, iso_end: int, sectors: int, disk_guid: uuid.UUID) -> tuple[bytes, bytes]:
    """Return a GPT as isohybrid images have it: a partition from sector 0 with the other one inside of it."""
    found = [_gpt(1, BASIC_DATA, disk_guid, Span(0, iso_end), "ISOHybrid", _READ_ONLY)]
    if efi is not None:
        found.append(_gpt(2, BASIC_DATA, disk_guid, efi, "ISOHybrid1", _READ_ONLY))
    halves = unchecked_gpt_bytes(found, sectors=sectors, disk_guid=disk_guid, first_usable=_FIRST_USABLE, count=_ENTRIES)
    return halves.header + halves.array, halves.backup_array + halves.backup_header
