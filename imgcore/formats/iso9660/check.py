"""`check`: everything that is wrong with an ISO 9660 image, by ECMA-119, Rock Ridge, El Torito and what readers insist on.

An error is what Linux or a boot loader refuses or misreads; a warning is what only strict readers mind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from imgcore.blob import Blob
from imgcore.disk.gpt import read_gpt
from imgcore.errors import Corrupt, FormatError, LimitExceeded, NotThisFormat
from imgcore.events import Control
from imgcore.formats.base import Finding
from imgcore.formats.iso9660.check_tree import TreeCheck
from imgcore.formats.iso9660.dates import LONG_UNSET, parse_long
from imgcore.formats.iso9660.describe import catalog_of
from imgcore.formats.iso9660.digest import stored_digest, verify
from imgcore.formats.iso9660.layout import BLOCK, FIRST_DESCRIPTOR, MAGIC, BootRecord, VolumeDescriptor, low16, low32
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.sessions import Descriptor
from imgcore.limits import Limits

__all__ = ["check_blob"]

_BOTH16: Final = ("set_size", "sequence", "block_size")
_BOTH32: Final = ("space_size", "path_table_size")
_DATES: Final = ("created", "modified", "expires", "effective")
_BOOT_BLOCK: Final = 17


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no ISO at all, LimitExceeded, SourceError, Cancelled."""
    try:
        image = IsoImage(blob, limits)
    except NotThisFormat:
        raise
    except FormatError as error:
        yield _of_error(error, fatal=True)
        return
    yield from _descriptors(image)
    yield from _boot(image)
    yield from _tables(image)
    spans: list[tuple[int, int, bytes]] = []
    for descriptor in image.descriptors:
        if isinstance(descriptor.record, VolumeDescriptor) and not (
            descriptor.kind == 2 and not (descriptor.is_joliet or descriptor.is_enhanced)
        ):
            world = TreeCheck(image, descriptor, control)
            yield from world.findings()
            spans = spans or world.spans
    yield from _overlaps(spans)
    yield from _digest(image, control)


def _of_error(error: FormatError | LimitExceeded, *, fatal: bool = False) -> Finding:
    path = error.path.encode() if isinstance(error.path, str) else error.path
    return Finding(
        "corrupt" if isinstance(error, Corrupt) else "unsupported",
        "error",
        error.message,
        fatal=fatal,
        path=path,
        offset=error.offset,
        structure=error.structure,
        field=error.field,
        found=None if error.found is None else str(error.found),
        allowed=None if error.allowed is None else str(error.allowed),
    )


def _descriptors(image: IsoImage) -> Iterator[Finding]:
    blob = image.blob
    last = image.descriptors[-1].block + 1
    if blob.read_at(last * BLOCK, 6) != b"\xff" + MAGIC:
        yield Finding("terminator", "warning", "the volume descriptors have no end", offset=last * BLOCK)
    size = (image.session + low32(image.primary.space_size)) * BLOCK
    if size > blob.size:
        message = "the image is cut: its descriptor says more bytes than there are"
        yield Finding(
            "cut", "error", message, fatal=True, offset=FIRST_DESCRIPTOR * BLOCK + 80, structure="VolumeDescriptor",
            field="space_size", found=f"{blob.size} bytes", allowed=f"{size} bytes",
        )  # fmt: skip
    for descriptor in image.descriptors:
        if isinstance(descriptor.record, VolumeDescriptor):
            yield from _halves(descriptor, descriptor.record)


def _halves(descriptor: Descriptor, record: VolumeDescriptor) -> Iterator[Finding]:
    for place in record.LAYOUT:
        value, at = getattr(record, place.name), descriptor.block * BLOCK + place.offset
        if place.name in _BOTH16:
            first, second = low16(value), int.from_bytes((value >> 16).to_bytes(2, "little"), "big")
        elif place.name in _BOTH32:
            first, second = low32(value), int.from_bytes((value >> 32).to_bytes(4, "little"), "big")
        elif place.name in _DATES:
            if value != LONG_UNSET and value[:16].strip(b"\0") and parse_long(value) is None and value[:16] != b"0" * 16:
                message = f"{place.name} is no date"
                yield Finding("date", "warning", message, offset=at, structure="VolumeDescriptor", field=place.name)
            continue
        else:
            continue
        if first != second:
            yield Finding(
                "halves", "warning", f"the two byte orders of {place.name} disagree", offset=at,
                structure="VolumeDescriptor", field=place.name, found=str(second), allowed=str(first),
            )  # fmt: skip


def _boot(image: IsoImage) -> Iterator[Finding]:
    records = [one for one in image.descriptors if isinstance(one.record, BootRecord)]
    if not records:
        return
    try:
        catalog = catalog_of(image)
    except Corrupt as error:
        yield _of_error(error)
        return
    if catalog is None:
        return
    if records[0].block != _BOOT_BLOCK + image.session:
        message = "the boot record is not in block 17, where a BIOS looks for it"
        yield Finding("boot-record", "error", message, offset=records[0].block * BLOCK)
    for text in catalog.problems:
        yield Finding("boot-catalog", "error", text, offset=catalog.block * BLOCK)
    for entry in catalog.entries:
        if entry.bootable and not entry.block:
            yield Finding("boot-entry", "error", "a boot entry without a place", offset=entry.at)
    for entry in catalog.entries:
        at = entry.block * BLOCK
        head = image.blob.read_at(at, 64)
        if len(head) == 64 and struct.unpack_from("<II", head, 8) == (FIRST_DESCRIPTOR, entry.block):
            (length, wanted) = struct.unpack_from("<II", head, 16)
            if 64 <= length <= 64 << 20:
                rest = image.blob.read_at(at + 64, length - 64)
                rest += bytes(-len(rest) % 4)
                if sum(struct.unpack(f"<{len(rest) // 4}I", rest)) & 0xFFFFFFFF != wanted:
                    message = "the boot info table has another checksum than the boot image"
                    yield Finding("boot-info", "error", message, offset=at + 20)


def _tables(image: IsoImage) -> Iterator[Finding]:
    try:
        gpt = read_gpt(image.blob)
    except Corrupt as error:
        yield Finding("gpt", "warning", error.message, offset=error.offset)
        return
    for text in gpt.problems if gpt is not None else ():
        yield Finding("gpt", "warning", f"GPT: {text}", offset=512)


def _overlaps(spans: list[tuple[int, int, bytes]]) -> Iterator[Finding]:
    """Yield files that lie over one another without being the same, or over directories."""
    end, owner, begin = 0, b"", 0
    for first, behind, path in sorted(spans):
        if first < end and not (first == begin and behind == end):
            message = f"its bytes are those of {owner.decode('utf-8', 'replace')} too, in part"
            yield Finding("overlap", "warning", message, path=path, offset=first * BLOCK)
        if behind > end:
            begin, end, owner = first, behind, path


def _digest(image: IsoImage, control: Control) -> Iterator[Finding]:
    stored = stored_digest(image.primary.application_use)
    if stored is None:
        return
    control.check()
    if not verify(image.blob, stored, low32(image.primary.space_size)):
        yield Finding(
            "digest", "error", f"the image does not have the digest that its {stored.kind} field says",
            offset=FIRST_DESCRIPTOR * BLOCK + 883, structure="VolumeDescriptor", field="application_use", allowed=stored.value,
        )  # fmt: skip
