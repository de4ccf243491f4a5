"""FAT volumes of ours read by fsck.fat and mtools, theirs (mkfs.fat, mcopy, mdel) read and changed by us."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.errors import MergeConflict, NotRepresentable, PathError
from imgcore.events import Control
from imgcore.formats import fat
from imgcore.formats.fat.edit import FatEditor
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Tree
from tests.conftest import Cli
from tests.kit.archives import read, written
from tests.kit.fat_volumes import CASES, Damage, applied, broken_volume, contents, fsck, hard_tree, mcopied, mtools
from tests.kit.oracles import run, tool

OURS = {
    "default": fat.Options(),
    "label": fat.Options(label="my esp", serial=0xCAFE1234, hidden=2048),
    "12": fat.Options(type=12, size=1440 << 10),
    "12-8K": fat.Options(type=12, size=8 << 20, cluster=8192),
    "12-4096": fat.Options(type=12, size=8 << 20, sector=4096),
    "12-few-names": fat.Options(type=12, size=2 << 20, root_entries=16),
    "16": fat.Options(type=16, size=16 << 20),
    "16-over-32M": fat.Options(type=16, size=64 << 20, label="BIG"),
    "16-smallest": fat.Options(type=16),
    "32": fat.Options(type=32, size=64 << 20, label="ESP"),
    "32-smallest": fat.Options(type=32),
    "32-4096": fat.Options(type=32, sector=4096),
}
THEIRS = {
    "1440K": ("-F", "12", "-C", "X", "1440"),
    "one-table": ("-F", "12", "-f", "1", "-r", "112", "-C", "X", "1200"),
    "sectors-1K": ("-F", "12", "-a", "-S", "1024", "-C", "X", "3000"),
    "16": ("-F", "16", "-n", "Label", "-C", "X", "20000"),
    "reserved": ("-F", "16", "-R", "8", "-h", "63", "-C", "X", "9000"),
    "32": ("-F", "32", "-n", "ESP", "-C", "X", "40000"),
    "32-4096": ("-F", "32", "-S", "4096", "-s", "1", "-C", "X", "300000"),
    "32-one-table": ("-F", "32", "-f", "1", "-b", "8", "-R", "64", "-C", "X", "80000"),
}


def lower(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Return the same with small letters: mtools 4.0.32 writes `é` as `É` with the bit for small letters, and shows `É`."""
    return {path.lower(): content for path, content in found.items()}


def findings(data: bytes) -> list[str]:
    return [one.rule for one in fat.FORMAT.check_blob(BytesBlob(data), Limits.default(), Control())]


@pytest.mark.parametrize("name", OURS)
def test_ours_read_by_mtools(name: str, tmp_path: Path) -> None:
    image, tree = tmp_path / "volume", hard_tree()
    image.write_bytes(written(fat.FORMAT, tree, OURS[name]))
    assert fsck(image) == ""
    into = tmp_path / "out"
    assert mcopied(image, into) == contents(tree)
    for path, node in tree.walk():
        if isinstance(node, File) and not path.startswith(b"/times"):
            assert (into / path[1:].decode()).stat().st_mtime == node.meta.mtime_ns // 10**9, path
    label = OURS[name].label.upper()
    if label:
        assert label in mtools("mlabel", image, "-s", "::")
    volume = mtools("minfo", image, "::")
    assert f"hidden sectors: {OURS[name].hidden}" in volume


@pytest.mark.parametrize("name", OURS)
def test_dates_shown_by_mdir(name: str, tmp_path: Path) -> None:
    image = tmp_path / "volume"
    image.write_bytes(written(fat.FORMAT, hard_tree(), OURS[name]))
    listed = mtools("mdir", image, "::/times")
    assert "1980-01-01   0:00" in listed and "2107-12-31  23:59" in listed


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_read_by_us(name: str, tmp_path: Path) -> None:
    image = theirs(name, tmp_path)
    data = image.read_bytes()
    tree = their_tree()
    found = read(fat.FORMAT, data)
    assert contents(found) == contents(tree)
    assert lower(mcopied(image, tmp_path / "out")) == lower(contents(tree))
    assert times(found) == times(tree)
    assert findings(data) == []


