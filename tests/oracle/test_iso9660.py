"""ISO 9660 images: ours read by xorriso, isoinfo, bsdtar, 7z, pycdlib, GRUB, and theirs read and changed by us."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from imgcore.blob import FileBlob
from imgcore.build.iso_lint import lint_iso
from imgcore.build.source import open_source
from imgcore.engine import get_engine
from imgcore.events import Control
from imgcore.formats import iso9660
from imgcore.hosts import scan
from imgcore.limits import Limits
from imgcore.model import File, Symlink, Tree, diff
from tests.conftest import Cli
from tests.kit.iso_trees import boot_tree, esp_offset, fill, hybrid_mbr, xorriso_names
from tests.kit.oracles import missing, run, tool

PRESETS = {
    "elemental": (),
    "fedora": ("bios", "grub2"),
    "ubuntu": ("bios", "grub2"),
    "debian": ("isolinux", "isolinux"),
    "talos": ("bios", "grub2"),
    "uki": (),
}
OPTIONS = {
    "plain": [],
    "joliet": ["-O", "joliet=long"],
    "level 1": ["-O", "level=1", "-O", "joliet=yes"],
    "level 4": ["-O", "level=4"],
    "1.12": ["-O", "rock-ridge=1.12"],
    "relaxed": ["-O", "relaxed=yes", "-O", "align=64K"],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("tree") / "t")


def findings(image: Path) -> list[str]:
    with FileBlob(image) as blob:
        return [one.message for one in iso9660.FORMAT.check_blob(blob, Limits.default(), Control())]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_others_read_ours(imgcore_cli: Cli, tree: Path, options: list[str], tmp_path: Path) -> None:
    image = tmp_path / "o.iso"
    assert imgcore_cli("pack", "--verify", *options, tree, image).code == 0
    assert findings(image) == []
    names = {"/"} | {f"/{path.relative_to(tree)}" for path in tree.rglob("*")}
    assert xorriso_names(image) == names
    for newest in (False, True):
        said = run(tool("xorriso", newest=newest), "-indev", image, "-check_media", "--")
        assert "+ good" in said.stdout + said.stderr
    assert "No errors found" in run(tool("isovfy"), image).stdout
    run(tool("iso-info"), "-i", image, "--no-header")
    listed = run(tool("isoinfo"), "-R", "-f", "-i", image).stdout.split("\n")
    assert set(listed) - {""} == names - {"/"}
    out = tmp_path / "bsdtar"
    out.mkdir()
    run(tool("bsdtar"), "-xpf", image, "-C", out, "--exclude", "device", "--exclude", "pipe")
    for path in tree.rglob("*"):
        there = out / path.relative_to(tree)
        if path.is_symlink():
            assert os.readlink(there) == os.readlink(path)
        elif path.is_file():
            assert there.read_bytes() == path.read_bytes() and int(there.stat().st_mtime) == 1_700_000_000
    assert "Path = deep/a/b/c/d/e/f/g/h/file" in run(tool("7z"), "l", "-slt", image).stdout
    assert run(tool("blkid"), "-p", "-o", "value", "-s", "TYPE", image).stdout.strip() == "iso9660"
    assert run(tool("grub-fstest"), image, "cmp", "(loop0)/hello.txt", tree / "hello.txt").returncode == 0


def test_pycdlib_reads_ours(imgcore_cli: Cli, tree: Path, tmp_path: Path) -> None:
    pycdlib = pytest.importorskip("pycdlib")
    image = tmp_path / "o.iso"
    assert imgcore_cli("pack", "-O", "joliet=long", tree, image).code == 0
    opened = pycdlib.PyCdlib()
    opened.open(str(image))
    found = {os.path.join(top, name) for top, dirs, files in opened.walk(rr_path="/") for name in (*dirs, *files)}
    opened.close()
    assert found == {f"/{path.relative_to(tree)}" for path in tree.rglob("*")}


def test_the_same_bytes_twice_and_from_a_copy(imgcore_cli: Cli, tree: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-a", tree, tmp_path / "copy"], check=True)
    sums = set()
    for number, source in enumerate((tree, tmp_path / "copy", tree)):
        image = tmp_path / f"{number}.iso"
        assert (
            imgcore_cli("iso", "create", "--no-sync", "-q", source, image, "--joliet", "long", "--digest", "isomd5").code == 0
        )
        sums.add(hashlib.sha256(image.read_bytes()).digest())
    assert len(sums) == 1


THEIRS = {
    "xorriso": ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-V", "THEIRS", "-o"],
    "xorriso, Joliet and long names": [
        "xorriso",
        "-as",
        "mkisofs",
        "-quiet",
        "-R",
        "-J",
        "-joliet-long",
        "-iso-level",
        "4",
        "-o",
    ],
    "xorriso, 1.12": ["xorriso", "-compliance", "only_iso_9660:only_rrip112", "-as", "mkisofs", "-quiet", "-o"],
    "genisoimage": ["genisoimage", "-quiet", "-R", "-J", "-o"],
    "genisoimage, relocated": ["genisoimage", "-quiet", "-r", "-o"],
    "xorriso, without deep relocation": ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-D", "-o"],
}


@pytest.mark.parametrize("words", THEIRS.values(), ids=THEIRS)
def test_we_read_theirs(words: list[str], tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "theirs.iso"
    if "-compliance" in words:
        words = [word for word in words if word not in ("-compliance", "only_iso_9660:only_rrip112")]
    run(tool(words[0]), *words[1:], image, tree)
    with open_source(image) as source:
        ours, theirs = scan(tree), source.tree
        left = [change for change in diff(ours, theirs) if not _expected(change.kind, change.path, words)]
        assert left == []


def _expected(kind: str, path: bytes, words: list[str]) -> bool:
    """What those programs do otherwise: times below a second, owners with -r, the place of relocated directories."""
    return kind == "mtime" or path.startswith(b"/rr_moved") or ("-r" in words and kind in ("uid", "gid", "mode", "owner"))


@pytest.mark.parametrize("words", [["-J"], ["-J", "-joliet-long"], []], ids=["Joliet", "long Joliet", "plain"])
def test_trees_without_rock_ridge(words: list[str], tree: Path, tmp_path: Path) -> None:
    image = tmp_path / "theirs.iso"
    plain = tmp_path / "plain"
    (plain / "dir").mkdir(parents=True)
    (plain / "dir/Some File.Text").write_text("one")
    (plain / "readme").write_text("two")
    run(tool("genisoimage"), "-quiet", *words, "-o", image, plain)
    with open_source(image) as source:
        found = {path: node.content.read_at(0, 9) for path, node in source.tree.walk() if isinstance(node, File)}
    if words:
        assert found == {b"/dir/Some File.Text": b"one", b"/readme": b"two"}
    else:
        assert sorted(found.values()) == [b"one", b"two"] and b"/readme" in found


def test_the_last_session_is_what_is_seen(tmp_path: Path) -> None:
    for name, files in (("a", ["one"]), ("b", ["two", "three"])):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(file)
    first, second = tmp_path / "first.iso", tmp_path / "second.iso"
    run(tool("genisoimage"), "-quiet", "-R", "-o", first, tmp_path / "a")
    start = -(-(first.stat().st_size // 2048) // 16) * 16
    run(tool("genisoimage"), "-quiet", "-R", "-C", f"0,{start}", "-M", first, "-o", second, tmp_path / "b")
    both = first.read_bytes().ljust(start * 2048, b"\0") + second.read_bytes()
    (tmp_path / "both.iso").write_bytes(both)
    with open_source(str(tmp_path / "both.iso")) as source:
        found = {path: node.content.read_at(0, 9) for path, node in source.tree.walk() if isinstance(node, File)}
    assert found == {b"/one": b"one", b"/two": b"two", b"/three": b"three"}
    assert findings(tmp_path / "both.iso") == []
    old = iso9660.IsoImage(FileBlob(tmp_path / "both.iso"), Limits.default(), session=0)
    assert [path for path, _ in old.tree.walk()] == [b"/", b"/one"]


def test_a_change_shares_what_stays_where_the_file_system_can(imgcore_cli: Cli, tmp_path: Path) -> None:
    disk, place = tmp_path / "disk", tmp_path / "xfs"
    with disk.open("wb") as stream:
        stream.truncate(400 << 20)
    run(tool("mkfs.xfs"), "-q", disk)
    place.mkdir()
    if run("mount", "-o", "loop", disk, place, ok=False).returncode != 0:
        missing("XFS cannot be mounted here")
    try:
        (tmp_path / "t").mkdir()
        (tmp_path / "t/large").write_bytes(os.urandom(100 << 20))
        (tmp_path / "small").write_bytes(b"x" * 2048)
        image, new = place / "a.iso", place / "b.iso"
        assert imgcore_cli("pack", "-q", tmp_path / "t", image).code == 0
        before = os.statvfs(place).f_bfree
        assert imgcore_cli("iso", "modify", "-q", image, new, "--add", f"{tmp_path / 'small'}:/small").code == 0
        used = (before - os.statvfs(place).f_bfree) * os.statvfs(place).f_frsize
        assert new.stat().st_size > 100 << 20 and used < 4 << 20
        assert findings(new) == []
    finally:
        run("umount", place)


def test_zisofs(tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.mkdir()
    (place / "text").write_text("all work and no play\n" * 20000)
    (place / "noise").write_bytes(os.urandom(70000))
    image = tmp_path / "z.iso"
    words = ["-outdev", image, "-zisofs", "level=9", "-map", place, "/", "-set_filter", "--zisofs", "/text", "--"]
    run(tool("xorriso"), *words)
    with open_source(image) as source:
        node = source.tree["/text"]
        assert isinstance(node, File)
        assert node.content.size == 420000 and node.content.read_at(210000, 21) == b"all work and no play\n"
        assert node.content.read_at(0, 1 << 20) == (place / "text").read_bytes()


# Boot


def make(imgcore_cli: Cli, preset: str, image: Path, *more: str) -> tuple[Path, Path]:
    """Write an image of a preset; return the tree and the ESP's files."""
    tree, esp = boot_tree(uki=preset == "uki")
    words: list[str | Path] = ["--preset", preset, "--esp", esp, "--volume-id", "LIVE"]
    loader = PRESETS[preset]
    if loader:
        path = "isolinux/isolinux.bin" if loader[0] == "isolinux" else "boot/grub/eltorito.img"
        words += ["--bios", path, "--mbr", hybrid_mbr(loader[1])]
    result = imgcore_cli("iso", "create", "-q", "--no-sync", "--verify", *words, *more, tree, image)
    assert result.code == 0, result.err
    return tree, esp


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(imgcore_cli: Cli, preset: str, tmp_path: Path) -> None:
    image = tmp_path / "o.iso"
    tree, _ = make(imgcore_cli, preset, image)
    assert findings(image) == []
    reports = ["-report_el_torito", "plain", "-report_system_area", "plain"]
    for newest in (False, True):
        said = run(tool("xorriso", newest=newest), "-indev", image, *reports).stdout
        assert "El Torito boot img :   1  " + ("BIOS" if PRESETS[preset] else "UEFI") in said
    if preset not in ("debian", "talos"):
        for checker in (["sgdisk", "-v"], ["sfdisk", "-V"]):
            done = run(tool(checker[0]), checker[1], image)
            assert "No problems found" in done.stdout or "No errors detected" in done.stdout
            assert "arning" not in done.stdout + done.stderr
    assert run(tool("grub-fstest"), image, "cmp", "(loop0)/hello.txt", tree / "hello.txt").returncode == 0
    at = esp_offset(image)
    (tmp_path / "esp").write_bytes(image.read_bytes()[at:])
    assert "BOOTX64" in run(tool("mdir"), "-/", "-b", "-i", f"{image}@@{at}", "::/").stdout.upper()
    with FileBlob(image) as blob:
        boots = {one.name: one.boots for one in lint_iso(blob)}
    assert boots == {name: bool(PRESETS[preset]) if "bios" in name else True for name in boots}


