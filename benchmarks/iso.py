"""ISO 9660, side by side with xorriso, pycdlib and cp in one run: `python benchmarks/iso.py [--size 4G] [--files 100000]`.

Each measurement is a whole process, in turns, and what counts is the ratio of medians. Written with `--no-sync`, read from the
page cache. Needs xorriso (of Debian sid: IMGCORE_NEWEST_ORACLES), pycdlib, and some times `--size` of room in `--dir`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from imgcore.build.in_place import hold
from imgcore.build.iso_modify import Add, modify
from imgcore.hosts import node_at
from imgcore.limits import parse_size

ROUNDS = 3
IMGCORE = [sys.executable, "-m", "imgcore"]
PYCDLIB = """
import os, sys, pycdlib
iso = pycdlib.PyCdlib()
iso.new(rock_ridge='1.09', interchange_level=3)
number = 0
for name in sorted(os.listdir(sys.argv[1])):
    number += 1
    above = '/D%07d' % number
    iso.add_directory(above, rr_name=name)
    for below in os.listdir(os.path.join(sys.argv[1], name)):
        number += 1
        iso.add_file(os.path.join(sys.argv[1], name, below), above + '/F%07d.;1' % number, rr_name=below)
iso.write(sys.argv[2])
"""


def measure(command: Sequence[str | Path], *, clean: Path | None = None) -> tuple[float, float]:
    """Run a command; return seconds and MiB at most."""
    if clean is not None:
        shutil.rmtree(clean) if clean.is_dir() else clean.unlink(missing_ok=True)
    started = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def compare(title: str, runs: dict[str, Callable[[], tuple[float, float]]]) -> None:
    """Measure in turns, and print medians and ratios to the others."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, work in runs.items():
            found[name].append(work())
    ours = statistics.median(one[0] for one in found["imgcore"])
    for name, values in found.items():
        seconds = statistics.median(one[0] for one in values)
        ratio = "" if name == "imgcore" else f", imgcore / {name} {ours / seconds:.2f}"
        print(f"{title}: {name} {seconds:.3f} s, {max(one[1] for one in values):.0f} MiB{ratio}", flush=True)


def large(place: Path, size: int, xorriso: str) -> None:
    """Write, graft into and change an image of few large files."""
    tree = place / "large"
    (tree / "live").mkdir(parents=True)
    for number in range(4):
        with (tree / f"live/{number}.img").open("wb") as stream:
            for _ in range(size // 4 >> 20):
                stream.write(os.urandom(1 << 20))
    ours, theirs, copy = place / "ours.iso", place / "theirs.iso", place / "copy"
    pack = [*IMGCORE, "pack", "-q", "--no-sync", "--force", tree, ours]
    other = [xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", theirs, tree]
    compare(
        "write",
        {
            "imgcore": lambda: measure(pack, clean=ours),
            "xorriso": lambda: measure(other, clean=theirs),
            "cp": lambda: measure(["cp", "-r", "--reflink=never", tree, copy], clean=copy),
        },
    )
    small = place / "small"
    small.write_bytes(os.urandom(2048))
    new, replayed = place / "new.iso", place / "replayed.iso"
    # Nothing in it boots, so that there is nothing to replay.
    replay = [xorriso, "-indev", f"stdio:{ours}", "-outdev", f"stdio:{replayed}", "-map", small, "/new"]
    change = [*IMGCORE, "iso", "modify", "-q", "--no-sync", "--force", ours, new, "--add", f"{small}:/new"]
    in_place = [*IMGCORE, "iso", "modify", "-q", ours, "--in-place", "--add", f"{small}:/new"]
    shutil.rmtree(copy, ignore_errors=True)
    compare("change", {"imgcore": lambda: measure(change, clean=new), "replay": lambda: measure(replay, clean=replayed)})
    compare("change in place", {"imgcore": lambda: measure(in_place), "replay": lambda: measure(replay, clean=replayed)})
    for number in range(3):
        started = time.perf_counter()
        with hold(ours) as held:
            result = modify(held.blob, [Add(b"/config/%d" % number, node_at(small))])
            held.apply(result.size, result.patches)
        print(f"graft by the API: {1000 * (time.perf_counter() - started):.1f} ms", flush=True)
    shutil.rmtree(tree)
    for one in (ours, theirs, new, replayed):
        one.unlink(missing_ok=True)


def small(place: Path, files: int, xorriso: str) -> None:
    """Write many small files, and read one out of the image."""
    tree = place / "small-files"
    for number in range(files):
        above = tree / f"directory-{number // 500:05}"
        if number % 500 == 0:
            above.mkdir(parents=True)
        (above / f"file-number-{number:07}.dat").write_bytes(b"x" * (100 + number % 997))
    ours, theirs, third = place / "ours.iso", place / "theirs.iso", place / "third.iso"
    compare(
        f"{files} files",
        {
            "imgcore": lambda: measure([*IMGCORE, "pack", "-q", "--no-sync", tree, ours], clean=ours),
            "xorriso": lambda: measure([xorriso, "-as", "mkisofs", "-quiet", "-R", "-o", theirs, tree], clean=theirs),
            "pycdlib": lambda: measure([sys.executable, "-c", PYCDLIB, tree, third], clean=third),
        },
    )
    name = "/directory-00000/file-number-0000007.dat"
    compare("read one file", {"imgcore": lambda: measure([*IMGCORE, "cat", ours, name])})


def main() -> None:
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=parse_size, default=4 << 30)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    said = parser.parse_args()
    newest = os.environ.get("IMGCORE_NEWEST_ORACLES")
    xorriso = shutil.which("xorriso", path=f"{newest}/bin" if newest else None) or shutil.which("xorriso")
    if xorriso is None:
        sys.exit("xorriso is not installed")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(dir=said.dir) as place:
        small(Path(place), 20_000, xorriso)
    with tempfile.TemporaryDirectory(dir=said.dir) as place:
        small(Path(place), said.files, xorriso)
    with tempfile.TemporaryDirectory(dir=said.dir) as place:
        large(Path(place), said.size, xorriso)


if __name__ == "__main__":
    main()
