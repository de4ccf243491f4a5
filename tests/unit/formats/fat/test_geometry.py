"""Which kind of FAT a volume is of, what is recognised, and options."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, NotRepresentable, NotThisFormat
from imgcore.formats import detect, fat
from imgcore.formats.fat.boot_sector import read_boot_sector, recognise
from imgcore.formats.fat.geometry import BITS, choose, fitting
from imgcore.formats.fat.layout import ENTRY, MAX_12, MAX_16, BootSector, Extension32
from imgcore.formats.fat.reader import FatImage
from imgcore.formats.fat.writer import boot_sectors
from imgcore.limits import Limits
from imgcore.model import Tree
from tests.kit.archives import read, written
from tests.kit.fat_volumes import Broken, contents, file, folder, hard_tree, small_volume

MIB = 1 << 20
SIZES = st.one_of(st.integers(8 << 10, 64 * MIB), st.integers(8 << 10, 8 << 40))


@given(
    size=SIZES,
    kind=st.sampled_from([None, 12, 16, 32]),
    sector=st.sampled_from([512, 1024, 2048, 4096]),
    cluster=st.sampled_from([None, 512, 4096, 32768]),
)
def test_the_number_of_clusters_says_which_kind_it_is(size: int, kind: int | None, sector: int, cluster: int | None) -> None:
    try:
        made = choose(size, kind, sector, cluster, 512)
    except ValueError as error:
        assert "possible" in str(error)
        return
    for limit in (MAX_12 + 1, MAX_16 + 1):
        assert abs(made.clusters - limit) >= 16
    assert made.kind == (12 if made.clusters <= MAX_12 else 16 if made.clusters <= MAX_16 else 32)
    assert kind in (None, made.kind) and cluster in (None, made.cluster)
    assert made.sectors == size // sector < 1 << 32
    assert made.data_at + made.clusters * made.cluster <= made.sectors * sector
    assert (made.clusters + 2) * BITS[made.kind] <= made.fat_sectors * sector * 8
    if made.clusters < 1 << 20:
        head, extension, found = read_boot_sector(BytesBlob(boot_sectors(made, 7, "L", 9, 1, 2)))
        assert found == made and head.hidden == 9 and extension.serial == 7


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize(("kind", "least"), [(16, MAX_12 + 17), (32, MAX_16 + 17)])
def test_the_smallest_of_a_kind(sector: int, kind: int, least: int) -> None:
    made = next(one for size in range(1, 80000) if (one := fitting(kind, size, sector, 1, 512)) is not None)
    assert made.clusters == least


def test_sizes_that_users_ask_for() -> None:
    found = {size: choose(size * MIB, None, 512, None, 512) for size in (1, 4, 16, 33, 100, 260, 512, 1024, 8192, 1 << 20)}
    assert [one.kind for one in found.values()] == [12, 12, 16, 16, 16, 32, 32, 32, 32, 32]
    assert all(512 <= one.cluster <= 4096 for one in found.values())
    assert choose(33 * MIB, 32, 512, None, 512).cluster == 512
    with pytest.raises(ValueError, match="33 MiB"):
        choose(32 * MIB, 32, 512, None, 512)


@pytest.mark.parametrize(
    "settings",
    [
        {"type": "13"},
        {"sector": "513"},
        {"cluster": "768"},
        {"root-entries": "17"},
        {"root-entries": "64K"},
        {"label": "twelve chars"},
        {"label": "a.b"},
        {"serial": "1-0000-0000"},
        {"serial": "no"},
        {"hidden": "4G"},
        {"size": "-1"},
        {"sise": "1M"},
    ],
)
def test_options_that_are_none(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).split("-")[0]):
        fat.Options().with_settings(settings)


def test_options_reach_the_volume() -> None:
    options = fat.Options().with_settings(
        {
            "size": "20M",
            "type": "16",
            "sector": "1K",
            "cluster": "4K",
            "root-entries": "64",
            "label": "efi",
            "serial": "1234-abcd",
        }
    )
    image = FatImage(BytesBlob(written(fat.FORMAT, hard_tree(), options)), Limits.default())
    info = image.info()
    assert (info["type"], info["label"], info["serial"]) == ("FAT16", "EFI", "1234-ABCD")
    assert (info["bytes"], info["sector"], info["cluster"]) == (20 * MIB, 1024, 4096)
    assert image.geometry.root_entries == 64


@pytest.mark.parametrize("size", ["100", "20000", "4T", "9E"[:1] + "000T"])
def test_sizes_that_no_volume_has(size: str) -> None:
    with pytest.raises(NotRepresentable):
        written(fat.FORMAT, hard_tree(), fat.Options().with_settings({"size": size}))


def test_a_root_of_more_names_than_fat16_has_is_one_of_fat32() -> None:
    tree = Tree(folder({b"F%d" % number: file() for number in range(65530)}))
    image = FatImage(BytesBlob(written(fat.FORMAT, tree, fat.Options())), Limits.default())
    assert image.geometry.kind == 32 and len(image.tree.root.children) == 65530
    with pytest.raises(NotRepresentable):
        written(fat.FORMAT, tree, fat.Options(type=16))
    with pytest.raises(NotRepresentable, match="65536"):
        written(fat.FORMAT, Tree(folder({b"File%d" % number: file() for number in range(32769)})), fat.Options())


def test_the_root_is_as_large_as_its_names_need() -> None:
    tree = Tree(folder({b"a long name %d" % number: file() for number in range(700)}))
    image = FatImage(BytesBlob(written(fat.FORMAT, tree, fat.Options(type=12, label="L"))), Limits.default())
    assert image.geometry.root_entries * ENTRY >= 1401 * ENTRY and len(image.tree.root.children) == 700


# What is a volume


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_a_volume_is_known_by_its_first_sector(kind: int) -> None:
    data = small_volume(kind)
    assert detect(BytesBlob(data)) is fat.FORMAT
    for at, byte in ((510, 0), (0, 0), (11, 1), (13, 3), (14, 0), (16, 0), (21, 0x10)):
        changed = bytearray(data)
        changed[at] = byte
        assert not recognise(BytesBlob(bytes(changed))), at


def _sector(head: bytes) -> bytes:
    return (head.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")


@pytest.mark.parametrize(
    "data",
    [
        _sector(b"\xeb\x52\x90NTFS    \0\x02\x08\0\0\0\0\0\0\0\xf8\0\0\x3f\0\xff\0\0\x08\0\0\0\0\0\0\x80\0\x80\0"),
        _sector(b"\xeb\x76\x90EXFAT   "),
        _sector(b"\xeb\x63\x90\x10\x8e\xd0"),  # GRUB in a partition table
        _sector(b"\x33\xc0\x8e\xd0\xbc\x00\x7c"),
        _sector(b""),
        b"\xeb\x3c\x90",
        b"",
    ],
)
def test_what_is_no_volume(data: bytes) -> None:
    assert detect(BytesBlob(data)) is not fat.FORMAT
    with pytest.raises(NotThisFormat):
        read_boot_sector(BytesBlob(data))


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (12, {"root_entries": 0}, "without entries"),
        (12, {"fat_sectors16": 1}, "too short"),
        (12, {"fat_sectors16": 60000}, "fill the whole"),
        (12, {"sectors16": 0, "sectors32": 1 << 30}, "more clusters than FAT16"),
        (16, {"sectors16": 40}, "fill the whole"),
        (32, {"root_entries": 16}, "root of entries"),
        (32, {"reserved": 65535, "sectors32": 66500}, "fill the whole"),
    ],
)
def test_numbers_that_cannot_be(kind: int, fields: dict[str, int], message: str) -> None:
    broken = Broken(small_volume(kind))
    broken.set_boot(**fields)
    blob = BytesBlob(bytes(broken.data))
    assert detect(blob) is fat.FORMAT
    with pytest.raises(Corrupt, match=message) as caught:
        FatImage(blob, Limits.default())
    assert caught.value.offset is not None and caught.value.offset < 512


def test_a_version_of_fat32_that_there_is_not() -> None:
    broken = Broken(small_volume(32))
    broken.set_extension(version=1)
    with pytest.raises(Corrupt, match="version"):
        FatImage(BytesBlob(bytes(broken.data)), Limits.default())


def test_bytes_behind_the_volume_do_not_matter() -> None:
    data = small_volume(16)
    assert contents(read(fat.FORMAT, data + b"behind")) == contents(read(fat.FORMAT, data))
    assert BootSector.SIZE + Extension32.SIZE <= 90
