"""Partition tables as they lie on disk: the master boot record, and the GUID partition table (UEFI 2.10, chapter 5)."""

from __future__ import annotations

from typing import Annotated, Final

from imgcore.wire import Record, one_of, power_of_two, raw, record, u8, u16, u32, u64, within

__all__ = ["BOOT_SIGNATURE", "GPT_MAGIC", "PROTECTIVE", "GptEntry", "GptHeader", "Mbr", "MbrEntry"]

BOOT_SIGNATURE: Final = 0xAA55
GPT_MAGIC: Final = b"EFI PART"
PROTECTIVE: Final = 0xEE
"""The type of the MBR partition that stands for a GPT."""


@record("<", spec="UEFI 2.10, 5.2.1")
class MbrEntry(Record):
    """One of four partitions; `start` and `sectors` count 512 bytes, `first` and `last` are cylinders, heads, sectors."""

    status: u8
    first: Annotated[bytes, raw(3)]
    kind: u8
    last: Annotated[bytes, raw(3)]
    start: u32
    sectors: u32


@record("<", spec="UEFI 2.10, 5.2.1")
class Mbr(Record):
    """The first 512 bytes of a disk."""

    code: Annotated[bytes, raw(440)]
    disk_id: u32
    reserved: u16
    entries: Annotated[bytes, raw(64)]
    signature: Annotated[u16, one_of(BOOT_SIGNATURE)]


@record("<", spec="UEFI 2.10, 5.3.2")
class GptHeader(Record):
    """The head of a GUID partition table; positions are in sectors."""

    magic: Annotated[bytes, raw(8)]
    revision: Annotated[u32, one_of(0x10000)]
    size: Annotated[u32, within(92, 4096)]
    crc: u32
    reserved: u32
    own: u64
    other: u64
    first_usable: u64
    last_usable: u64
    disk_guid: Annotated[bytes, raw(16)]
    entries: u64
    count: Annotated[u32, within(1, 4096)]
    entry_size: Annotated[u32, power_of_two(128, 4096)]
    entries_crc: u32


@record("<", spec="UEFI 2.10, 5.3.3")
class GptEntry(Record):
    """One partition; `last` is inside of it, `name` is UTF-16."""

    kind: Annotated[bytes, raw(16)]
    guid: Annotated[bytes, raw(16)]
    first: u64
    last: u64
    attributes: u64
    name: Annotated[bytes, raw(72)]


assert Mbr.SIZE == 512
assert GptHeader.SIZE == 92
assert GptEntry.SIZE == 128
