"""Disk images with verity, side by side with bare squashfs and veritysetup in one run.

    python benchmarks/ddi.py --tree DIR [--size 1G]

How much longer a DDI with verity takes than its file system alone (whole processes, in turns, ratios of medians), and how a
hash tree over a file of `--size` compares with `veritysetup format` (Debian's cryptsetup-bin). Everything is written with
`--no-sync`, read from the page cache.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from imgcore.limits import parse_size

ROUNDS = 5
TREE = """
import sys
from imgcore.blob import FileBlob
from imgcore.disk.verity import VerityOptions, hash_tree
with FileBlob(sys.argv[1]) as blob:
    made = hash_tree(blob, VerityOptions(bytes(32)), jobs=int(sys.argv[3]))
open(sys.argv[2], "wb").write(made.area)
"""


def timed(command: list[str], out: Path) -> float:
    """Run a command that writes `out`; return seconds."""
    out.unlink(missing_ok=True)
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def compare(title: str, runs: dict[str, Callable[[], float]]) -> None:
    """Measure in turns; print medians, and the ratio of each to the last."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            found[name].append(run())
    medians = {name: statistics.median(times) for name, times in found.items()}
    base = list(medians.values())[-1]
    print(title)
    for name, median in medians.items():
        print(f"  {name:32} {median:8.2f} s   {median / base:5.2f}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--size", default="1G")
    parser.add_argument("--compression", default="zstd:15")
    arguments = parser.parse_args()
    imgcore = [sys.executable, "-m", "imgcore"]
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        bare, disk, data, area = (top / name for name in ("bare.raw", "disk.raw", "data", "area"))
        pack = [*imgcore, "pack", str(arguments.tree), str(bare), "--no-sync", "-c", arguments.compression]
        ddi = [*imgcore, "ddi", "build", str(arguments.tree), "-o", str(disk), "--kind", "portable", "--verity", "--no-sync"]
        ddi += ["-c", arguments.compression, "--owner", "keep"]
        compare(
            f"a tree, {arguments.compression}",
            {"ddi build --verity": lambda: timed(ddi, disk), "pack": lambda: timed(pack, bare)},
        )
        with open(data, "wb") as file:
            for _ in range(parse_size(arguments.size) >> 20):
                file.write(os.urandom(1 << 20))
        salt = ["--salt", "00" * 32]
        compare(
            f"a hash tree over {arguments.size}",
            {
                "imgcore, two threads": lambda: timed([sys.executable, "-c", TREE, str(data), str(area), "2"], area),
                "imgcore, one thread": lambda: timed([sys.executable, "-c", TREE, str(data), str(area), "1"], area),
                "veritysetup format": lambda: timed(["veritysetup", "format", *salt, str(data), str(area)], area),
            },
        )


if __name__ == "__main__":
    main()
