"""Partition tables: what is written is read, whatever it says."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.disk import GptPartition, gpt_bytes, mbr_bytes, read_gpt
from imgcore.disk.mbr import protective

NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=36).filter(
    lambda text: len(text.encode("utf-16-le")) <= 72
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, int, int, list[GptPartition]]:
    """Return (sector size, entries, sectors, partitions that fit)."""
    sector, count = draw(st.sampled_from((512, 1024, 2048, 4096))), draw(st.sampled_from((4, 128, 130, 512)))
    at = 2 + -(-count * 128 // sector)
    parts = []
    for number in sorted(draw(st.sets(st.integers(1, count), max_size=6))):
        first = at + draw(st.integers(0, 40))
        at = first + draw(st.integers(1, 40))
        guids = (draw(st.uuids()), draw(st.uuids()))
        if guids[0].int == 0:
            continue  # stands for no partition
        parts.append(GptPartition(number, *guids, first, at - 1, draw(NAMES), draw(st.integers(0, (1 << 64) - 1))))
    sectors = at + 1 + -(-count * 128 // sector) + draw(st.integers(0, 20))
    return sector, count, sectors, parts


@given(tables(), st.uuids(), st.booleans())
def test_what_is_written_is_read(table: tuple[int, int, int, list[GptPartition]], guid: uuid.UUID, damaged: bool) -> None:
    sector, count, sectors, parts = table
    first = 2 + -(-count * 128 // sector)
    made = gpt_bytes(parts, sectors=sectors, disk_guid=guid, first_usable=first, count=count, sector=sector)
    data = bytearray(sectors * sector)
    data[:512] = mbr_bytes({1: protective(sectors)})
    head, tail = made.header + made.array, made.backup_array + made.backup_header
    data[sector : sector + len(head)] = head
    data[len(data) - len(tail) :] = tail
    if damaged:
        data[sector + 20] ^= 1
    found = read_gpt(BytesBlob(bytes(data)), sector=sector)
    assert found is not None
    assert (found.partitions, found.disk_guid, found.count, found.is_backup) == (tuple(parts), guid, count, damaged)
    assert bool(found.problems) == damaged
