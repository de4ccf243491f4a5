#!/usr/bin/env python3
"""How much of an image stays when its source changes a little: what an update has to carry.

    benchmarks/delta.py DIR [-c zstd:15] [--peer mksquashfs] [--json]

Makes copies of DIR with small changes, packs each with imgcore and with mksquashfs, and prints how much of the new
image is in the old one, in three ways: 4 KiB blocks at the same place (a block-wise update in place), 4 KiB blocks
anywhere (a store of blocks), and 4 KiB blocks of the old image found at any byte of the new one (zsync, casync).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

BLOCK = 4096
Change = Callable[[Path, list[Path]], None]


def grow_one(top: Path, files: list[Path]) -> None:
    """One file of medium size becomes some bytes longer."""
    with open(files[len(files) // 4], "ab") as stream:
        stream.write(b"\n# a line more\n")


def edit_one(top: Path, files: list[Path]) -> None:
    """Some bytes of one file change."""
    with open(files[len(files) // 3], "r+b") as stream:
        stream.seek(100)
        stream.write(b"CHANGED")


def edit_large(top: Path, files: list[Path]) -> None:
    """Some bytes in the middle of the largest file change."""
    with open(max(files, key=lambda path: path.stat().st_size), "r+b") as stream:
        stream.seek(stream.seek(0, os.SEEK_END) // 2)
        stream.write(b"CHANGED")


def add_one(top: Path, files: list[Path]) -> None:
    """A small file comes."""
    (files[len(files) // 2].parent / "a-new-file").write_bytes(b"new\n" * 500)


def remove_one(top: Path, files: list[Path]) -> None:
    """A file goes."""
    files[len(files) // 5].unlink()


def one_percent(top: Path, files: list[Path]) -> None:
    """Every hundredth file gets a line more."""
    for path in files[::100]:
        with open(path, "ab") as stream:
            stream.write(b"\n# changed\n")


CHANGES: dict[str, Change] = {
    "grow one file": grow_one,
    "edit one file": edit_one,
    "edit the largest file": edit_large,
    "add a file": add_one,
    "remove a file": remove_one,
    "change 1 % of the files": one_percent,
}


def shares(old: bytes, new: bytes) -> tuple[float, float, float]:
    """Return the shares of `new` that are in `old`: in place, block by block anywhere, at any byte."""
    blocks = [old[at : at + BLOCK] for at in range(0, len(old), BLOCK)]
    fresh = [new[at : at + BLOCK] for at in range(0, len(new), BLOCK)]
    in_place = sum(one == two for one, two in zip(blocks, fresh, strict=False)) / len(fresh)
    known = set(blocks)
    anywhere = sum(block in known for block in fresh) / len(fresh)
    covered, hint = bytearray(len(new)), 0
    for block in blocks:
        # What follows a block that was found is most likely where that ended.
        at = hint if new[hint : hint + BLOCK] == block else new.find(block)
        if at >= 0:
            covered[at : at + BLOCK] = b"\1" * len(block)
            hint = at + BLOCK
    return in_place, anywhere, sum(covered) / len(new)


def imgcore(tree: Path, image: Path, compression: str) -> None:
    """Pack with imgcore."""
    command = [sys.executable, "-m", "imgcore", "pack", "-q", "--force", "--no-sync", "-c", compression, tree, image]
    subprocess.run(command, check=True)


def mksquashfs(peer: str) -> Callable[[Path, Path, str], None]:
    """Return what packs with mksquashfs."""

    def pack(tree: Path, image: Path, compression: str) -> None:
        name, _, level = compression.partition(":")
        image.unlink(missing_ok=True)
        options = ["-comp", name, *(["-Xcompression-level", level] if level else []), "-repro", "-noappend", "-quiet"]
        subprocess.run([peer, tree, image, *options, "-no-progress"], check=True)

    return pack


def measure(source: Path, compression: str, peer: str) -> list[dict[str, object]]:
    """Return a row for each change and builder."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for title, change in CHANGES.items():
            before, after = place / "before", place / "after"
            for path in (before, after):
                shutil.rmtree(path, ignore_errors=True)
                shutil.copytree(source, path, symlinks=True)
            files = sorted(path for path in after.rglob("*") if path.is_file() and not path.is_symlink())
            change(after, files)
            for name, pack in (("imgcore", imgcore), ("mksquashfs", mksquashfs(peer))):
                images = []
                for tree in (before, after):
                    pack(tree, place / "image.raw", compression)
                    images.append((place / "image.raw").read_bytes())
                in_place, anywhere, rolling = shares(*images)
                rows.append(
                    {
                        "change": title,
                        "by": name,
                        "size": len(images[1]),
                        "in place": in_place,
                        "blocks": anywhere,
                        "bytes": rolling,
                    }
                )
    return rows


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("-c", "--compression", default="zstd:15")
    parser.add_argument("--peer", default="mksquashfs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.dir.resolve(), arguments.compression, arguments.peer)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'change':<26}{'by':<12}{'size':>12}{'in place':>10}{'blocks':>10}{'bytes':>10}")
    for row in rows:
        text = "".join(f"{100 * float(str(row[key])):>8.1f} %" for key in ("in place", "blocks", "bytes"))
        print(f"{row['change']:<26}{row['by']:<12}{row['size']:>12}{text}")


if __name__ == "__main__":
    main()
