"""Changes of partition tables in place: partitions that move or grow, a disk that becomes longer; all else stays as it is.

GUIDs, names, attributes, the number of entries and unknown bytes of headers are kept; checksums are made again, and the copy
of the GPT is put at the new end.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from imgcore.blob import Blob
from imgcore.disk.gpt import read_gpt
from imgcore.disk.layout import PROTECTIVE, GptEntry, GptHeader, Mbr, MbrEntry
from imgcore.errors import Corrupt

__all__ = ["Move", "gpt_tail_sectors", "moved_gpt", "moved_mbr"]

Move = Callable[[int, int], tuple[int, int]]
"""(first sector, sector behind the last) as they are, to what they become."""


def gpt_tail_sectors(blob: Blob) -> int:
    """Return the sectors that the copy of the GPT takes at the end, 0 without a GPT. Raises Corrupt."""
    gpt = read_gpt(blob)
    if gpt is None:
        return 0
    head = GptHeader.unpack_from(blob.read_at(512, 512), base=512)
    return -(-head.count * head.entry_size // 512) + 1


def moved_mbr(blob: Blob, sectors: int, old_sectors: int, move: Move) -> Iterator[tuple[int, bytes]]:
    """Yield the partition entries of the MBR that change; `sectors` is the new length of the disk."""
    data = blob.read_at(0, Mbr.SIZE)
    if len(data) < Mbr.SIZE or data[510:512] != b"\x55\xaa":
        return
    for number in range(4):
        at = 446 + 16 * number
        entry = MbrEntry.unpack_from(data, at)
        if not entry.sectors or (not entry.kind and entry.sectors <= 1):
            continue
        first, end = entry.start, entry.start + entry.sectors
        if entry.kind == PROTECTIVE:
            first, end = entry.start, min(sectors, 0xFFFFFFFF)
        elif entry.start == 0 and end >= old_sectors - 1:
            end = sectors  # a partition over everything, as isohybrid images have it
        else:
            first, end = move(first, end)
        if not 0 <= first < end <= 0xFFFFFFFF:
            raise Corrupt("an MBR partition that cannot be moved", offset=at, structure="MbrEntry", found=f"{first} to {end}")
        if (first, end) != (entry.start, entry.start + entry.sectors):
            yield at + 8, struct.pack("<II", first, end - first)


def moved_gpt(blob: Blob, sectors: int, move: Move) -> Iterator[tuple[int, bytes]]:
    """Yield the GPT's header and entries as they become, and its copy at the end of a disk of `sectors`."""
    raw = blob.read_at(512, 512)
    head = GptHeader.unpack_from(raw, base=512)
    length = head.count * head.entry_size
    array = bytearray(blob.read_at(head.entries * 512, length))
    for at in range(0, length, head.entry_size):
        entry = GptEntry.unpack_from(memoryview(array), at)
        if entry.kind == bytes(16):
            continue
        first, end = move(entry.first, entry.last + 1)
        if not first < end < 1 << 63:
            where = head.entries * 512 + at
            raise Corrupt("a GPT partition that cannot be moved", offset=where, structure="GptEntry", found=f"{first} to {end}")
        struct.pack_into("<QQ", array, at + 32, first, end - 1)
    size = -(-length // 512)
    crc = zlib.crc32(array)
    padded = bytes(array).ljust(size * 512, b"\0")

    def header(own: int, other: int, entries: int) -> bytes:
        made = GptHeader.unpack_from(raw)
        made.own, made.other, made.entries = own, other, entries
        made.last_usable, made.entries_crc, made.crc = sectors - 2 - size, crc, 0
        body = made.pack() + raw[GptHeader.SIZE : head.size]
        made.crc = zlib.crc32(body)
        return made.pack() + raw[GptHeader.SIZE :]

    yield head.entries * 512, bytes(array)
    yield 512, header(1, sectors - 1, head.entries)
    yield (sectors - 1 - size) * 512, padded
    yield (sectors - 1) * 512, header(sectors - 1, 1, sectors - 1 - size)
