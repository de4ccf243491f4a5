"""What makes an image boot: El Torito entries, code for the master boot record, partitions. Values, and the boot catalog.

Entries are named by what they are for, not by the order of flags: those for a BIOS come first in the catalog, since a BIOS
looks at the first one only. What a firmware wants of each is in `docs/iso.md`.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from imgcore.blob import Blob
from imgcore.disk.partitions import BASIC_DATA, ESP
from imgcore.formats.iso9660.layout import BLOCK, BootEntry, SectionHeader, Validation
from imgcore.values import field, value_class

__all__ = ["BIOS", "UEFI", "Appended", "Boot", "BootImage", "boot_catalog", "grub2_info", "info_table", "sectors_of"]

BIOS: Final = 0
UEFI: Final = 0xEF
_INFO_END: Final = 64
_GRUB2_AT: Final = 2548
_MEDIA: Final = {"none": 0, "1.2M": 1, "1.44M": 2, "2.88M": 3, "disk": 4}


@value_class
class BootImage:
    """One entry of the boot catalog.

    Attributes:
        source: path of a file in the tree, or number of an appended partition.
        platform: 0 BIOS, 0xEF UEFI, 1 PowerPC, 2 Mac.
        sectors: of 512 bytes that a BIOS loads; None: 4 for a BIOS, all of it for UEFI, 0 where that is above 65535
            (UEFI then takes everything up to the volume's end).
        segment: where a BIOS loads it, 0 for the usual place.
        emulation: what a BIOS pretends it to be: none, a floppy of that size, disk.
        info_table: write where the image is into the file's bytes 8 to 63, as isolinux and GRUB want it.
        grub2_info: the same at byte 2548, for GRUB 2.
        name: of the entry's section.
    """

    source: bytes | int
    platform: int = BIOS
    sectors: int | None = None
    segment: int = 0
    emulation: Literal["none", "1.2M", "1.44M", "2.88M", "disk"] = "none"
    info_table: bool = False
    grub2_info: bool = False
    name: bytes = b""


@value_class
class Appended:
    """A partition behind the file system: an EFI system partition, mostly."""

    content: Blob
    mbr_kind: int = 0xEF
    gpt_kind: uuid.UUID = ESP
    name: str = ""


@value_class
class Boot:
    """What makes an image boot.

    Attributes:
        images: for El Torito.
        catalog: path that shows the boot catalog as a file; None hides it.
        loader: the first sector's code, at most 512 bytes, from isolinux's `isohdpfx.bin` or GRUB's `boot_hybrid.img`.
        loader_kind: which of them it is; it then gets the place of the first image that is a file.
        table: none, mbr, gpt (with a protective MBR), isohybrid (an MBR over all of it, for isolinux), isohybrid-gpt (with
            the GPT that other tools add to that, which UEFI calls invalid: its partitions overlap).
        appended: partitions, by number.
        partition_offset: 16: the first partition begins at block 16 and is an ISO of its own, with the same files.
        active: an MBR partition for a BIOS that wants an active one.
        mbr_kind: type of the partition with the file system.
        gpt_kind: the same in a GPT.
        align: partitions begin at multiples of this.
        disk_guid: of the GPT; None derives it from the content.
        disk_id: of the MBR; None derives it.
    """

    images: tuple[BootImage, ...] = ()
    catalog: bytes | None = None
    loader: bytes = b""
    loader_kind: Literal["none", "isolinux", "grub2"] = "none"
    table: Literal["none", "mbr", "gpt", "isohybrid", "isohybrid-gpt"] = "none"
    appended: Mapping[int, Appended] = field(default_factory=dict)
    partition_offset: int = 0
    active: bool = False
    mbr_kind: int = 0xCD
    gpt_kind: uuid.UUID = BASIC_DATA
    align: int = BLOCK
    disk_guid: uuid.UUID | None = None
    disk_id: int | None = None

    def __post_init__(self) -> None:
        if self.partition_offset not in (0, 16):
            raise ValueError(f"partition offset {self.partition_offset} is neither 0 nor 16 blocks")
        if len(self.loader) > 512:
            raise ValueError(f"code for the master boot record of {len(self.loader)} bytes, at most 512")
        if not BLOCK <= self.align <= 64 << 20 or self.align & (self.align - 1):
            raise ValueError(f"align {self.align} is not a power of two from 2048 to 64 MiB")
        if self.loader_kind != "none" and not any(isinstance(one.source, bytes) for one in self.images):
            raise ValueError(f"the code of {self.loader_kind} needs a boot image that is a file")
        if self.appended and self.table == "none":
            raise ValueError("an appended partition needs a partition table")
        for number in self.appended:
            if not 1 <= number <= (4 if self.table != "gpt" else 128):
                raise ValueError(f"partition number {number} is not possible")
        if len(self.images) > 31:
            raise ValueError("a boot catalog of one block has room for 31 entries")
        for one in self.images:
            if isinstance(one.source, int) and one.source not in self.appended:
                raise ValueError(f"boot image in partition {one.source}, which is not appended")
            if isinstance(one.source, int) and (one.info_table or one.grub2_info):
                raise ValueError("only a file can be told where it is: not an appended partition")


def sectors_of(image: BootImage, size: int) -> int:
    """Return the sectors that the entry of an image of so many bytes says."""
    if image.sectors is not None:
        return image.sectors
    if image.platform != UEFI:
        return 4
    sectors = -(-size // 512)
    return sectors if sectors <= 0xFFFF else 0


def in_order(images: Sequence[BootImage]) -> list[BootImage]:
    """Return the images as the catalog has them: those for a BIOS first, those of one platform together."""
    platforms = sorted({one.platform for one in images}, key=lambda one: (one != BIOS, one))
    return [one for platform in platforms for one in images if one.platform == platform]


def boot_catalog(images: Sequence[tuple[BootImage, int, int]]) -> bytes:
    """Return the catalog's block for images as `in_order` gives them, with the block and the sectors of each."""
    first = images[0][0]
    head = Validation(1, first.platform, 0, b"", 0, 0xAA55)
    head.checksum = -sum(struct.unpack("<16H", head.pack())) & 0xFFFF
    out = [head.pack(), _entry(*images[0])]
    rest = list(images[1:])
    while rest:
        platform = rest[0][0].platform
        section = [one for one in rest if one[0].platform == platform]
        rest = [one for one in rest if one[0].platform != platform]
        out.append(SectionHeader(0x90 if rest else 0x91, platform, len(section), section[0][0].name[:28]).pack())
        out += [_entry(*one) for one in section]
    return b"".join(out).ljust(BLOCK, b"\0")


def _entry(image: BootImage, block: int, sectors: int) -> bytes:
    return BootEntry(0x88, _MEDIA[image.emulation], image.segment, 0, 0, sectors, block, 0, b"").pack()


def grub2_info(data: bytes, block: int) -> bytes:
    """Return a boot image of GRUB 2 that knows where it is. Raises ValueError for one that is too short."""
    if len(data) < _GRUB2_AT + 8:
        raise ValueError(f"a boot image of {len(data)} bytes has no place for what GRUB 2 wants to know")
    return data[:_GRUB2_AT] + struct.pack("<Q", block * 4 + 5) + data[_GRUB2_AT + 8 :]


def info_table(data: bytes, block: int) -> bytes:
    """Return a boot image with the boot info table. Raises ValueError for one that is too short."""
    if len(data) < _INFO_END:
        raise ValueError(f"a boot image of {len(data)} bytes has no place for a boot info table")
    rest = data[_INFO_END:]
    words = struct.unpack(f"<{-(-len(rest) // 4)}I", rest + bytes(-len(rest) % 4))
    table = struct.pack("<IIII", 16, block, len(data), sum(words) & 0xFFFFFFFF)
    return data[:8] + table + bytes(40) + rest
