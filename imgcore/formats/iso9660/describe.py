"""What `info` says of an image: descriptors, boot entries, partitions, digest; and what its metadata bytes are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from imgcore.disk.gpt import read_gpt
from imgcore.disk.mbr import read_mbr
from imgcore.errors import Corrupt
from imgcore.formats.base import LayoutItem
from imgcore.formats.iso9660.catalog import MEDIA, PLATFORMS, Catalog, read_catalog
from imgcore.formats.iso9660.digest import stored_digest
from imgcore.formats.iso9660.layout import BLOCK, BootRecord, VolumeDescriptor, low32
from imgcore.wire import Record

if TYPE_CHECKING:
    from imgcore.formats.iso9660.reader import IsoImage

__all__ = ["catalog_of", "describe_image", "describe_layout", "text_of", "uuid_of"]


def text_of(field: bytes, *, joliet: bool = False) -> str:
    """Return a text of a descriptor without what fills it up."""
    text = field.decode("utf-16-be", "replace") if joliet else field.decode("utf-8", "replace")
    return text.rstrip("\0 ")


def uuid_of(record: VolumeDescriptor) -> str:
    """Return the UUID that GRUB and blkid make of the date of change (or of creation), "" where neither is set."""
    for date in (record.modified, record.created):
        digits = date[:16].decode("latin-1")
        if digits.isdigit() and digits.strip("0"):
            parts = digits[:4], digits[4:6], digits[6:8], digits[8:10], digits[10:12], digits[12:14], digits[14:16]
            return "-".join(parts)
    return ""


def catalog_of(image: IsoImage) -> Catalog | None:
    """Return the boot catalog, None where there is none. Raises Corrupt."""
    for one in image.descriptors:
        if isinstance(one.record, BootRecord):
            found = read_catalog(image.blob, one.record)
            if found is not None:
                return found
    return None


def describe_image(image: IsoImage) -> dict[str, object]:
    """Return the image's parameters as plain values."""
    primary = image.primary
    texts = {
        name: text_of(getattr(primary, name))
        for name in ("volume_id", "system_id", "set_id", "publisher", "preparer", "application")
    }
    out: dict[str, Any] = {
        **{name: text for name, text in texts.items() if text},
        "uuid": uuid_of(primary),
        "blocks": low32(primary.space_size),
        "bytes": low32(primary.space_size) * BLOCK,
        **({"session": image.session} if image.session else {}),
        "tree": image.world + (f" ({image.rock_version})" if image.rock_version else ""),
        "descriptors": [_descriptor_name(one) for one in image.descriptors],
    }
    if image.joliet is not None:
        out["joliet_volume_id"] = text_of(image.joliet.volume_id, joliet=True)
    catalog = catalog_of(image)
    if catalog is not None:
        out["boot"] = [
            {
                "platform": PLATFORMS.get(one.platform, f"0x{one.platform:02x}"),
                "bootable": one.bootable,
                "media": MEDIA.get(one.media, str(one.media)),
                "sectors": one.sectors,
                "block": one.block,
                **({"name": text_of(one.name)} if one.name else {}),
            }
            for one in catalog.entries
        ]
        out["boot_catalog"] = catalog.block
        if catalog.problems:
            out["boot_problems"] = list(catalog.problems)
    out.update(_tables(image))
    digest = stored_digest(primary.application_use)
    if digest is not None:
        out["digest"] = {"kind": digest.kind, "value": digest.value}
    return out


def _descriptor_name(one: Any) -> str:
    if one.kind == 0:
        return "boot record"
    if one.kind == 1:
        return "primary"
    return "Joliet" if one.is_joliet else "ISO 9660:1999" if one.is_enhanced else f"type {one.kind}"


def _tables(image: IsoImage) -> dict[str, Any]:
    """Return what a disk's firmware sees."""
    out: dict[str, Any] = {}
    mbr = read_mbr(image.blob)
    if mbr:
        out["mbr"] = [
            {
                "number": number,
                "type": f"0x{one.kind:02x}",
                "active": one.status == 0x80,
                "start": one.start,
                "sectors": one.sectors,
            }
            for number, one in mbr.items()
        ]
    try:
        gpt = read_gpt(image.blob)
    except Corrupt as error:
        out["gpt_problems"] = [error.message]
        return out
    if gpt is not None:
        out["gpt"] = {
            "guid": str(gpt.disk_guid),
            "partitions": [
                {
                    "number": one.number,
                    "name": one.name,
                    "type": str(one.kind),
                    "guid": str(one.guid),
                    "start": one.first,
                    "sectors": one.last - one.first + 1,
                }
                for one in gpt.partitions
            ],
        }
        if gpt.problems:
            out["gpt_problems"] = list(gpt.problems)
    return out


def describe_layout(image: IsoImage) -> Iterator[LayoutItem]:
    """Yield what the bytes of descriptors are, field by field, and what else is known by its place."""
    if image.blob.read_at(510, 2) == b"\x55\xaa":
        yield LayoutItem(0, 512, "master boot record", "")
    if image.blob.read_at(512, 8) == b"EFI PART":
        yield LayoutItem(512, 512, "GPT header", "")
    for one in image.descriptors:
        at = one.block * BLOCK
        yield LayoutItem(at, BLOCK, f"volume descriptor: {_descriptor_name(one)}", "")
        if isinstance(one.record, Record):
            for place in one.record.LAYOUT:
                value = getattr(one.record, place.name)
                shown = text_of(value) if isinstance(value, bytes) and place.width in (32, 37, 128) else value
                if isinstance(shown, bytes):
                    shown = shown.hex() if len(shown) <= 34 else f"{len(shown)} bytes"
                elif isinstance(shown, int) and place.width == 8:
                    shown = low32(shown)
                yield LayoutItem(at + place.offset, place.width, f"{type(one.record).__name__}.{place.name}", str(shown))
    catalog = catalog_of(image)
    if catalog is not None:
        yield LayoutItem(catalog.block * BLOCK, BLOCK, "boot catalog", f"{len(catalog.entries)} entries")
        for entry in catalog.entries:
            name = PLATFORMS.get(entry.platform, f"0x{entry.platform:02x}")
            yield LayoutItem(entry.at, 32, f"boot entry: {name}", f"block {entry.block}, {entry.sectors} sectors")
    for descriptor in image.descriptors:
        record = descriptor.record
        if isinstance(record, VolumeDescriptor):
            size = low32(record.path_table_size)
            name = _descriptor_name(descriptor)
            yield LayoutItem(record.path_table_l * BLOCK, size, f"path table, little-endian: {name}", "")
            big = int.from_bytes(record.path_table_m, "big")
            yield LayoutItem(big * BLOCK, size, f"path table, big-endian: {name}", "")
