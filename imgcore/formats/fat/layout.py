"""What a FAT volume is made of (Microsoft's FAT specification 1.03), declared once."""

from __future__ import annotations

from typing import Annotated, Final

from imgcore.wire import Record, one_of, power_of_two, raw, record, u8, u16, u32

__all__ = [
    "ATTR_DIR",
    "ATTR_LABEL",
    "ATTR_LONG",
    "ATTR_READ_ONLY",
    "ENTRY",
    "MAX_12",
    "MAX_16",
    "MAX_32",
    "BootSector",
    "DirEntry",
    "Extension",
    "Extension32",
    "FsInfo",
    "LongEntry",
]

ENTRY: Final = 32
ATTR_READ_ONLY: Final = 0x01
ATTR_LABEL: Final = 0x08
ATTR_DIR: Final = 0x10
ATTR_LONG: Final = 0x0F

MAX_12: Final = 4084
MAX_16: Final = 65524
MAX_32: Final = 0x0FFFFFF5
"""The most clusters of each kind: their number alone says which kind a volume is of."""


@record("<", spec="FAT 1.03, boot sector")
class BootSector(Record):
    """The first 36 bytes of a volume."""

    jump: Annotated[bytes, raw(3)]
    oem: Annotated[bytes, raw(8)]
    sector_size: Annotated[u16, power_of_two(512, 4096)]
    cluster_sectors: Annotated[u8, power_of_two(1, 128)]
    reserved: u16
    fats: Annotated[u8, one_of(1, 2, 3, 4)]
    root_entries: u16
    sectors16: u16
    media: Annotated[u8, one_of(0xF0, *range(0xF8, 0x100))]
    fat_sectors16: u16
    per_track: u16
    heads: u16
    hidden: u32
    sectors32: u32


@record("<", spec="FAT 1.03, extended boot sector of FAT12 and FAT16, at byte 36")
class Extension(Record):
    """What follows for FAT12 and FAT16."""

    drive: u8
    state: u8
    signature: u8
    serial: u32
    label: Annotated[bytes, raw(11)]
    kind: Annotated[bytes, raw(8)]


@record("<", spec="FAT 1.03, extended boot sector of FAT32, at byte 36")
class Extension32(Record):
    """What follows for FAT32."""

    fat_sectors: u32
    flags: u16
    version: Annotated[u16, one_of(0)]
    root_cluster: u32
    info_sector: u16
    backup_sector: u16
    unused: Annotated[bytes, raw(12)]
    drive: u8
    state: u8
    signature: u8
    serial: u32
    label: Annotated[bytes, raw(11)]
    kind: Annotated[bytes, raw(8)]


@record("<", spec="FAT 1.03, FSInfo")
class FsInfo(Record):
    """How many clusters are free, and where to look for one; a hint of FAT32."""

    lead: Annotated[u32, one_of(0x41615252)]
    unused: Annotated[bytes, raw(480)]
    middle: Annotated[u32, one_of(0x61417272)]
    free: u32
    next_free: u32
    unused2: Annotated[bytes, raw(12)]
    trail: Annotated[u32, one_of(0xAA550000)]


@record("<", spec="FAT 1.03, directory entry")
class DirEntry(Record):
    """One name in 8.3 form."""

    name: Annotated[bytes, raw(11)]
    attributes: u8
    case: u8
    created_hundredths: u8
    created_time: u16
    created_date: u16
    accessed_date: u16
    cluster_high: u16
    time: u16
    date: u16
    cluster_low: u16
    size: u32


@record("<", spec="FAT 1.03, long directory entry")
class LongEntry(Record):
    """Thirteen characters of a long name; the last ones come first."""

    order: u8
    first: Annotated[bytes, raw(10)]
    attributes: u8
    kind: u8
    checksum: u8
    second: Annotated[bytes, raw(12)]
    cluster: u16
    third: Annotated[bytes, raw(4)]


assert BootSector.SIZE == 36
assert FsInfo.SIZE == 512
assert DirEntry.SIZE == LongEntry.SIZE == ENTRY