def times(tree: Tree) -> dict[bytes, int]:
    """Return the times of files, but for those at the ends of what FAT has: mcopy clamps them."""
    files = ((path, node) for path, node in tree.walk() if isinstance(node, File) and not path.startswith(b"/times/"))
    return {path: node.meta.mtime_ns for path, node in files}


def their_tree() -> Tree:
    """Return the hard tree, without the name that mtools renames for being another one's short form."""
    return hard_tree().map(lambda path, node: None if path.endswith(b"/LONGNA~1.TXT") else node)


def theirs(name: str, tmp_path: Path) -> Path:
    """Return a volume of mkfs.fat, filled by mcopy with the hard tree after files that it deleted again."""
    image = tmp_path / "theirs"
    run(tool("mkfs.fat"), *(str(image) if word == "X" else word for word in THEIRS[name]))
    host = tmp_path / "host"
    packed = tmp_path / "packed"
    packed.write_bytes(written(fat.FORMAT, their_tree(), fat.Options()))
    mcopied(packed, host)
    holes = [tmp_path / f"hole with a long name {number}" for number in range(4)]
    for number, hole in enumerate(holes):
        hole.write_bytes(bytes(3000 * (number + 1)))
    mtools("mcopy", image, *holes, "::")
    mtools("mdel", image, *(f"::{hole.name}" for hole in holes[::2]))
    mtools("mcopy", image, "-s", "-m", "-D", "a", *sorted(host.iterdir()), "::")
    mtools("mdel", image, *(f"::{hole.name}" for hole in holes[1::2]))
    assert fsck(image) == ""
    return image


@pytest.mark.parametrize("name", THEIRS)
def test_theirs_changed_by_us(name: str, tmp_path: Path) -> None:
    image = theirs(name, tmp_path)
    data = image.read_bytes()
    wanted = contents(read(fat.FORMAT, data))
    editor = FatEditor(BytesBlob(data), now=1_750_000_000)
    kept = {path: node.content.runs() for path, node in read(fat.FORMAT, data).walk() if isinstance(node, File)}  # type: ignore[attr-defined]
    chance = random.Random(name)
    for number in range(60):
        path = f"/many/new entry {number} of ours.conf" if number % 3 else f"/fresh/{number % 5}/deep/file{number}.bin"
        content = chance.randbytes(chance.randrange(9000))
        editor.add(path, BytesBlob(content))
        wanted[path] = content
        for at in range(2, path.count("/") + 1):
            wanted.setdefault("/".join(path.split("/")[:at]), None)
    for path in ("/many/entry with a long name 003.conf", "/deep", "/sizes/size70000", "/names/stem.EXT"):
        editor.remove(path)
        wanted = {one: seen for one, seen in wanted.items() if one != path and not one.startswith(path + "/")}
    editor.add("/EFI/BOOT/BOOTX64.EFI", BytesBlob(b"new" * 30000))
    wanted["/EFI/BOOT/BOOTX64.EFI"] = b"new" * 30000
    changed = applied(data, editor)
    image.write_bytes(changed)
    assert fsck(image) == ""
    assert contents(read(fat.FORMAT, changed)) == wanted
    assert lower(mcopied(image, tmp_path / "changed")) == lower(wanted)
    for path, node in read(fat.FORMAT, changed).walk():
        if isinstance(node, File) and path in kept and path != b"/EFI/BOOT/BOOTX64.EFI":
            assert node.content.runs() == kept[path], path  # type: ignore[attr-defined]
    assert findings(changed) == []


def test_a_fat32_of_too_few_clusters_which_mtools_cannot_read(tmp_path: Path) -> None:
    image = tmp_path / "volume"
    run(tool("mkfs.fat"), "-F", "32", "-C", image, "8192")
    editor = FatEditor(BytesBlob(image.read_bytes()))
    editor.add("/EFI/BOOT/BOOTX64.EFI", BytesBlob(b"MZ" * 9000))
    image.write_bytes(applied(image.read_bytes(), editor))
    assert fsck(image) == ""
    assert contents(read(fat.FORMAT, image.read_bytes()))["/EFI/BOOT/BOOTX64.EFI"] == b"MZ" * 9000
    assert findings(image.read_bytes()) == ["clusters"]