@pytest.mark.parametrize("digest", ["isomd5", "tagmedia"])
def test_media_digests(imgcore_cli: Cli, digest: str, tmp_path: Path) -> None:
    image = tmp_path / "o.iso"
    make(imgcore_cli, "fedora", image, "--digest", digest)
    assert findings(image) == []
    if digest == "isomd5":
        assert run(tool("checkisomd5"), "--md5sumonly", image, ok=False).returncode in (0, 1)
        assert "PASS" in run(tool("checkisomd5"), image).stderr + run(tool("checkisomd5"), image).stdout
        other = tmp_path / "implanted.iso"
        make(imgcore_cli, "fedora", other)
        run(tool("implantisomd5"), other)
        assert other.read_bytes() == image.read_bytes()
    assert imgcore_cli("iso", "modify", image, tmp_path / "n.iso", "--remove", "/old").code == 0
    assert findings(tmp_path / "n.iso") == []
    broken = bytearray(image.read_bytes())
    broken[-600000] ^= 1
    (tmp_path / "b.iso").write_bytes(broken)
    assert "digest" in " ".join(findings(tmp_path / "b.iso"))


VENDORS = {
    "Elemental": (
        "native",
        "-volid LIVE -padding 0 -outdev {out} -map {tree} / -chmod 0755 -- -append_partition 2 0xef {esp} -boot_image any"
        " cat_path=boot/boot.catalog -boot_image any cat_hidden=on -boot_image any"
        " efi_path=--interval:appended_partition_2:all:: -boot_image any platform_id=0xef -boot_image any"
        " appended_part_as=gpt -boot_image any partition_offset=16",
    ),
    "Fedora": (
        "mkisofs",
        "-o {out} -R -J -V LIVE --grub2-mbr {grub} -partition_offset 16 -appended_part_as_gpt -append_partition 2"
        " C12A7328-F81F-11D2-BA4B-00A0C93EC93B {esp} -iso_mbr_part_type EBD0A0A2-B9E5-4433-87C0-68B6B72699C7 -c boot.cat"
        " --boot-catalog-hide -b boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info"
        " -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot {tree}",
    ),
    "Debian": (
        "mkisofs",
        "-V LIVE -o {out} -J -joliet-long -isohybrid-mbr {isolinux} -b isolinux/isolinux.bin -c isolinux/boot.cat"
        " -boot-load-size 4 -boot-info-table -no-emul-boot -eltorito-alt-boot -e boot/grub/efi.img -no-emul-boot"
        " -isohybrid-gpt-basdat {tree}",
    ),
    "Talos": (
        "mkisofs",
        "-V LIVE -o {out} -R -partition_cyl_align all -partition_offset 16 -iso_mbr_part_type 0x83 -append_partition 2 0xef"
        " {esp} -eltorito-platform efi -e --interval:appended_partition_2:all:: -no-emul-boot {tree}",
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_images_of_vendors_are_read_linted_and_changed(imgcore_cli: Cli, vendor: str, tmp_path: Path) -> None:
    tree, esp = boot_tree()
    mine = tmp_path / "tree"
    subprocess.run(["cp", "-a", tree, mine], check=True)
    fat = tmp_path / "esp.img"
    assert imgcore_cli("pack", "-q", "--format", "fat", "-O", "size=4M", esp, fat).code == 0
    if vendor == "Debian":
        subprocess.run(["cp", fat, mine / "boot/grub/efi.img"], check=True)
    image = tmp_path / "theirs.iso"
    kind, text = VENDORS[vendor]
    places = {"out": image, "tree": mine, "esp": fat, "grub": hybrid_mbr("grub2"), "isolinux": hybrid_mbr("isolinux")}
    words = text.format(**places).split()
    run(tool("xorriso"), *(["-as", "mkisofs", "-quiet"] if kind == "mkisofs" else []), *words)
    with FileBlob(image) as blob:
        before = {one.name: one.boots for one in lint_iso(blob)}
    assert before["uefi-cd"] and before["uefi-usb"]
    same = tmp_path / "same.iso"
    assert imgcore_cli("iso", "modify", image, same).code == 0
    assert same.read_bytes() == image.read_bytes()
    extra = tmp_path / "site.yaml"
    extra.write_text("a: 1\n")
    new = tmp_path / "new.iso"
    done = imgcore_cli(
        "iso", "modify", image, new, "--add", f"{extra}:/config/site.yaml", "--esp-add", f"{extra}:/loader/x.conf"
    )
    assert done.code == 0, done.err
    with FileBlob(new) as blob:
        assert {one.name: one.boots for one in lint_iso(blob)} == before
    with open_source(image) as old, open_source(new) as changed:
        kept = {path: _what(node) for path, node in old.tree.walk()}
        now = {path: _what(node) for path, node in changed.tree.walk()}
    wanted = {**kept, b"/config": "Dir", b"/config/site.yaml": hashlib.sha256(b"a: 1\n").hexdigest()}
    moving = {b"/boot/grub/efi.img"}  # the ESP of this layout is a file
    moving |= {path for path in kept if path.endswith((b"boot.cat", b".catalog", b"boot.cat"))}
    assert {path: what for path, what in now.items() if path not in moving} == {
        path: what for path, what in wanted.items() if path not in moving
    }
    assert "/config/site.yaml" in xorriso_names(new)
    if vendor in ("Elemental", "Fedora"):
        assert "No problems found" in run(tool("sgdisk"), "-v", new).stdout
    assert "x.conf" in run(tool("mdir"), "-b", "-i", f"{new}@@{esp_offset(new)}", "::/loader").stdout


def _what(node: object) -> str:
    if isinstance(node, File):
        return hashlib.sha256(node.content.read_at(0, node.content.size)).hexdigest()
    return f"-> {node.target!r}" if isinstance(node, Symlink) else type(node).__name__


def test_a_file_above_four_gibibytes(imgcore_cli: Cli, tmp_path: Path) -> None:
    big = tmp_path / "t/big"
    big.parent.mkdir()
    size = (4 << 30) + 12345
    with big.open("wb") as stream:
        stream.truncate(size)
        stream.seek((4 << 30) - 2)
        stream.write(b"over the edge")
    image = tmp_path / "o.iso"
    sink = _SparseSink(image)
    with sink:
        iso9660.FORMAT.write(scan(tmp_path / "t"), sink, iso9660.Options(), Control(), get_engine("pure"))
    with open_source(image) as source:
        node = source.tree["/big"]
        assert isinstance(node, File)
        assert node.content.size == size and node.content.read_at((4 << 30) - 2, 13) == b"over the edge"
    assert str(size) in run(tool("xorriso"), "-indev", image, "-lsl", "/big").stdout
    assert findings(image) == []


class _SparseSink:
    """A sink that leaves holes where there are zeros, so that a large image takes little room."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("w+b")
        self.position = 0

    def append(self, data: bytes | memoryview) -> int:
        at = self.position
        if any(data) if len(data) < 4096 else bytes(data).count(0) != len(data):
            self._stream.seek(at)
            self._stream.write(data)
        self.position += len(data)
        self._stream.truncate(self.position)
        return at

    def patch(self, at: int, data: bytes) -> None:
        self._stream.seek(at)
        self._stream.write(data)

    def read_back(self, at: int, size: int) -> bytes:
        self._stream.seek(at)
        return self._stream.read(size)

    def __enter__(self) -> _SparseSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()


def test_a_tree_is_read_from_a_partition_too(imgcore_cli: Cli, tmp_path: Path) -> None:
    image = tmp_path / "o.iso"
    tree, _ = make(imgcore_cli, "elemental", image)
    with FileBlob(image) as blob:
        opened = iso9660.IsoImage(blob, Limits.default(), base=16)
        left = [change for change in diff(scan(tree), opened.tree) if change.kind != "mtime"]
        assert left == [] and isinstance(opened.tree, Tree)


def test_a_link_that_genisoimage_breaks_hides_no_other_name(imgcore_cli: Cli, tmp_path: Path) -> None:
    """The length of its SL entry wraps: Linux lists the directory all the same."""
    (tmp_path / "tree/x").mkdir(parents=True)
    (tmp_path / "tree/x/long").symlink_to("x" * 1000)
    (tmp_path / "tree/x/good").write_text("good")
    image = tmp_path / "g.iso"
    run(tool("genisoimage"), "-quiet", "-r", "-o", image, tmp_path / "tree")
    assert imgcore_cli("cat", image, "/x/good").out == "good"
    listed = imgcore_cli("ls", image, "/x")
    assert listed.code == 3 and "good" in listed.out and "/x/long" in listed.err
    assert imgcore_cli("iso", "modify", image, tmp_path / "o.iso", "--volume-id", "NEW").code == 0
    assert imgcore_cli("check", image).code == 1
