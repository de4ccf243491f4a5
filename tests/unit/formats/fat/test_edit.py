"""Changes of a FAT volume in place: what is written, what stays, and what is refused."""

from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, MergeConflict, NotRepresentable, PathError, TreeError, Unsupported
from imgcore.events import Control
from imgcore.formats import fat
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.fat.layout import FsInfo
from imgcore.formats.fat.options import MAX_TIME, MIN_TIME
from imgcore.formats.fat.reader import FatImage
from imgcore.limits import Limits
from imgcore.model import File, Tree
from tests.kit.archives import read, written
from tests.kit.fat_volumes import CASES, DIR, LONG, OTHER, Damage, applied, broken_volume, contents, file, folder, small_volume

KINDS = pytest.mark.parametrize("kind", [12, 16, 32])


def editor(data: bytes, now: int = 1_700_000_000) -> FatEditor:
    return FatEditor(BytesBlob(data), now=now)


def found(data: bytes) -> list[str]:
    return [one.message for one in fat.FORMAT.check_blob(BytesBlob(data), Limits.default(), Control())]


@KINDS
def test_without_a_change_there_is_nothing_to_write(kind: int) -> None:
    edit = editor(small_volume(kind))
    edit.mkdir("/dir/sub")
    assert list(edit.patches()) == []


@KINDS
def test_files_are_added_replaced_and_removed(kind: int) -> None:
    data = small_volume(kind)
    wanted = contents(read(fat.FORMAT, data))
    edit = editor(data)
    edit.add("/EFI/BOOT/BOOTX64.EFI", BytesBlob(b"MZ" * 4000))
    edit.add(b"/a LONG name.TXT", BytesBlob(b"in other letters"))
    edit.remove("/dir")
    edit.mkdir("/new/empty")
    edit.add("/nothing", BytesBlob(b""))
    changed = applied(data, edit)
    for path in ("/A long name.txt", "/dir", "/dir/below", "/dir/sub"):
        del wanted[path]
    wanted |= dict.fromkeys(("/EFI", "/EFI/BOOT", "/new", "/new/empty"))
    wanted |= {"/EFI/BOOT/BOOTX64.EFI": b"MZ" * 4000, "/a LONG name.TXT": b"in other letters", "/nothing": b""}
    assert contents(read(fat.FORMAT, changed)) == wanted
    assert found(changed) == []


@KINDS
def test_only_what_is_concerned_is_written(kind: int) -> None:
    data = small_volume(kind)
    image = FatImage(BytesBlob(data), Limits.default())
    edit = editor(data)
    edit.add("/dir/one more", BytesBlob(b"1" * 100))
    geometry = image.geometry
    used = [cluster for cluster in range(2, geometry.clusters + 2) if image.table()[cluster]]
    here = next(entry.cluster for name, entry in image.names(0, b"/").items() if name == DIR)
    for patch in edit.patches():
        end = patch.at + patch.content.size
        for cluster in used:
            begin = geometry.at(cluster)
            assert cluster == here or end <= begin or begin + geometry.cluster <= patch.at, cluster
    assert sum(patch.content.size for patch in edit.patches()) <= 8 * max(geometry.cluster, geometry.sector)


