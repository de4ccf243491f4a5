"""Command lines of real builders, run by xorriso and by our shims: the same tree, boot entries, partitions and labels."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imgcore.blob import FileBlob
from imgcore.build.iso_lint import lint_iso
from imgcore.build.source import open_source
from imgcore.cli.shims import mkisofs, xorriso
from imgcore.disk import partitions
from imgcore.disk.mbr import read_mbr
from imgcore.model import File, Symlink
from tests.conftest import Cli
from tests.kit.iso_trees import boot_tree, fill, hybrid_mbr
from tests.kit.oracles import run, tool
from tests.oracle.test_iso9660 import VENDORS

MORE = {
    "Ubuntu": (
        "mkisofs",
        "-o {out} -R -J -joliet-long -V LIVE --grub2-mbr {grub} --protective-msdos-label -partition_cyl_align off"
        " -partition_offset 16 --mbr-force-bootable -append_partition 2 28732ac11ff8d211ba4b00a0c93ec93b {esp}"
        " -appended_part_as_gpt -iso_mbr_part_type a2a0d0ebe5b9334487c068b6b72699c7 -c boot.catalog -b"
        " boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info -eltorito-alt-boot -e"
        " --interval:appended_partition_2::: -no-emul-boot {tree}",
    ),
    "kiwi": (
        "mkisofs",
        "-A 0xfd9bdb45 -p KIWI -publisher SUSE -V CDROM --modification-date=2023111422132000 -o {out} -R -J -joliet-long"
        " -partition_offset 16 -no-pad --sort-weight 0 / --sort-weight 1 /boot -b boot/grub/eltorito.img -no-emul-boot"
        " -boot-load-size 4 -boot-info-table {tree}",
    ),
    "cloud-init": ("mkisofs", "-V cidata -r -J -graft-points -o {out} /user-data={tree}/hello.txt /dir/x={tree}/old"),
}
ALL = {**VENDORS, **MORE}


def told(image: Path) -> dict[str, Any]:
    """Return what an image is, in meaning."""
    with open_source(str(image)) as source, FileBlob(image) as blob:
        assert source.image is not None
        info = source.image.info()
        tree = {}
        for path, node in source.tree.walk():
            size = node.content.size if isinstance(node, File) else node.target if isinstance(node, Symlink) else 0
            tree[path] = (type(node).__name__, node.meta.mode, node.meta.uid, node.meta.gid, size)
        parts = [] if info.get("gpt_problems") else [(one.number, one.role, one.kind) for one in partitions(blob)]
        boots = [(one.name, one.boots) for one in lint_iso(blob)]
        boot: Any = info.get("boot", [])
        entries = [(one["platform"], one["bootable"], one["sectors"]) for one in boot]
        names = ("volume_id", "application", "publisher", "preparer")
        return {"tree": tree, "parts": parts, "boots": boots, "entries": entries, **{name: info.get(name) for name in names}}


@pytest.mark.parametrize("vendor", ALL)
def test_the_same_image_in_meaning(imgcore_cli: Cli, vendor: str, tmp_path: Path) -> None:
    tree, esp = boot_tree()
    mine, fat = tmp_path / "tree", tmp_path / "esp.img"
    subprocess.run(["cp", "-a", tree, mine], check=True)
    (mine / "device").unlink(missing_ok=True)  # xorriso writes its numbers so that Linux reads others
    (mine / "odd-link").unlink()  # and makes `a//b` an absolute link
    assert imgcore_cli("pack", "-q", "--format", "fat", "-O", "size=4M", esp, fat).code == 0
    if vendor == "Debian":
        subprocess.run(["cp", fat, mine / "boot/grub/efi.img"], check=True)
    kind, text = ALL[vendor]
    said = []
    for who in ("theirs", "ours"):
        places = {"tree": mine, "esp": fat, "grub": hybrid_mbr("grub2"), "isolinux": hybrid_mbr("isolinux")}
        words = text.format(out=tmp_path / f"{who}.iso", **places).split()
        if who == "theirs":
            run(tool("xorriso"), *(["-as", "mkisofs", "-quiet"] if kind == "mkisofs" else []), *words)
        elif kind == "mkisofs":
            assert mkisofs.main(words) == 0
        else:
            assert xorriso.main(words) == 0
        said.append(told(tmp_path / f"{who}.iso"))
    theirs, ours = said
    if theirs["preparer"] and theirs["preparer"].startswith("XORRISO"):
        theirs["preparer"] = None  # which names its version
    theirs["parts"] = [one for one in theirs["parts"] if one[0] <= 2]  # it lists padding as a partition
    for one in (theirs, ours):
        one["application"] = (one["application"] or "").lower()  # which xorriso writes in capitals
        one["tree"] = {path: what for path, what in one["tree"].items() if not path.endswith((b".cat", b".catalog"))}
    assert ours == theirs


def test_elementals_extraction_is_a_change(imgcore_cli: Cli, tmp_path: Path) -> None:
    image, new = tmp_path / "a.iso", tmp_path / "b.iso"
    assert imgcore_cli("pack", "-q", fill(tmp_path / "t"), image).code == 0
    extra = tmp_path / "registration.yaml"
    extra.write_text("x: 1\n")
    words = ["-indev", image, "-outdev", new, "-boot_image", "any", "replay", "-map", extra, "/elemental/registration.yaml"]
    assert xorriso.main(list(map(str, words))) == 0
    with open_source(str(image)) as old, open_source(str(new)) as changed:
        names = {path for path, _ in changed.tree.walk()} - {path for path, _ in old.tree.walk()}
    assert names == {b"/elemental", b"/elemental/registration.yaml"}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["-udf", "-o", "x", "."], "-udf: imgcore's mkisofs has no such option"),
        (["-o"], "-o: a word is missing behind it"),
        (["."], "no target"),
        (["-o", "x.iso", "-boot-load-size", "4", "."], "no boot image before it"),
        (["-o", "x.iso", "--gpt_disk_guid", "random", "."], "the same bytes every time"),
        (["-o", "x.iso", "-partition_offset", "32", "."], "0 and 16"),
        (["-o", "x.iso", "-append_partition", "2", "0xef", "/none/esp", "."], "cannot open"),
        (["-o", "x.iso", "-append_partition", "2", "nonsense", "/etc/passwd", "."], "neither a type"),
        (["-o", "x.iso", "-b", "none.img", "."], "no such file in the tree"),
    ],
)
def test_what_is_refused(words: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.chdir(tmp_path):
        assert mkisofs.main(words) != 0
    assert what in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_scripts_stand_for_the_programs(imgcore_cli: Cli, tmp_path: Path) -> None:
    assert imgcore_cli("shims", "--iso", tmp_path / "bin").code == 0
    (tmp_path / "t").mkdir()
    (tmp_path / "t/f").write_text("x")
    done = subprocess.run(
        [tmp_path / "bin/xorriso", "-as", "mkisofs", "-V", "SHIM", "-o", tmp_path / "o.iso", tmp_path / "t"], check=False
    )
    assert done.returncode == 0 and sys.version_info
    assert json.loads(imgcore_cli("iso", "info", "--json", tmp_path / "o.iso").out)["volume_id"] == "SHIM"
    assert imgcore_cli("iso", "mkisofs", "-V", "VERB", "-o", tmp_path / "p.iso", tmp_path / "t").code == 0


EXCLUDES = (
    "-x tree/dir", "-x {here}/tree/dir", "-m ./tree/dir/", "-x dir", "-x /dir", "-x dir/", "-m b.txt", "-m *.txt",
    "-x tree/*.txt", "-x */sub", "-m tree/di?", "-m [ab].txt", "-x tree", "-exclude c.dat", "-m dir/sub",
    "-exclude-list {here}/list",
)  # fmt: skip


@pytest.mark.parametrize("words", EXCLUDES)
def test_what_is_left_out(words: str, tmp_path: Path) -> None:
    for name in ("a.txt", "dir/b.txt", "dir/sub/b.txt", "other/c.dat"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "list").write_text("tree/dir\n*.dat\n")
    found = []
    with contextlib.chdir(tmp_path):
        for sources in ([f"{tmp_path}/tree"], ["tree"], ["-graft-points", "/x=tree", r"w\=q=tree/a.txt"]):
            for who in ("theirs", "ours"):
                line = ["-r", "-o", f"{who}.iso", *words.format(here=tmp_path).split(), *sources]
                if who == "theirs":
                    run(tool("xorriso"), "-as", "mkisofs", "-quiet", *line)
                else:
                    assert mkisofs.main(line) == 0
                with open_source(f"{who}.iso") as source:
                    found.append(sorted(path for path, _ in source.tree.walk()))
                (tmp_path / f"{who}.iso").unlink()
            assert found[-1] == found[-2], (words, sources)


def test_usage_has_its_own_exit_code(imgcore_cli: Cli, tmp_path: Path) -> None:
    for words in (["-o", tmp_path / "x.iso"], ["-o"], ["-udf", "."], ["."]):
        assert imgcore_cli("iso", "mkisofs", *words).code == 2
    assert imgcore_cli("iso", "mkisofs", "-version").code == 0


@pytest.mark.parametrize(
    "words",
    [
        "-isohybrid-mbr {isolinux} -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4"
        " -boot-info-table",
        "--grub2-mbr {grub} -b boot/grub/eltorito.img -no-emul-boot -boot-load-size 4 -boot-info-table --grub2-boot-info"
        " -append_partition 2 0xef {esp} -eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot",
    ],
)
def test_types_of_partitions_and_the_catalog(imgcore_cli: Cli, words: str, tmp_path: Path) -> None:
    tree, esp = boot_tree()
    fat = tmp_path / "esp.img"
    assert imgcore_cli("pack", "-q", "--format", "fat", "-O", "size=4M", esp, fat).code == 0
    places = {"esp": fat, "grub": hybrid_mbr("grub2"), "isolinux": hybrid_mbr("isolinux")}
    found = []
    for who in ("theirs", "ours"):
        line = ["-r", "-o", str(tmp_path / f"{who}.iso"), *words.format(**places).split(), str(tree)]
        if who == "theirs":
            run(tool("xorriso"), "-as", "mkisofs", "-quiet", *line)
        else:
            assert mkisofs.main(line) == 0
        with FileBlob(tmp_path / f"{who}.iso") as blob, open_source(str(tmp_path / f"{who}.iso")) as source:
            catalogs = {path for path, _ in source.tree.walk() if path.endswith((b".cat", b".catalog"))}
            found.append(([(number, one.kind) for number, one in (read_mbr(blob) or {}).items()], catalogs))
    assert found[0] == found[1]
