"""MBR and GPT: what is written is read, and what is damaged is said."""

from __future__ import annotations

import uuid

import pytest

from imgcore.blob import BytesBlob
from imgcore.disk import GptPartition, MbrPartition, find_partition, gpt_bytes, mbr_bytes, partitions, read_gpt, read_mbr
from imgcore.disk.edit import gpt_tail_sectors, moved_gpt, moved_mbr
from imgcore.disk.mbr import chs, protective
from imgcore.disk.partitions import BASIC_DATA, ESP
from imgcore.errors import Corrupt, PathError

GUID = uuid.UUID("7f9b5509-af74-428b-84ea-6e55fa3fac12")


def disk(*parts: GptPartition, sectors: int = 2048, sector: int = 512, count: int = 128) -> bytearray:
    """Return a disk with a GPT."""
    first = 2 + -(-count * 128 // sector)
    halves = gpt_bytes(parts, sectors=sectors, disk_guid=GUID, first_usable=first, sector=sector, count=count)
    data = bytearray(sectors * sector)
    data[:512] = mbr_bytes({1: protective(sectors)})
    for at, half in ((sector, halves.header), (2 * sector, halves.array)):
        data[at : at + len(half)] = half
    tail = halves.backup_array + halves.backup_header
    data[len(data) - len(tail) :] = tail
    return data


PARTS = (
    GptPartition(1, BASIC_DATA, uuid.UUID(int=1), 64, 999, "ISO9660", 1 << 60),
    GptPartition(2, ESP, uuid.UUID(int=2), 1000, 1500, "größe"),
)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("count", [128, 248])
def test_what_is_written_is_read(sector: int, count: int) -> None:
    found = read_gpt(BytesBlob(bytes(disk(*PARTS, sector=sector, count=count))), sector=sector)
    assert found is not None
    assert found.partitions == PARTS and found.problems == () and found.disk_guid == GUID and not found.is_backup


def test_partitions_by_number_role_and_label() -> None:
    blob = BytesBlob(bytes(disk(*PARTS)))
    assert [one.role for one in partitions(blob)] == ["data", "esp"]
    for name in ("2", "esp", "größe"):
        assert find_partition(blob, name).size == 501 * 512
    with pytest.raises(PathError, match="no partition is called `root`"):
        find_partition(blob, "root")
    both = BytesBlob(bytes(disk(PARTS[0], GptPartition(2, BASIC_DATA, GUID, 1000, 1500))))
    with pytest.raises(PathError, match="several"):
        find_partition(both, "data")
    plain = mbr_bytes({1: MbrPartition(0xEF, 8, 8), 3: MbrPartition(0x83, 16, 1 << 20)})
    assert [one.number for one in partitions(BytesBlob(plain))] == [1, 3]
    with pytest.raises(Corrupt, match="not within the disk"):
        find_partition(BytesBlob(plain), "3")


def test_a_damaged_copy_and_a_damaged_first() -> None:
    data = disk(*PARTS)
    data[-512 + 30] ^= 1
    found = read_gpt(BytesBlob(bytes(data)))
    assert found is not None
    assert found.partitions == PARTS and found.problems == ("copy: the header's checksum is wrong",)
    data = disk(*PARTS)
    data[1024 + 40] ^= 1
    found = read_gpt(BytesBlob(bytes(data)))
    assert found is not None
    assert found.is_backup and found.partitions == PARTS and "checksum of the entries" in found.problems[0]
    data[-512 + 20] ^= 1
    with pytest.raises(Corrupt, match="damaged GPT"):
        read_gpt(BytesBlob(bytes(data)))
    assert read_gpt(BytesBlob(bytes(2048))) is None


@pytest.mark.parametrize("field", [(72, 8), (80, 4), (84, 4), (24, 8), (40, 8), (8, 4), (12, 4)])
def test_numbers_that_cannot_be_right(field: tuple[int, int]) -> None:
    for value in (0, (1 << 8 * field[1]) - 1, 1 << 31):
        data = disk(*PARTS)
        data[512 + field[0] : 512 + sum(field)] = (value & (1 << 8 * field[1]) - 1).to_bytes(field[1], "little")
        found = read_gpt(BytesBlob(bytes(data)))
        assert found is None or found.is_backup or found.problems == ()


def test_what_cannot_be_written() -> None:
    for parts in ((PARTS[0], PARTS[0]), (GptPartition(1, ESP, GUID, 10, 20),), (GptPartition(1, ESP, GUID, 100, 9999),)):
        with pytest.raises(ValueError, match=r"overlaps|not within"):
            gpt_bytes(parts, sectors=2048, disk_guid=GUID, first_usable=34)
    with pytest.raises(ValueError, match="1 to 4"):
        mbr_bytes({5: MbrPartition(0x83, 1, 1)})


def test_cylinders_heads_sectors() -> None:
    assert chs(0) == b"\0\1\0"
    assert chs(62) == b"\0\x3f\0" and chs(63) == b"\1\1\0"
    assert chs(1 << 30) == b"\xfe\xff\xff"
    entry = mbr_bytes({1: protective(100)})[446:462]
    assert entry.hex() == "00000200eeffffff0100000063000000"
    assert read_mbr(BytesBlob(b"\0" * 512)) is None


def test_a_disk_that_grows_keeps_what_it_was() -> None:
    data = disk(*PARTS, count=248)
    blob = BytesBlob(bytes(data))
    assert gpt_tail_sectors(blob) == 63

    def move(first: int, end: int) -> tuple[int, int]:
        return (first + 100, end + 100) if first >= 1000 else (first, end + 100)

    new = bytearray(bytes(data) + bytes(100 * 512))
    new[-63 * 512 - 100 * 512 : -100 * 512] = bytes(63 * 512)
    for at, part in (*moved_mbr(blob, 2148, 2048, move), *moved_gpt(blob, 2148, move)):
        new[at : at + len(part)] = part
    found = read_gpt(BytesBlob(bytes(new)))
    assert found is not None
    assert found.problems == () and found.disk_guid == GUID and found.count == 248
    assert [(one.first, one.last, one.name, one.guid) for one in found.partitions] == [
        (64, 1099, "ISO9660", PARTS[0].guid),
        (1100, 1600, "größe", PARTS[1].guid),
    ]
    assert read_mbr(BytesBlob(bytes(new))) == {1: protective(2148)}


def test_a_copy_that_is_gone_or_says_something_else() -> None:
    data = disk(*PARTS)
    data[-512:] = bytes(512)
    found = read_gpt(BytesBlob(bytes(data)))
    assert found is not None and found.problems == ("the copy is not there",)
    data, other = (
        disk(*PARTS),
        bytearray(gpt_bytes(PARTS, sectors=2048, disk_guid=uuid.UUID(int=9), first_usable=34).backup_header),
    )
    data[-512:] = other
    found = read_gpt(BytesBlob(bytes(data)))
    assert found is not None and found.problems == ("the copy says something else",)
