"""The boot catalog of an image that is read: its entries, whatever order they are in, and what is wrong with it."""

from __future__ import annotations

import struct
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt
from imgcore.formats.iso9660.layout import BLOCK, BootEntry, BootRecord, SectionHeader, Validation
from imgcore.values import value_class

__all__ = ["BAD_CHECKSUM", "MEDIA", "PLATFORMS", "Catalog", "CatalogEntry", "read_catalog"]

BAD_CHECKSUM: Final = "the checksum of the validation entry is wrong"

PLATFORMS: Final = {0: "BIOS", 1: "PowerPC", 2: "Mac", 0xEF: "UEFI"}
MEDIA: Final = {0: "no emulation", 1: "1.2M floppy", 2: "1.44M floppy", 3: "2.88M floppy", 4: "disk"}
_SIGNATURE: Final = b"EL TORITO SPECIFICATION"


@value_class
class CatalogEntry:
    """One boot image: `at` is the byte of its entry in the image, `sectors` are of 512 bytes, `block` where it begins."""

    at: int
    platform: int
    bootable: bool
    media: int
    segment: int
    sectors: int
    block: int
    name: bytes = b""


@value_class
class Catalog:
    """A boot catalog at a block; `problems` are sentences, `raw` its bytes."""

    block: int
    platform: int
    entries: tuple[CatalogEntry, ...]
    problems: tuple[str, ...]
    raw: bytes


def read_catalog(blob: Blob, record: BootRecord) -> Catalog | None:
    """Return the catalog that a boot record leads to, None for one that is not El Torito's. Raises Corrupt."""
    if record.system.rstrip(b"\0 ") != _SIGNATURE:
        return None
    data = blob.read_at(record.catalog * BLOCK, BLOCK)
    if len(data) < BLOCK:
        raise Corrupt(
            "the boot catalog is behind the end of the image", structure="BootRecord", field="catalog", found=record.catalog
        )
    problems = []
    head = Validation.unpack_unchecked(data)
    if head.header != 1 or head.key != 0xAA55:
        problems.append("the first entry is no validation entry")
    if sum(struct.unpack("<16H", data[:32])) & 0xFFFF:
        problems.append(BAD_CHECKSUM)
    found = []
    platform, left, name, at = head.platform, 1, b"", 32
    last = False
    while at + 32 <= BLOCK:
        kind = data[at]
        if kind in (0x90, 0x91) and left <= 0:
            header = SectionHeader.unpack_from(data, at)
            platform, left, name, last = header.platform, header.count, header.name.rstrip(b"\0 "), kind == 0x91
            at += 32
            continue
        if kind == 0x44:  # more of the criteria of the entry before
            at += 32
            continue
        if kind not in (0x88, 0) or (kind == 0 and (not data[at : at + 32].strip(b"\0") or (left <= 0 and last))):
            if left > 0:
                problems.append(f"{left} entries of a section are missing")
            break
        if left <= 0:
            problems.append(f"the entry at byte {at} belongs to no section")
        entry = BootEntry.unpack_from(data, at)
        if entry.block * BLOCK >= blob.size:
            problems.append(f"the image of the entry at byte {at} is behind the end")
        found.append(
            CatalogEntry(
                record.catalog * BLOCK + at,
                platform,
                kind == 0x88,
                entry.media & 15,
                entry.segment,
                entry.sectors,
                entry.block,
                name,
            )
        )
        left -= 1
        at += 32
    return Catalog(record.catalog, head.platform, tuple(found), tuple(problems), data)
