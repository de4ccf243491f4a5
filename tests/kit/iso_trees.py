"""Trees and boot files for ISO tests, and what other programs say of an image."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.kit.oracles import missing, run, tool

__all__ = ["boot_tree", "esp_offset", "fill", "hybrid_mbr", "xorriso_names"]

TOP = Path(__file__).parents[2]


def fill(place: Path) -> Path:
    """Make a tree with a node of every kind that an ISO with Rock Ridge holds."""
    (place / "deep/a/b/c/d/e/f/g/h").mkdir(parents=True)
    (place / "deep/a/b/c/d/e/f/g/h/file").write_text("deep\n")
    (place / "hello.txt").write_text("hello\n")
    (place / "Long file name with blanks.tar.gz").write_bytes(b"z" * 5000)
    (place / "noext").write_text("x")
    (place / ".hidden").write_text("h")
    for name in ("foo.TXT", "foo.txt", "FOO.TXT"):
        (place / name).write_text(name)
    (place / ("n" * 200)).write_text("long")
    (place / "empty").touch()
    (place / "link").symlink_to("hello.txt")
    (place / "odd").symlink_to("deep/./../hello.txt")
    os.mkfifo(place / "pipe")
    many = place / "many"
    many.mkdir()
    for number in range(150):
        (many / f"file number {number:03}.data").write_text(str(number))
    if os.geteuid() == 0:
        os.mknod(place / "device", 0o20600, os.makedev(5, 1))
        os.chown(place / "hello.txt", 1000, 100)
    (place / "hello.txt").chmod(0o640)
    for path in [place, *place.rglob("*")]:
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    return place


@functools.cache
def _boot_tree(uki: bool) -> tuple[Path, Path]:
    """Make a boot tree once for all tests of this process."""
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="imgcore-boot-"))
    words = [sys.executable, str(TOP / "tools/make-boot-tree"), str(place / "tree"), str(place / "esp")]
    done = subprocess.run([*words, *(["--uki"] if uki else [])], capture_output=True, text=True, cwd=TOP, check=False)
    if done.returncode != 0:
        raise AssertionError(f"make-boot-tree ended with {done.returncode}: {done.stderr[-2000:]}")
    return place / "tree", place / "esp"


def boot_tree(*, uki: bool = False) -> tuple[Path, Path]:
    """Return a tree that boots and the files of its EFI system partition; skips where programs are missing."""
    for name in ("grub-mkimage", "busybox", "objcopy", "dpkg-deb"):
        tool(name)
    if not Path("/usr/lib/ISOLINUX/isolinux.bin").exists():
        missing("isolinux is not installed")
    return _boot_tree(uki)


def hybrid_mbr(kind: str) -> Path:
    """Return the code of isolinux or GRUB for the first sector."""
    path = Path({"grub2": "/usr/lib/grub/i386-pc/boot_hybrid.img", "isolinux": "/usr/lib/ISOLINUX/isohdpfx.bin"}[kind])
    return path if path.exists() else missing(f"{path} is not there")


def xorriso_names(image: Path) -> set[str]:
    """Return the paths that xorriso sees."""
    said = run(tool("xorriso"), "-indev", image, "-find", "/").stdout
    return {line.strip().strip("'") for line in said.splitlines() if line.startswith("'/")}


def esp_offset(image: Path) -> int:
    """Return where sfdisk sees the EFI system partition."""
    table = json.loads(run(tool("sfdisk"), "--json", image).stdout)["partitiontable"]
    wanted = ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "ef")
    starts: list[int] = [int(one["start"]) * 512 for one in table["partitions"] if one["type"].lower() in wanted]
    return starts[0]