@KINDS
def test_both_tables_and_the_hint_follow(kind: int) -> None:
    data = small_volume(kind)
    edit = editor(data)
    edit.add("/x", BytesBlob(bytes(9000)))
    changed = applied(data, edit)
    geometry = FatImage(BytesBlob(changed), Limits.default()).geometry
    size = geometry.fat_sectors * geometry.sector
    first, second = (changed[geometry.fat_at + copy * size :][:size] for copy in (0, 1))
    assert first == second != data[geometry.fat_at :][:size]
    if kind == 32:
        old, new = (FsInfo.unpack_from(one, 512) for one in (data, changed))
        assert old.free - new.free == -(-9000 // geometry.cluster) and new.next_free > old.next_free


def test_four_bits_of_a_fat32_entry_are_kept() -> None:
    data = bytearray(small_volume(32))
    geometry = FatImage(BytesBlob(bytes(data)), Limits.default()).geometry
    size = geometry.fat_sectors * geometry.sector
    for copy in (0, 1):
        for cluster in range(3, 100):
            data[geometry.fat_at + copy * size + 4 * cluster + 3] |= 0xA0
    edit = editor(bytes(data))
    edit.add("/x", BytesBlob(bytes(9000)))
    changed = applied(bytes(data), edit)
    for cluster in range(3, 100):
        assert changed[geometry.fat_at + 4 * cluster + 3] & 0xF0 == 0xA0
    assert found(changed) == []


@KINDS
def test_where_there_is_no_room_nothing_is_changed(kind: int) -> None:
    data = small_volume(kind)
    edit = editor(data)
    with pytest.raises(NotRepresentable, match=r"no room in the volume: \d+ bytes are needed, \d+ are free"):
        edit.add("/new directory/large", BytesBlob(bytes(len(data))))
    assert list(edit.patches()) == []
    edit.add("/after", BytesBlob(b"1"))
    assert contents(read(fat.FORMAT, applied(data, edit)))["/after"] == b"1"


def test_the_last_cluster_is_used_and_comes_back() -> None:
    data = small_volume(12)
    free = int(str(FatImage(BytesBlob(data), Limits.default()).info()["free"]))
    edit = editor(data)
    edit.add("/all", BytesBlob(b"!" * free))
    with pytest.raises(NotRepresentable, match="no room"):
        edit.add("/more", BytesBlob(b"1"))
    full = applied(data, edit)
    assert found(full) == [] and contents(read(fat.FORMAT, full))["/all"] == b"!" * free
    again = editor(full)
    again.remove("/all")
    assert found(applied(full, again)) == []
    assert FatImage(BytesBlob(applied(full, again)), Limits.default()).info()["free"] == free


def test_a_root_that_is_full() -> None:
    data = written(fat.FORMAT, Tree(folder({b"A": file()})), fat.Options(type=12, size=1 << 20, root_entries=16))
    edit = editor(data)
    for number in range(15):
        edit.add(f"/F{number}", BytesBlob(b"1"))
    with pytest.raises(NotRepresentable, match="no room in the root directory"):
        edit.add("/G", BytesBlob(b"1"))
    edit.remove("/F3")
    edit.remove("/F4")
    edit.add("/long name", BytesBlob(b"1"))
    changed = applied(data, edit)
    assert found(changed) == [] and len(contents(read(fat.FORMAT, changed))) == 15


@KINDS
def test_directories_grow(kind: int) -> None:
    data = small_volume(kind)
    edit = editor(data)
    names = [f"/dir/a file with a rather long name, number {number}" for number in range(200)]
    for name in names:
        edit.add(name, BytesBlob(name.encode()))
    changed = applied(data, edit)
    assert found(changed) == []
    assert {name: name.encode() for name in names}.items() <= contents(read(fat.FORMAT, changed)).items()


def test_times() -> None:
    data = small_volume(16)
    edit = editor(data, now=1_700_000_001)
    for name, time in (("now", None), ("then", 1_600_000_000), ("old", -5), ("late", 1 << 40)):
        edit.add(f"/{name}", BytesBlob(b""), mtime=time)
    tree = read(fat.FORMAT, applied(data, edit))
    seconds = {name: tree[f"/{name}"].meta.mtime_ns // 10**9 for name in ("now", "then", "old", "late")}
    assert seconds == {"now": 1_700_000_000, "then": 1_600_000_000, "old": MIN_TIME, "late": MAX_TIME - 1}


@pytest.mark.parametrize(
    ("what", "path", "error"),
    [
        ("add", "/", PathError),
        ("add", "/dir", PathError),
        ("add", "/OTHER.TXT/below", PathError),
        ("add", "/other.txt/below", PathError),
        ("add", "/a:b", NotRepresentable),
        ("add", "/a:b/c", NotRepresentable),
        ("add", "/end.", NotRepresentable),
        ("add", "/ALONGN~1.TXT", MergeConflict),
        ("add", "/alongn~1.txt/x", MergeConflict),
        ("mkdir", "/OTHER.TXT", PathError),
        ("mkdir", "/x/q?", NotRepresentable),
        ("remove", "/", PathError),
        ("remove", "/nothing", PathError),
        ("remove", "/nothing/below", PathError),
        ("remove", "/OTHER.TXT/below", PathError),
    ],
)
def test_refusals_leave_the_plan_as_it_was(what: str, path: str, error: type[TreeError]) -> None:
    edit = editor(small_volume(12))
    with pytest.raises(error):
        edit.add(path, BytesBlob(b"1")) if what == "add" else getattr(edit, what)(path)
    assert list(edit.patches()) == []


def test_replacing_has_to_be_wanted() -> None:
    edit = editor(small_volume(12))
    with pytest.raises(MergeConflict, match="there already"):
        edit.add("/other.txt", BytesBlob(b"1"), replace=False)
    edit.add("/another.txt", BytesBlob(b"1"), replace=False)


@pytest.mark.parametrize(("damage", "kind"), CASES, ids=[f"{damage.name}-{kind}" for damage, kind in CASES])
def test_a_volume_whose_files_are_mixed_up_is_not_changed(damage: Damage, kind: int) -> None:
    data = broken_volume(damage, kind)
    if damage.severity == "error" or damage.name == "table-copy":  # the first of the tables is the one that was broken
        with pytest.raises((Corrupt, Unsupported)):
            editor(data)
        return
    edit = editor(data)
    before = contents(read(fat.FORMAT, data))
    edit.add("/new", BytesBlob(b"1" * 3000))
    after = contents(read(fat.FORMAT, applied(data, edit)))
    assert after == before | {"/new": b"1" * 3000}


def test_names_that_the_tree_has() -> None:
    tree = read(fat.FORMAT, small_volume(12))
    assert {LONG, OTHER, DIR} == set(tree.root.children) and isinstance(tree["/dir/below"], File)
