"""What an ISO 9660 image is made of (ECMA-119, SUSP 1.12, RRIP 1.10 and 1.12, Joliet, El Torito), declared once.

Blocks are 2048 bytes. Numbers of directories and descriptors stand twice, little and big-endian; here such a field is one
integer of both halves, made by `both16` and `both32` and read by `low16` and `low32`. Linux reads the first half only.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

from imgcore.wire import Record, one_of, raw, record, u8, u16, u32, u64, within

__all__ = [
    "BLOCK",
    "DIRECTORY",
    "ESCAPES",
    "FIRST_DESCRIPTOR",
    "MAGIC",
    "MORE_EXTENTS",
    "MOST_IN_SECTION",
    "BootEntry",
    "BootRecord",
    "DirRecord",
    "PathRecord",
    "SectionHeader",
    "Validation",
    "VolumeDescriptor",
    "both16",
    "both32",
    "low16",
    "low32",
]

BLOCK: Final = 2048
FIRST_DESCRIPTOR: Final = 16
"""The block of the first volume descriptor."""
MAGIC: Final = b"CD001"
ESCAPES: Final = (b"%/@", b"%/C", b"%/E")
"""What marks a supplementary descriptor as Joliet, levels 1 to 3."""
DIRECTORY: Final = 0x02
MORE_EXTENTS: Final = 0x80
MOST_IN_SECTION: Final = 0xFFFFF800
"""Bytes of a file section that others follow."""

_SWAP16: Final = struct.Struct(">H")
_SWAP32: Final = struct.Struct(">I")

both16_field = u32
both32_field = u64
text32 = Annotated[bytes, raw(32)]
text37 = Annotated[bytes, raw(37)]
text128 = Annotated[bytes, raw(128)]
date17 = Annotated[bytes, raw(17)]


def both16(value: int) -> int:
    """Return the field that holds a number in both byte orders."""
    return value | int.from_bytes(_SWAP16.pack(value), "little") << 16


def both32(value: int) -> int:
    """Return the field that holds a number in both byte orders."""
    return value | int.from_bytes(_SWAP32.pack(value), "little") << 32


def low16(field: int) -> int:
    """Return the number that the little-endian half of a field says."""
    return field & 0xFFFF


def low32(field: int) -> int:
    """Return the number that the little-endian half of a field says."""
    return field & 0xFFFFFFFF


@record("<", spec="ECMA-119, 8.4 and 8.5")
class VolumeDescriptor(Record):
    """A primary, supplementary (Joliet) or enhanced (ISO 9660:1999) volume descriptor."""

    kind: Annotated[u8, one_of(1, 2)]
    magic: Annotated[bytes, raw(5)]
    version: u8
    flags: u8
    system_id: text32
    volume_id: text32
    unused: u64
    space_size: both32_field
    escapes: text32
    set_size: both16_field
    sequence: both16_field
    block_size: both16_field
    path_table_size: both32_field
    path_table_l: u32
    optional_l: u32
    path_table_m: Annotated[bytes, raw(4)]
    optional_m: Annotated[bytes, raw(4)]
    root: Annotated[bytes, raw(34)]
    set_id: text128
    publisher: text128
    preparer: text128
    application: text128
    copyright_file: text37
    abstract_file: text37
    bibliographic_file: text37
    created: date17
    modified: date17
    expires: date17
    effective: date17
    structure_version: u8
    reserved: u8
    application_use: Annotated[bytes, raw(512)]
    rest: Annotated[bytes, raw(653)]


@record("<", spec="El Torito 1.0, boot record volume descriptor")
class BootRecord(Record):
    """The volume descriptor that leads to the boot catalog."""

    kind: Annotated[u8, one_of(0)]
    magic: Annotated[bytes, raw(5)]
    version: u8
    system: text32
    boot_id: text32
    catalog: u32
    rest: Annotated[bytes, raw(1973)]


@record("<", spec="ECMA-119, 9.1")
class DirRecord(Record):
    """The fixed part of a directory record; the name, a byte that makes the length even, and system use follow."""

    length: Annotated[u8, within(34, 255)]
    attribute_length: u8
    extent: both32_field
    size: both32_field
    date: Annotated[bytes, raw(7)]
    flags: u8
    unit: u8
    gap: u8
    sequence: both16_field
    name_length: Annotated[u8, within(1, 222)]


@record("<", spec="ECMA-119, 9.4")
class PathRecord(Record):
    """A record of a path table, little-endian; the directory's name follows, and a byte that makes the length even."""

    name_length: u8
    attribute_length: u8
    extent: u32
    parent: u16


@record("<", spec="El Torito 1.0, validation entry")
class Validation(Record):
    """The first entry of a boot catalog; the sum of its sixteen words is 0."""

    header: Annotated[u8, one_of(1)]
    platform: u8
    reserved: u16
    name: Annotated[bytes, raw(24)]
    checksum: u16
    key: Annotated[u16, one_of(0xAA55)]


@record("<", spec="El Torito 1.0, initial entry and section entry")
class BootEntry(Record):
    """One boot image. `sectors` counts 512 bytes, `block` is where it begins."""

    indicator: u8
    media: u8
    segment: u16
    system: u8
    unused: u8
    sectors: u16
    block: u32
    criteria_kind: u8
    criteria: Annotated[bytes, raw(19)]


@record("<", spec="El Torito 1.0, section header")
class SectionHeader(Record):
    """What stands before the boot images of one platform."""

    indicator: Annotated[u8, one_of(0x90, 0x91)]
    platform: u8
    count: u16
    name: Annotated[bytes, raw(28)]


assert VolumeDescriptor.SIZE == BootRecord.SIZE == BLOCK
assert DirRecord.SIZE == 33
assert Validation.SIZE == BootEntry.SIZE == SectionHeader.SIZE == 32