NAMES = st.sampled_from(
    [b"a", b"B.TXT", b"b.txt.conf", b"Long name.text", b"long name.conf", b"d", "ü".encode(), b"LONGNA~1.CON"]
)
SCRIPT = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "mkdir", "remove"]), st.lists(NAMES, min_size=1, max_size=3), st.integers(0, 9000)
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPT, kind=st.sampled_from([12, 16, 32]), small=st.booleans())
def test_any_change_leaves_what_fsck_likes(
    script: list[tuple[str, list[bytes], int]], kind: int, small: bool, tmp_path: Path
) -> None:
    start = Tree(Dir(Meta(0o755), {b"a": File(Meta(), BytesBlob(b"kept" * 500))}))
    size = {12: 48 << 10 if small else 1 << 20, 16: 8 << 20, 32: 40 << 20}[kind]
    options = fat.Options(type=kind, size=size, root_entries=16, allow_loss=("time",))
    data = written(fat.FORMAT, start, options)
    editor = FatEditor(BytesBlob(data))
    before = contents(read(fat.FORMAT, data))
    for what, parts, length in script:
        path = b"/" + b"/".join(parts)
        try:
            if what == "add":
                editor.add(path, BytesBlob(path[-1:] * length))
            elif what == "mkdir":
                editor.mkdir(path)
            else:
                editor.remove(path)
        except (MergeConflict, NotRepresentable, PathError):
            continue
    changed = applied(data, editor)
    image = tmp_path / "volume"
    image.write_bytes(changed)
    assert fsck(image) == ""
    assert findings(changed) == []
    assert before or contents(read(fat.FORMAT, changed)) == {}
    fresh = read(fat.FORMAT, changed)
    again = written(fat.FORMAT, fresh, fat.Options(type=kind, allow_loss=("time",)))
    assert contents(read(fat.FORMAT, again)) == contents(fresh)


@pytest.mark.parametrize(("damage", "kind"), CASES, ids=[f"{damage.name}-{kind}" for damage, kind in CASES])
def test_damage_is_found_by_both(damage: Damage, kind: int, tmp_path: Path) -> None:
    image = tmp_path / "volume"
    image.write_bytes(broken_volume(damage, kind))
    assert damage.rule in findings(image.read_bytes())
    assert bool(fsck(image)) == damage.fsck


def test_the_command_line(imgcore_cli: Cli, tmp_path: Path) -> None:
    host, image = tmp_path / "tree", tmp_path / "esp.img"
    (host / "EFI/BOOT").mkdir(parents=True)
    (host / "EFI/BOOT/BOOTX64.EFI").write_bytes(b"MZ" * 5000)
    assert (
        imgcore_cli("pack", "-q", "--format", "fat", "-O", "size=8M", "-O", "type=16", "-O", "label=esp", host, image).code == 0
    )
    assert image.stat().st_size == 8 << 20 and fsck(image) == ""
    assert imgcore_cli("cat", image, "/EFI/BOOT/BOOTX64.EFI").out == "MZ" * 5000
    assert imgcore_cli("check", image).code == 0
    assert imgcore_cli("unpack", "-q", image, tmp_path / "out").code == 0
    assert (tmp_path / "out/EFI/BOOT/BOOTX64.EFI").read_bytes() == b"MZ" * 5000


def test_what_does_not_fit_leaves_nothing(imgcore_cli: Cli, tmp_path: Path) -> None:
    host = tmp_path / "tree"
    host.mkdir()
    (host / "large").write_bytes(bytes(200000))
    done = imgcore_cli("pack", "-q", "-O", "size=100K", host, tmp_path / "x.esp")
    assert done.code == 4 and "200" in done.err and not (tmp_path / "x.esp").exists()
    with pytest.raises(NotRepresentable, match="possible"):
        written(fat.FORMAT, Tree(Dir(Meta(mtime_ns=10**18))), fat.Options(size=20 << 20, type=32))
