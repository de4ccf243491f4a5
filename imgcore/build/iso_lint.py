"""Where an image boots, and why not elsewhere: the rules of the firmwares, applied to its bytes.

Four targets: a BIOS (SeaBIOS's rules) and UEFI (EDK2's), each from a CD and from a USB disk. A target boots, or it does not,
with the reasons; what only some machines mind is a warning. Nothing is run: `imgcore.testing.qemu` does that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from imgcore.blob import Blob, SliceBlob
from imgcore.disk.gpt import Gpt, read_gpt
from imgcore.disk.layout import PROTECTIVE, Mbr
from imgcore.disk.mbr import MbrPartition, read_mbr
from imgcore.disk.partitions import ESP
from imgcore.errors import Corrupt, FormatError, PathError, show
from imgcore.formats.fat.layout import MAX_16
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.iso9660.catalog import BAD_CHECKSUM, Catalog, CatalogEntry
from imgcore.formats.iso9660.describe import catalog_of
from imgcore.formats.iso9660.layout import BLOCK, BootRecord, low32
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Dir, File, Node, type_name
from imgcore.values import value_class

_MACHINES: Final = frozenset(
    [b"ia32", b"x64", b"arm", b"aa64", b"ia64", b"riscv32", b"riscv64", b"riscv128", b"loongarch32", b"loongarch64", b"ebc"]
)
"""What the default loaders are called after (UEFI 2.10, 3.5.1.1)."""
__all__ = ["TARGETS", "Target", "TargetName", "lint_iso"]

TargetName: TypeAlias = Literal["bios-cd", "bios-usb", "uefi-cd", "uefi-usb"]
TARGETS: Final[tuple[TargetName, ...]] = ("bios-cd", "bios-usb", "uefi-cd", "uefi-usb")
_BOOT_BLOCK: Final = 17
_BIOS, _UEFI = 0, 0xEF
_ISOLINUX: Final = bytes.fromhex("fbc07870")
_CODE_AT: Final = 432


@value_class
class Target:
    """One way to boot: whether it works, why or why not, and what some machines mind."""

    name: TargetName
    boots: bool
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def lint_iso(blob: Blob, *, limits: Limits | None = None) -> list[Target]:
    """Return what becomes of each target. Raises NotThisFormat, Corrupt for an image that is no ISO at all."""
    facts = _Facts(blob, limits or Limits.default())
    return [_bios_cd(facts), _bios_usb(facts), _uefi_cd(facts), _uefi_usb(facts)]


class _Facts:
    """What the rules look at."""

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self.blob, self.limits = blob, limits
        self.image = IsoImage(blob, limits)
        self.catalog: Catalog | None = None
        self.catalog_trouble = ""
        try:
            self.catalog = catalog_of(self.image)
        except Corrupt as error:
            self.catalog_trouble = error.message
        self.boot_block = next((one.block for one in self.image.descriptors if isinstance(one.record, BootRecord)), None)
        self.mbr = read_mbr(blob)
        self.gpt: Gpt | None = None
        self.gpt_trouble = ""
        try:
            self.gpt = read_gpt(blob)
        except Corrupt as error:
            self.gpt_trouble = error.message

    @property
    def blocks(self) -> int:
        """Blocks that the primary descriptor says."""
        return low32(self.image.primary.space_size)

    def bootable(self, platform: int | None) -> list[CatalogEntry]:
        """Return the bootable entries, of one platform."""
        entries = self.catalog.entries if self.catalog is not None else ()
        return [one for one in entries if one.bootable and (platform is None or one.platform == platform)]


def _catalog_reasons(facts: _Facts) -> Iterator[str]:
    if facts.boot_block is None:
        yield "there is no El Torito boot record"
    elif facts.boot_block != _BOOT_BLOCK:
        yield f"the boot record is in block {facts.boot_block}, a BIOS looks into block {_BOOT_BLOCK} only"
    if facts.catalog_trouble:
        yield facts.catalog_trouble
    elif facts.boot_block is not None and facts.catalog is None:
        yield "the boot record is not El Torito's"


def _bios_cd(facts: _Facts) -> Target:
    wrong = list(_catalog_reasons(facts))
    problems = facts.catalog.problems if facts.catalog is not None else ()
    warnings = [text for text in problems if text == BAD_CHECKSUM]  # which SeaBIOS does not look at
    wrong += [text for text in problems if text != BAD_CHECKSUM]
    entry = facts.catalog.entries[0] if facts.catalog is not None and facts.catalog.entries else None
    if facts.catalog is not None and facts.catalog.platform != _BIOS:
        wrong.append("the catalog's first entry is not for a BIOS, which looks at no other one (SeaBIOS: code 0009)")
    elif entry is not None and not entry.bootable:
        wrong.append("the catalog's first entry is marked as not bootable")
    elif entry is not None:
        wrong += _loader_reasons(facts, entry)
        if entry.sectors == 0:
            warnings.append("the entry says 0 sectors: some BIOSes load nothing")
    elif facts.catalog is not None:
        wrong.append("the boot catalog has no entry")
    reason = "" if entry is None else f"El Torito, block {entry.block}, {entry.sectors} sectors"
    return Target("bios-cd", not wrong, tuple(wrong) or (reason,), tuple(warnings))


def _loader_reasons(facts: _Facts, entry: CatalogEntry) -> Iterator[str]:
    """Yield what is wrong with a boot loader that has to know its place."""
    head = facts.blob.read_at(entry.block * BLOCK, 512)
    if not head.strip(b"\0"):
        yield "the boot image is empty"
        return
    table = struct.unpack_from("<IIII", head, 8) if len(head) >= 64 else (0, 0, 0, 0)
    is_isolinux = head[0x40:0x44] == _ISOLINUX
    if is_isolinux and table[1] != entry.block:
        yield f"isolinux is told that it is in block {table[1]}, it is in {entry.block} (its boot info table is missing or old)"
    elif table[0] == 16 and 64 <= table[2] <= 64 << 20 and table[1] not in (0, entry.block):
        yield f"the boot info table says block {table[1]}, the image is in {entry.block}"


def _bios_usb(facts: _Facts) -> Target:
    head = facts.blob.read_at(0, Mbr.SIZE)
    if head[510:512] != b"\x55\xaa":
        return Target("bios-usb", False, ("the first sector has no boot signature",))
    if not head[:_CODE_AT].strip(b"\0"):
        return Target("bios-usb", False, ("the first sector has no code of a boot loader",))
    wrong: list[str] = []
    warnings: list[str] = []
    (place,) = struct.unpack_from("<Q", head, _CODE_AT)
    images = {one.block: one for one in facts.bootable(_BIOS)}
    reason = "code in the first sector, whose boot loader is not known"
    if place % 4 == 0 and place // 4 in images:
        reason = f"isolinux's code, which starts block {place // 4}"
        wrong += _loader_reasons(facts, images[place // 4])
    elif place >= 4 and (place - 4) % 4 == 0 and (place - 4) // 4 in images:
        reason = f"GRUB's code, which starts block {(place - 4) // 4}"
        (grub,) = struct.unpack("<Q", facts.blob.read_at((place - 4) * 512 + 2548, 8).ljust(8, b"\0"))
        if grub != place + 1:
            wrong.append("GRUB's image is not told where it goes on (the place at byte 2548 is wrong)")
    elif head[:2] in (b"\x33\xed", b"\x45\x52"):
        wrong.append(f"isolinux's code starts sector {place}, where no boot image is")
    if not any(one.status == 0x80 for one in (facts.mbr or {}).values()):
        warnings.append("no MBR partition is active: some old BIOSes want one (`--active`)")
    return Target("bios-usb", not wrong, tuple(wrong) or (reason,), tuple(warnings))


def _esp_reasons(facts: _Facts, at: int, size: int, what: str) -> Iterator[str]:
    """Yield why UEFI finds nothing in what is to be an EFI system partition."""
    if at >= facts.blob.size or size <= 0:
        yield f"{what} is not within the image"
        return
    part = SliceBlob(facts.blob, at, min(size, facts.blob.size - at))
    try:
        with FatImage(part, facts.limits) as image:
            needed = image.geometry.sectors * image.geometry.sector
            if needed > part.size:
                yield f"{what} is cut: its FAT has {needed} bytes, the entry gives {part.size}"
                return
            if image.geometry.kind == 32 and image.geometry.clusters <= MAX_16:
                yield f"{what} is a FAT32 of too few clusters, which UEFI does not open"
                return
            folder = _lookup(image.tree.root, (b"efi", b"boot"))
            found = (
                {}
                if not isinstance(folder, Dir)
                else {name: _loader_trouble(name, node) for name, node in folder.children.items()}
            )
            if all(trouble is not None for trouble in found.values()):
                named = [f"{show(name)} {trouble}" for name, trouble in found.items() if trouble]
                why = f": {'; '.join(named)}" if named else ""
                yield f"{what} has no loader that UEFI takes by itself (/EFI/BOOT/BOOTX64.EFI and the like){why}"
    except (FormatError, PathError) as error:
        yield f"{what} is no FAT file system: {error.message}"


def _loader_trouble(name: bytes, node: Node) -> str | None:
    """Return None for what UEFI starts, why it does not where the name is right, and nothing for other names."""
    lower = name.lower()
    if not (lower.startswith(b"boot") and lower.endswith(b".efi") and lower[4:-4] in _MACHINES):
        return ""
    if not isinstance(node, File):
        return f"is a {type_name(node)}"
    return None if node.content.read_at(0, 2) == b"MZ" else "is no program of UEFI"


def _lookup(root: Dir, names: tuple[bytes, ...]) -> Node | None:
    here: Node | None = root
    for name in names:
        if not isinstance(here, Dir):
            return None
        here = next((here.children[one] for one in here.children if one.lower() == name), None)
    return here


def _el_torito_uefi(facts: _Facts, sector: int) -> tuple[list[str], list[str]]:
    """Return (why UEFI boots by the catalog, why not), from a medium with sectors of so many bytes."""
    wrong = [*_catalog_reasons(facts), *(facts.catalog.problems if facts.catalog is not None else ())]
    good: list[str] = []
    if wrong or facts.catalog is None:
        return good, wrong or ["there is no boot catalog"]
    entries = facts.bootable(_UEFI) or facts.bootable(None)
    if not facts.bootable(_UEFI):
        wrong.append("the boot catalog has no entry for UEFI")
    for entry in entries:
        at = entry.block * BLOCK
        # EDK2 counts in the medium's sectors where the count says more than one, else it takes all up to the volume's end.
        size = entry.sectors * sector if entry.sectors > 1 else facts.blocks * BLOCK - at
        why = list(_esp_reasons(facts, at, size, f"the boot image at block {entry.block}"))
        if not why:
            good.append(f"El Torito, block {entry.block}, {entry.sectors or 'all'} sectors")
        elif entry.platform == _UEFI:
            wrong += why
    return good, wrong


def _uefi_cd(facts: _Facts) -> Target:
    good, wrong = _el_torito_uefi(facts, BLOCK)
    exact, why = _el_torito_uefi(facts, 512)
    warnings = (
        [] if exact or not good else [f"{text}: firmware that counts in sectors of 512 bytes does not boot it" for text in why]
    )
    return Target("uefi-cd", bool(good), tuple(good) or tuple(wrong), tuple(warnings))


def _uefi_usb(facts: _Facts) -> Target:
    """Try what EDK2 tries, in its order: GPT, El Torito, MBR."""
    wrong: list[str] = []
    warnings: list[str] = []
    good: list[str] = []
    protective = [one for one in (facts.mbr or {}).values() if one.kind == PROTECTIVE]
    gpt = facts.gpt
    if facts.gpt_trouble:
        wrong.append(f"the GPT is damaged: {facts.gpt_trouble}")
    elif gpt is not None and not any(one.start == 1 for one in protective):
        wrong.append("there is a GPT, but no protective MBR partition that begins in sector 1: UEFI does not look at it")
    elif gpt is not None:
        warnings += [f"GPT: {text}" for text in gpt.problems]
        parts = [one for one in gpt.partitions if one.kind == ESP]
        for one in parts:
            if any(other is not one and other.first <= one.last and one.first <= other.last for other in gpt.partitions):
                wrong.append(f"GPT partition {one.number} overlaps another one: UEFI takes neither")
                continue
            why = list(_esp_reasons(facts, one.first * 512, (one.last - one.first + 1) * 512, f"GPT partition {one.number}"))
            wrong += why
            if not why:
                good.append(f"GPT partition {one.number}, an EFI system partition")
        if not parts:
            wrong.append("the GPT has no EFI system partition")
            for one in gpt.partitions:
                if not list(_esp_reasons(facts, one.first * 512, (one.last - one.first + 1) * 512, "")):
                    good.append(f"GPT partition {one.number}, a FAT with a loader")
                    warnings.append(f"GPT partition {one.number} is no EFI system partition by its type: some firmware minds")
    # EDK2 takes the first scheme that fits: behind a GPT it looks at neither the catalog nor the MBR.
    by_gpt = gpt is not None and any(one.start == 1 for one in protective)
    if not good and not by_gpt:
        by_catalog, _ = _el_torito_uefi(facts, 512)
        good += by_catalog
        if by_catalog:
            warnings.append("firmware that wants a GPT with an EFI system partition (servers, hypervisors) finds none")
    if not good and not by_gpt:
        found, why = _mbr_uefi(facts)
        good += found
        wrong += why
    return Target(
        "uefi-usb", bool(good), tuple(good) or tuple(wrong) or ("no partition table, no boot catalog",), tuple(warnings)
    )


def _mbr_uefi(facts: _Facts) -> tuple[list[str], list[str]]:
    used = [one for one in (facts.mbr or {}).values() if one.kind and one.kind != PROTECTIVE and one.sectors]
    for number, one in enumerate(used):
        if any(_overlap(one, other) for other in used[number + 1 :]):
            return [], ["partitions of the MBR overlap: UEFI takes none of them"]
    good, wrong = [], []
    for one in used:
        if one.kind == 0xEF:
            why = list(_esp_reasons(facts, one.start * 512, one.sectors * 512, "the MBR's EFI system partition"))
            wrong += why
            if not why:
                good.append("an EFI system partition of the MBR")
    return good, wrong or (["the MBR has no EFI system partition"] if not good else [])


def _overlap(one: MbrPartition, two: MbrPartition) -> bool:
    return one.start < two.start + two.sectors and two.start < one.start + one.sectors
