"""`check`: what is wrong with a FAT volume, by the specification, fsck.fat and what UEFI's reader (EDK2) insists on.

Here is what concerns the whole volume; `check_tree` goes through names and clusters. An error is what leaves a file
unreadable or mixed up with another one, or a volume that Linux or UEFI does not open; the rest are warnings.
"""

from __future__ import annotations

from collections.abc import Iterator

from imgcore.blob import Blob, SliceBlob
from imgcore.errors import FormatError, NotThisFormat
from imgcore.events import Control
from imgcore.formats.base import Finding
from imgcore.formats.fat.boot_sector import BOOT_SIZE, read_boot_sector
from imgcore.formats.fat.check_tree import Walk
from imgcore.formats.fat.layout import MAX_16, BootSector, Extension32, FsInfo
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.fat.table import END
from imgcore.limits import Limits

__all__ = ["check_blob"]

_CLEAN = {16: 0xC000, 32: 0x0C000000}
"""Bits of the table's second entry: the volume was unmounted, and without errors of the disk."""
_DIRTY = 0x01


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no FAT at all, LimitExceeded, SourceError, Cancelled."""
    try:
        image = FatImage(blob, limits)
        image.table()
    except NotThisFormat:
        raise
    except FormatError as error:
        yield Finding(
            "corrupt", "error", error.message, fatal=True, offset=error.offset, structure=error.structure, field=error.field
        )
        return
    geometry = image.geometry
    wanted = geometry.sectors * geometry.sector
    if wanted > blob.size:
        yield Finding("cut", "error", "the volume is cut", found=f"{blob.size} bytes", allowed=f"{wanted} bytes")
    if geometry.kind == 32 and geometry.clusters <= MAX_16:
        yield Finding(
            "clusters",
            "error",
            "a FAT32 of too few clusters, which UEFI does not open",
            found=str(geometry.clusters),
            allowed=f"at least {MAX_16 + 1}",
        )
    yield from _tables(image, control)
    yield from _state(image)
    if isinstance(image.extension, Extension32):
        yield from _info(image)
        yield from _backup(image, image.extension)
    walk = Walk(image, control)
    yield from walk.findings()
    wanted_label, label = walk.label, image.boot_label()
    if label and wanted_label is not None and label != wanted_label:
        message = "the boot sector has another label than the root"
        yield Finding("label", "warning", message, found=label.decode("cp437"), allowed=wanted_label.decode("cp437") or "none")


def _tables(image: FatImage, control: Control) -> Iterator[Finding]:
    """Compare the copies of the table, and look at its first two entries, which belong to no cluster."""
    geometry = image.geometry
    size, step = geometry.fat_sectors * geometry.sector, 1 << 20
    for number in range(1, geometry.fats):
        for at in range(0, size, step):
            control.check()
            one, other = (image.blob.read_at(geometry.fat_at + copy * size + at, min(step, size - at)) for copy in (0, number))
            if one != other:
                place = next(byte for byte in range(len(one)) if one[byte : byte + 1] != other[byte : byte + 1])
                offset = geometry.fat_at + number * size + at + place
                yield Finding("copies", "warning", f"copy {number + 1} of the table differs from the first", offset=offset)
                break
    wanted = END[geometry.kind] & ~0xFF | image.boot.media
    if image.table()[0] != wanted:
        yield Finding(
            "media",
            "warning",
            "the table's first entry is not the kind of medium",
            offset=geometry.entry_at(0),
            found=f"{image.table()[0]:#x}",
            allowed=f"{wanted:#x}",
        )


def _state(image: FatImage) -> Iterator[Finding]:
    """Look at what says that the volume was not unmounted, and at the flags of FAT32."""
    extension = image.extension
    clean = _CLEAN.get(image.geometry.kind, 0)
    if extension.state & _DIRTY or image.table()[1] & clean != clean:
        place = next(field for field in extension.LAYOUT if field.name == "state")
        yield Finding(
            "dirty", "warning", "the volume was not unmounted, or its disk had errors", offset=BootSector.SIZE + place.offset
        )
    if isinstance(extension, Extension32) and extension.flags & 0x80:
        yield Finding(
            "mirror",
            "error",
            "only one of the tables is in use, which UEFI does not open",
            structure="Extension32",
            field="flags",
            found=f"{extension.flags:#x}",
        )


def _info(image: FatImage) -> Iterator[Finding]:
    """Compare FAT32's hint with the table."""
    found = image.fs_info()
    if found is None:
        yield Finding("info", "warning", "no FSInfo with how many clusters are free", structure="FsInfo")
        return
    at, info = found
    free = image.table()[2:].count(0)
    if info.free not in (free, 0xFFFFFFFF):
        place = next(field for field in FsInfo.LAYOUT if field.name == "free")
        yield Finding(
            "info",
            "warning",
            "another number of free clusters than the table has",
            offset=at + place.offset,
            structure="FsInfo",
            field="free",
            found=str(info.free),
            allowed=str(free),
        )


def _backup(image: FatImage, extension: Extension32) -> Iterator[Finding]:
    """Compare the copy of the boot sector with what it is a copy of; the state may differ."""
    number, geometry = extension.backup_sector, image.geometry
    if number in (0, 0xFFFF):
        return
    offset = number * geometry.sector
    try:
        copy = read_boot_sector(SliceBlob(image.blob, offset, BOOT_SIZE)) if number < geometry.reserved else None
    except FormatError:
        copy = None
    own = read_boot_sector(image.blob)
    if copy is not None:
        copy[1].state = own[1].state
    if copy is None or copy[:2] != own[:2]:
        yield Finding("backup", "warning", "the copy of the boot sector differs from it", offset=offset)
