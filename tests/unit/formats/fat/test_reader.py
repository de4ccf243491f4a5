"""FAT volumes read: what is damaged, what is hostile, and what `check` says of it."""

from __future__ import annotations

import itertools

import pytest

from imgcore.blob import Blob, BytesBlob, read_all
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded
from imgcore.events import Control
from imgcore.formats import fat
from imgcore.formats.fat.entries import dot_entries, entry_bytes, pack_time, unpack_time
from imgcore.formats.fat.names import named
from imgcore.formats.fat.options import MAX_TIME, MIN_TIME
from imgcore.formats.fat.reader import FatImage
from imgcore.limits import Limits
from imgcore.model import Dir, File, Tree
from tests.kit.archives import read, written
from tests.kit.fat_volumes import (
    CASES,
    DIR,
    LONG,
    OTHER,
    Broken,
    Damage,
    broken_volume,
    contents,
    file,
    folder,
    hard_tree,
    small_volume,
)


def rules(data: bytes) -> set[tuple[str, str]]:
    found = fat.FORMAT.check_blob(BytesBlob(data), Limits.default(), Control())
    return {(one.rule, one.severity) for one in found}


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_nothing_is_found_in_what_we_write(kind: int) -> None:
    assert rules(small_volume(kind)) == set()
    assert rules(written(fat.FORMAT, hard_tree(), fat.Options(type=kind))) == set()


@pytest.mark.parametrize(("damage", "kind"), CASES, ids=[f"{damage.name}-{kind}" for damage, kind in CASES])
def test_damage_is_found(damage: Damage, kind: int) -> None:
    assert (damage.rule, damage.severity) in rules(broken_volume(damage, kind))


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_what_leaves_no_doubt_is_read(kind: int) -> None:
    whole = contents(read(fat.FORMAT, small_volume(kind)))
    for damage in (
        one for one in (case[0] for case in CASES if case[1] == kind) if one.rule in ("copies", "media", "dirty", "info")
    ):
        if damage.name != "table-copy":  # it breaks the first copy
            assert contents(read(fat.FORMAT, broken_volume(damage, kind))) == whole


@pytest.mark.parametrize("kind", [12, 16, 32])
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("chain-short", LONG),
        ("chain-free", LONG),
        ("dir-round", DIR),
        ("dir-no-cluster", DIR + b"/sub"),
        ("dir-loop", DIR + b"/sub"),
    ],
)
def test_an_error_names_the_place(kind: int, name: str, path: bytes) -> None:
    damage = next(one for one, _ in CASES if one.name == name)
    with pytest.raises(Corrupt) as caught:
        contents(read(fat.FORMAT, broken_volume(damage, kind)))
    assert caught.value.path == b"/" + path


@pytest.mark.parametrize("kind", [12, 16, 32])
def test_other_files_are_read_beside_a_damaged_one(kind: int) -> None:
    damage = next(one for one, _ in CASES if one.name == "chain-short")
    tree = read(fat.FORMAT, broken_volume(damage, kind))
    other = tree["/" + OTHER.decode()]
    assert isinstance(other, File) and read_all(other.content) == b"y" * 3000
    broken = tree["/" + LONG.decode()]
    assert isinstance(broken, File)
    with pytest.raises(Corrupt, match="too early") as caught:
        read_all(broken.content)
    assert caught.value.path == b"/" + LONG and caught.value.offset is not None


def test_a_file_larger_than_the_volume() -> None:
    broken = Broken(small_volume(12))
    broken.set_entry((LONG,), size=0xFFFFFFFF)
    with pytest.raises(Corrupt, match="larger than the volume"):
        contents(read(fat.FORMAT, bytes(broken.data)))
    with pytest.raises(LimitExceeded):
        contents(read(fat.FORMAT, bytes(broken.data), Limits(max_file_size=1 << 20)))


class Counted:
    """A blob that counts the bytes that are read of it."""

    def __init__(self, data: bytes) -> None:
        self._blob: Blob = BytesBlob(data)
        self.size = len(data)
        self.read = 0
        self.segments = self._blob.segments

    def read_at(self, at: int, size: int) -> bytes:
        data = self._blob.read_at(at, size)
        self.read += len(data)
        return data


def overlapping(count: int) -> bytes:
    """Return a volume with one chain of empty slots, and a directory that begins at each of its clusters."""
    tree = Tree(folder({b"D%d" % number: folder({}) for number in range(count)}))
    broken = Broken(written(fat.FORMAT, tree, fat.Options(type=16, size=8 << 20, cluster=512)))
    first = broken.first(b"D0")
    for cluster in range(first, first + count):
        broken.table[cluster] = cluster + 1
        at = broken.geometry.at(cluster)
        broken.data[at : at + 512] = b"\xe5".ljust(32, b"\0") * 16
    broken.set_table(first + count, 0xFFFF)
    return bytes(broken.data)


