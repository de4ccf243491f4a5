"""Disk images with every field of their tables broken: only errors of ours come out, and quickly."""

from __future__ import annotations

import contextlib
import random
import struct
import zlib
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob
from imgcore.build.ddi import DdiSettings, build_ddi
from imgcore.build.ddi_read import read_ddi, verify_set
from imgcore.build.source import open_source
from imgcore.disk.layout import GptEntry, GptHeader
from imgcore.disk.verity import VeritySuperblock
from imgcore.errors import ImgcoreError
from imgcore.limits import Limits
from imgcore.sysext.image import open_raw
from imgcore.sysext.partitions import disk_parts

LIMITS = Limits(max_file_size=1 << 33)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small disk with verity."""
    top = tmp_path_factory.mktemp("tree")
    release = top / "usr/lib/extension-release.d/extension-release.hello"
    release.parent.mkdir(parents=True)
    release.write_text("ID=_any\n")
    (top / "usr/data").write_bytes(random.Random(1).randbytes(30_000))
    dest = tmp_path_factory.mktemp("image") / "hello.raw"
    build_ddi(top, dest, DdiSettings(verity=True))
    return dest.read_bytes()


def look(data: bytes) -> None:
    """Do with a disk all that is done with disks."""
    blob = BytesBlob(data)
    with contextlib.suppress(ImgcoreError):
        disk = read_ddi(blob)
        disk.info()
        for one in disk.sets():
            verify_set(one, limits=LIMITS)
    with contextlib.suppress(ImgcoreError):
        disk_parts(blob, "x86-64")
    with contextlib.suppress(ImgcoreError), contextlib.ExitStack() as stack:
        open_raw(blob, LIMITS, stack)
    with contextlib.suppress(ImgcoreError), open_source(blob, limits=LIMITS) as opened:
        for _ in opened.tree.walk():
            pass


def mended(data: bytearray) -> bytes:
    """Return the disk with the checksums of its first table made right, as somebody would who means harm."""
    head = GptHeader.unpack_unchecked(bytes(data[512:604]))
    at, size = head.entries * 512, head.count * head.entry_size
    if 0 < size <= 1 << 20 and at + size <= len(data):
        data[600:604] = struct.pack("<I", zlib.crc32(data[at : at + size]))
    if 92 <= head.size <= 512:
        data[528:532] = bytes(4)
        data[528:532] = struct.pack("<I", zlib.crc32(data[512 : 512 + head.size]))
    return bytes(data)


def values(size: int, chance: random.Random) -> list[bytes]:
    """Return what a field of `size` bytes is set to."""
    most = (1 << 8 * size) - 1
    numbers = [0, 1, most, most >> 1, chance.getrandbits(8 * size)]
    return [number.to_bytes(size, "little") for number in numbers]


@pytest.mark.parametrize(
    ("record", "at"),
    [(GptHeader, 512), (GptEntry, 1024), (GptEntry, 1152), (VeritySuperblock, None)],
    ids=["header", "root", "hash tree", "superblock"],
)
@pytest.mark.parametrize("checked", [False, True])
def test_every_field(image: bytes, record: type, at: int | None, checked: bool) -> None:
    chance = random.Random(7)
    start = at if at is not None else image.index(b"verity\0\0\1\0\0\0")
    for place in record.LAYOUT:  # type: ignore[attr-defined]
        for value in [*values(place.width, chance), b"+", b"-"]:
            data = bytearray(image)
            old = int.from_bytes(data[start + place.offset : start + place.offset + place.width], "little")
            if value in (b"+", b"-"):
                value = ((old + (1 if value == b"+" else -1)) % (1 << 8 * place.width)).to_bytes(place.width, "little")
            data[start + place.offset : start + place.offset + len(value)] = value
            look(mended(data) if checked else bytes(data))


def test_partitions_that_overlap_are_huge_or_hold_the_disk_itself(image: bytes) -> None:
    for first, last in ((0, 1 << 62), (0, 0), (40, 39), (0, len(image) // 512 - 1), (1 << 63, (1 << 64) - 1), (2, 3)):
        data = bytearray(image)
        struct.pack_into("<QQ", data, 1024 + 32, first, last)
        look(mended(data))
        struct.pack_into("<QQ", data, 1152 + 32, first, last)
        look(mended(data))


def test_a_damaged_first_table_with_a_good_copy(image: bytes) -> None:
    data = bytearray(image)
    data[512:1024] = random.Random(3).randbytes(512)
    disk = read_ddi(BytesBlob(bytes(data)))
    assert disk.gpt.is_backup and [one.kind.name for one in disk.parts if one.kind] == ["root-x86-64", "root-x86-64-verity"]
    verify_set(disk.sets()[0])


def test_every_length(image: bytes) -> None:
    for size in [*range(0, 3000, 61), *range(3000, len(image), 20_011), len(image) - 1, len(image) - 512]:
        look(image[:size])
        look(image[: max(size, 1024)] + bytes(len(image) - size))


def test_disks_in_disks_end(image: bytes, tmp_path: Path) -> None:
    inner = image
    for _ in range(3):
        data = bytearray(image[:20480])
        struct.pack_into("<QQ", data, 1024 + 32, 40, 40 + len(inner) // 512 - 1)
        data[1152:1280] = bytes(128)
        inner = mended(data) + inner
        look(inner)
