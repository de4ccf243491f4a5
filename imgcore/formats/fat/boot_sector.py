"""The boot sector: what says that a blob is a FAT volume, and of which kind; every number in it is checked here.

The rules are those of Linux and of UEFI's reader (EDK2). Only the signature at the end of the sector and all fields together
make a volume: the sector of a partition table, of NTFS or of exFAT has the same signature.
"""

from __future__ import annotations

from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt, NotThisFormat
from imgcore.formats.fat.geometry import BITS, Geometry, kind_of
from imgcore.formats.fat.layout import BootSector, Extension, Extension32

__all__ = ["BOOT_SIZE", "read_boot_sector", "recognise"]

BOOT_SIZE: Final = 512
"""Bytes of the boot sector that mean something, whatever the size of a sector."""


def recognise(blob: Blob) -> bool:
    """Return whether a blob begins like a FAT volume: the magic of a boot sector alone would take any disk."""
    try:
        read_boot_sector(blob)
    except NotThisFormat:
        return False
    except Corrupt:
        pass  # a volume, if a damaged one: whoever opens it says what is wrong
    return True


def read_boot_sector(blob: Blob) -> tuple[BootSector, Extension | Extension32, Geometry]:
    """Return what the boot sector says. Raises NotThisFormat, Corrupt."""
    data = blob.read_at(0, BOOT_SIZE)
    head = BootSector.unpack_unchecked(data) if len(data) == BOOT_SIZE else None
    if head is None or data[510:512] != b"\x55\xaa" or not (data[0] == 0xEB or data[0] == 0xE9):
        raise NotThisFormat("not a FAT volume", structure="BootSector")
    if data[3:11] in (b"NTFS    ", b"EXFAT   ") or any(True for _ in head.violations()) or not head.reserved:
        raise NotThisFormat("not a FAT volume", structure="BootSector")
    fat_sectors = head.fat_sectors16
    extension: Extension | Extension32
    if fat_sectors:
        extension = Extension.unpack_from(data, BootSector.SIZE)
    else:
        extension = Extension32.unpack_from(data, BootSector.SIZE)
        fat_sectors = extension.fat_sectors
    sectors = head.sectors16 or head.sectors32
    if not fat_sectors or not sectors:
        raise NotThisFormat("not a FAT volume", structure="BootSector")
    given = Geometry(
        0, head.sector_size, head.cluster_sectors, head.reserved, head.fats, head.root_entries, fat_sectors, sectors
    )
    field = "fat_sectors16" if head.fat_sectors16 else "fat_sectors"
    if given.data_at >= sectors * head.sector_size or not given.clusters:
        raise _wrong("the tables fill the whole volume", field, fat_sectors)
    kind = 32 if not head.fat_sectors16 else kind_of(given.clusters)
    if kind == 32 and head.fat_sectors16:
        raise _wrong("more clusters than FAT16 has", "sectors32", given.clusters)
    if kind != 32 and not head.root_entries:
        raise _wrong("a root without entries", "root_entries", 0)
    if kind == 32 and head.root_entries:
        raise _wrong("a FAT32 with a root of entries", "root_entries", head.root_entries)
    geometry = Geometry(
        kind, head.sector_size, head.cluster_sectors, head.reserved, head.fats, head.root_entries, fat_sectors, sectors
    )
    if (geometry.clusters + 2) * BITS[kind] > fat_sectors * head.sector_size * 8:
        raise _wrong("a table that is too short for the clusters", field, fat_sectors)
    return head, extension, geometry


def _wrong(message: str, field: str, found: int) -> Corrupt:
    """Return the error of a boot sector's field."""
    for structure, at in ((BootSector, 0), (Extension32, BootSector.SIZE)):
        for place in structure.LAYOUT:
            if place.name == field:
                return Corrupt(message, offset=at + place.offset, structure=structure.__name__, field=field, found=found)
    raise AssertionError(field)