def test_directories_that_share_clusters_are_not_listed_again_and_again() -> None:
    data = overlapping(400)
    blob = Counted(data)
    with pytest.raises(ImgcoreError, match="share"):
        list(fat.open_image(BytesBlob(overlapping(2000)), Limits.default()).tree.walk())
    assert ("cross", "error") in rules(data)
    list(fat.FORMAT.check_blob(blob, Limits.default(), Control()))
    assert blob.read < 3 * len(data)


def test_every_file_at_the_same_clusters_is_looked_at_once() -> None:
    tree = Tree(folder({b"big": file(bytes(4 << 20)), **{b"F%d" % number: file(b"x") for number in range(100)}}))
    broken = Broken(written(fat.FORMAT, tree, fat.Options(type=16, size=8 << 20)))
    first = broken.first(b"big")
    for number in range(100):
        broken.set_entry((b"F%d" % number,), cluster_low=first, size=4 << 20)
    found = list(fat.FORMAT.check_blob(BytesBlob(bytes(broken.data)), Limits.default(), Control()))
    assert sum(one.rule == "cross" for one in found) == 100


def test_limits() -> None:
    data = written(fat.FORMAT, hard_tree(), fat.Options())
    for limits in (Limits(max_entries=20), Limits(max_metadata=1000), Limits(max_depth=3)):
        with pytest.raises(LimitExceeded):
            list(read(fat.FORMAT, data, limits).walk())
        with pytest.raises(LimitExceeded):
            list(fat.FORMAT.check_blob(BytesBlob(data), limits, Control()))


def test_a_volume_that_is_cut() -> None:
    data = small_volume(16)
    image = fat.open_image(BytesBlob(data[: 1 << 20]))
    assert image.tree.walk() is not None and ("cut", "error") in rules(data[: 1 << 20])
    with pytest.raises(Corrupt, match="cut"):
        fat.open_image(BytesBlob(data[:5000]))
    findings = list(fat.FORMAT.check_blob(BytesBlob(data[:5000]), Limits.default(), Control()))
    assert [one.fatal for one in findings] == [True]


def test_names_that_would_leave_the_directory() -> None:
    forms = named([b"x.y"])
    data = bytearray(small_volume(12))
    root = FatImage(BytesBlob(bytes(data)), Limits.default()).geometry.root_at
    entry = bytearray(entry_bytes(b"x.y", forms[b"x.y"], 0, 0, MIN_TIME, is_dir=False))
    for name in (b"../X    Y  ", b"A/B     Y  "):
        entry[:11] = name
        data[root : root + 32] = entry
        with pytest.raises(Corrupt, match="impossible name"):
            list(read(fat.FORMAT, bytes(data)).walk())
        assert ("name", "error") in rules(bytes(data))


def test_the_layout_covers_the_volume_in_order() -> None:
    for kind in (12, 16, 32):
        image = fat.open_image(BytesBlob(small_volume(kind)))
        items = list(image.layout())
        assert all(one.offset + one.size <= two.offset for one, two in itertools.pairwise(items))
        assert {"BootSector.media", "allocation table 2", "clusters"} <= {one.name for one in items}


@pytest.mark.parametrize("seconds", [MIN_TIME, MAX_TIME - 1, 951782400, 1_700_000_000])
def test_times(seconds: int) -> None:
    assert unpack_time(*pack_time(seconds)) == seconds // 2 * 2


def test_times_that_are_none() -> None:
    for date, time in ((0, 0), (0xFFFF, 0xFFFF), (33, 0xFFFF), (0x1E0, 0)):
        assert MIN_TIME <= unpack_time(date, time) <= MAX_TIME


def test_the_dots_of_a_directory() -> None:
    data = dot_entries(5, 0, MIN_TIME)
    assert data[:11] == b".          " and data[32:43] == b"..         " and data[26] == 5 and data[58] == 0


def test_attributes_are_modes() -> None:
    tree = Tree(folder({b"a": file(mode=0o444), b"b": file(mode=0o200), b"d": Dir()}))
    found = read(fat.FORMAT, written(fat.FORMAT, tree, fat.Options(allow_loss=("time",))))
    assert [found[path].meta.mode for path in ("/a", "/b", "/d")] == [0o555, 0o755, 0o755]
