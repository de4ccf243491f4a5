"""The GUID partition table: a header and an array of entries behind the MBR, and both again at the disk's end.

Reading takes the first copy, or the second one where the first is damaged, and says what is wrong with either; a table of
which neither copy is right is Corrupt. Writing returns bytes for a caller to place.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Sequence
from typing import Final

from imgcore.blob import Blob
from imgcore.disk.layout import GPT_MAGIC, GptEntry, GptHeader
from imgcore.errors import Corrupt
from imgcore.values import value_class

__all__ = ["ARRAY_BYTES", "Gpt", "GptPartition", "Halves", "gpt_bytes", "read_gpt", "unchecked_gpt_bytes"]

ARRAY_BYTES: Final = 16384
"""The least room that UEFI wants for entries: 128 of them."""


@value_class
class GptPartition:
    """One partition: `first` and `last` are its first and last sector, `number` counts from 1."""

    number: int
    kind: uuid.UUID
    guid: uuid.UUID
    first: int
    last: int
    name: str = ""
    attributes: int = 0


@value_class
class Gpt:
    """A table as it was read. `problems` are sentences; `is_backup` says that the second copy was taken."""

    sector: int
    disk_guid: uuid.UUID
    first_usable: int
    last_usable: int
    count: int
    partitions: tuple[GptPartition, ...]
    problems: tuple[str, ...] = ()
    is_backup: bool = False
    alternate: int = 0


@value_class
class Halves:
    """The bytes of a table: header and array behind the MBR, array and header of the copy at the end."""

    header: bytes
    array: bytes
    backup_array: bytes
    backup_header: bytes


def gpt_bytes(
    partitions: Sequence[GptPartition],
    *,
    sectors: int,
    disk_guid: uuid.UUID,
    first_usable: int,
    count: int = 128,
    sector: int = 512,
    array_at: int = 2,
) -> Halves:
    """Return the bytes of a table for a disk of `sectors`, with the copy's array directly before its header.

    Raises ValueError for partitions that overlap, or lie outside of what is usable.
    """
    last_usable = sectors - 2 - -(-count * GptEntry.SIZE // sector)
    end = 0
    for one in sorted(partitions, key=lambda one: one.first):
        if not first_usable <= one.first <= one.last <= last_usable:
            raise ValueError(
                f"partition {one.number}, sectors {one.first} to {one.last}, is not within {first_usable} to {last_usable}"
            )
        if one.first < end:
            raise ValueError(f"partition {one.number} overlaps another one")
        end = one.last + 1
    return unchecked_gpt_bytes(
        partitions,
        sectors=sectors,
        disk_guid=disk_guid,
        first_usable=first_usable,
        count=count,
        sector=sector,
        array_at=array_at,
    )


def unchecked_gpt_bytes(
    partitions: Sequence[GptPartition],
    *,
    sectors: int,
    disk_guid: uuid.UUID,
    first_usable: int,
    count: int = 128,
    sector: int = 512,
    array_at: int = 2,
) -> Halves:
    """Return what `gpt_bytes` does for partitions that may overlap: isohybrid images have such."""
    size = -(-count * GptEntry.SIZE // sector)
    last_usable = sectors - 2 - size
    array = bytearray(size * sector)
    for one in partitions:
        if not 1 <= one.number <= count:
            raise ValueError(f"partition number {one.number} is not within 1 to {count}")
        name = one.name.encode("utf-16-le")[:72].ljust(72, b"\0")
        entry = GptEntry(one.kind.bytes_le, one.guid.bytes_le, one.first, one.last, one.attributes, name)
        array[128 * (one.number - 1) : 128 * one.number] = entry.pack()
    crc = zlib.crc32(memoryview(array)[: 128 * count])

    def header(own: int, other: int, entries: int) -> bytes:
        head = GptHeader(
            GPT_MAGIC, 0x10000, 92, 0, 0, own, other, first_usable, last_usable, disk_guid.bytes_le, entries, count, 128, crc
        )
        head.crc = zlib.crc32(head.pack())
        return head.pack().ljust(sector, b"\0")

    return Halves(header(1, sectors - 1, array_at), bytes(array), bytes(array), header(sectors - 1, 1, sectors - 1 - size))


def read_gpt(blob: Blob, *, sector: int = 512) -> Gpt | None:
    """Return the table of a disk with sectors of this size, None where there is none.

    Raises Corrupt when a table is there and neither copy can be right.
    """
    primary, why = _copy(blob, sector, 1)
    last = blob.size // sector - 1
    if primary is not None:
        problems = list(why)
        if primary.alternate != last:
            problems.append(f"the header says that its copy is in sector {primary.alternate}, the last sector is {last}")
        if primary.alternate * sector + sector <= blob.size:
            backup, backup_why = _copy(blob, sector, primary.alternate)
            problems += [f"copy: {text}" for text in backup_why]
            if backup is None and not backup_why:
                problems.append("the copy is not there")
            elif backup is not None and backup.partitions != primary.partitions:
                problems.append("the copy has other partitions")
            elif backup is not None and _says(backup) != _says(primary):
                problems.append("the copy says something else")
        else:
            problems.append("the copy is behind the end")
        return _with(primary, problems, is_backup=False)
    if last < 2:
        return None
    backup, backup_why = _copy(blob, sector, last)
    if backup is not None:
        return _with(backup, [*why, "the first copy is damaged: the second one was taken"], is_backup=True)
    if why:
        raise Corrupt(f"damaged GPT: {why[0]}", offset=sector, structure="GptHeader", hint="; ".join(backup_why) or None)
    return None


def _says(gpt: Gpt) -> tuple[object, ...]:
    """Return what both copies have to say of the disk."""
    return gpt.disk_guid, gpt.first_usable, gpt.last_usable, gpt.count


def _with(gpt: Gpt, problems: Sequence[str], *, is_backup: bool) -> Gpt:
    return Gpt(
        gpt.sector,
        gpt.disk_guid,
        gpt.first_usable,
        gpt.last_usable,
        gpt.count,
        gpt.partitions,
        tuple(problems),
        is_backup,
        gpt.alternate,
    )


def _copy(blob: Blob, sector: int, at: int) -> tuple[Gpt | None, list[str]]:
    """Return (the table whose header is in sector `at`, what is wrong): None without a word where there is no header."""
    raw = blob.read_at(at * sector, sector)
    if raw[:8] != GPT_MAGIC or len(raw) < GptHeader.SIZE:
        return None, []
    head = GptHeader.unpack_unchecked(raw)
    for place, value, allowed in head.violations():
        return None, [f"{place.name} is {value}, allowed {allowed}"]
    if head.size > sector:
        return None, [f"size is {head.size}, allowed at most {sector}"]
    plain = raw[:16] + bytes(4) + raw[20 : head.size]
    if zlib.crc32(plain) != head.crc:
        return None, ["the header's checksum is wrong"]
    if head.own != at:
        return None, [f"the header says that it is in sector {head.own}, it is in {at}"]
    length = head.count * head.entry_size
    if head.entries * sector + length > blob.size:
        return None, ["the entries are behind the end"]
    array = blob.read_at(head.entries * sector, length)
    if zlib.crc32(array) != head.entries_crc:
        return None, ["the checksum of the entries is wrong"]
    problems = []
    found = []
    end = 0
    for number in range(head.count):
        entry = GptEntry.unpack_from(array, number * head.entry_size)
        if entry.kind == bytes(16):
            continue
        name = entry.name.decode("utf-16-le", "replace").partition("\0")[0]
        one = GptPartition(
            number + 1,
            uuid.UUID(bytes_le=entry.kind),
            uuid.UUID(bytes_le=entry.guid),
            entry.first,
            entry.last,
            name,
            entry.attributes,
        )
        if entry.first > entry.last:
            problems.append(f"partition {number + 1} ends before it begins")
            continue
        if not head.first_usable <= entry.first <= entry.last <= head.last_usable:
            problems.append(f"partition {number + 1} is outside of what is usable")
        found.append(one)
    for one in sorted(found, key=lambda one: one.first):
        if one.first < end:
            problems.append(f"partition {one.number} overlaps another one")
        end = max(end, one.last + 1)
    guid = uuid.UUID(bytes_le=head.disk_guid)
    return Gpt(sector, guid, head.first_usable, head.last_usable, head.count, tuple(found), (), False, head.other), problems
