#!/usr/bin/env python3
"""Pack directories with `imgcore pack` and with `mksquashfs`, in turn, and put time, CPU, memory and size side by side.

    benchmarks/compare.py -c zstd:3 -c lz4 --rounds 3 --json result.json /usr/include /usr/lib/python3

Each round runs one program and then the other, so both see the same machine; a ratio is that of one round. See
README.md for what this measures and what it does not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THEIR_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 23), "lz4": (12,)}  # xz and lzo have none in common
MEASURES = ("wall_s", "cpu_s", "peak_rss_mib", "size_mib")


@dataclass(frozen=True)
class Measured:
    """What one run took. `cpu_s` is user and system time of all threads; `peak_rss_mib` that of the largest process."""

    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    size_mib: float


@dataclass(frozen=True)
class Codec:
    """A compression as both programs know it."""

    name: str
    level: int | None

    @classmethod
    def parse(cls, text: str) -> Codec:
        name, colon, level = text.partition(":")
        if name not in ("gzip", "zstd", "xz", "lz4", "lzo"):
            raise argparse.ArgumentTypeError(f"no codec of both: {name}")
        if not colon:
            return cls(name, None)
        if not level.isdecimal() or int(level) not in THEIR_LEVELS.get(name, ()):
            raise argparse.ArgumentTypeError(f"no level of both: {text}")
        return cls(name, int(level))

    def __str__(self) -> str:
        return self.name if self.level is None else f"{self.name}:{self.level}"

    def theirs(self) -> list[str]:
        """Return the options of mksquashfs."""
        if self.level is None:
            return ["-comp", self.name]
        if self.name == "lz4":  # mksquashfs has the highest level only
            return ["-comp", "lz4", "-Xhc"]
        return ["-comp", self.name, "-Xcompression-level", str(self.level)]


def commands(options: argparse.Namespace, codec: Codec, source: Path, images: tuple[Path, Path]) -> tuple[list[str], list[str]]:
    """Return both command lines, ours first."""
    ours = [*options.imgcore, "pack", "--format", "squashfs", "-c", str(codec), "-b", str(options.block_size)]
    ours += ["-j", str(options.jobs), "--no-sync", "--quiet", str(source), str(images[0])]
    theirs = [options.mksquashfs, str(source), str(images[1]), "-noappend", "-no-progress", "-quiet"]
    theirs += ["-b", str(options.block_size), "-processors", str(options.jobs), *codec.theirs()]
    return ours, theirs


def surround(scratch: Path) -> dict[str, str]:
    """Return the environment of all runs: this checkout, its modules compiled once as those of an installed package are."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(places), "PYTHONPYCACHEPREFIX": str(scratch / "pycache")}


def measure(command: list[str], image: Path, log: Path, environment: dict[str, str]) -> Measured:
    """Run a program that writes `image`, which is deleted."""
    redirect = [
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    started = time.monotonic()
    pid = os.posix_spawnp(command[0], command, environment, file_actions=redirect)
    _, status, used = os.wait4(pid, 0)
    wall = time.monotonic() - started
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{shlex.join(command)} failed:\n{log.read_text(errors='replace')}")
    size = image.stat().st_size
    image.unlink()
    return Measured(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, size / (1 << 20))


def read_all(root: Path) -> int:
    """Read every file once, so that no run finds a colder cache than another; return the number of bytes."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb", buffering=0) as stream:
                    while chunk := stream.read(1 << 20):
                        total += len(chunk)
    return total


def summary(pairs: list[tuple[Measured, Measured]]) -> dict[str, dict[str, float]]:
    """Return, for each measure, both medians and the ratios ours / theirs of the rounds."""
    out = {}
    for name in MEASURES:
        ours, theirs = ([getattr(pair[side], name) for pair in pairs] for side in (0, 1))
        ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
        out[name] = {
            "imgcore": statistics.median(ours),
            "mksquashfs": statistics.median(theirs),
            "ratio_min": min(ratios),
            "ratio": statistics.median(ratios),
            "ratio_max": max(ratios),
        }
    return out


def show(title: str, found: dict[str, dict[str, float]]) -> None:
    """Print the lines of one directory and codec."""
    for name, row in found.items():
        ratios = f"{row['ratio_min']:6.2f} {row['ratio']:6.2f} {row['ratio_max']:6.2f}"
        print(f"{title:32} {name:13} {row['imgcore']:10.2f} {row['mksquashfs']:10.2f}   {ratios}", flush=True)
        title = ""


def first_line(*command: str) -> str:
    """Return the first line that a program prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return (done.stdout or done.stderr).partition("\n")[0]


def processor() -> str:
    """Return the name of the processor."""
    with Path("/proc/cpuinfo").open() as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def surroundings(options: argparse.Namespace) -> dict[str, object]:
    """Return where and with what this ran."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor(),
        "processors_allowed": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mksquashfs": first_line(options.mksquashfs, "-version"),
        "imgcore": json.loads(first_line(*options.imgcore, "doctor", "--json")),
        "jobs": options.jobs,
        "block_size": options.block_size,
        "rounds": options.rounds,
    }


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directories", nargs="+", type=Path, metavar="DIRECTORY")
    parser.add_argument("-c", "--codec", action="append", type=Codec.parse, metavar="CODEC[:LEVEL]", help="default: zstd:15")
    parser.add_argument("-b", "--block-size", type=int, default=128 << 10, metavar="BYTES")
    parser.add_argument("-j", "--jobs", type=int, default=len(os.sched_getaffinity(0)), metavar="N")
    parser.add_argument("-n", "--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--imgcore", type=shlex.split, default=[sys.executable, "-m", "imgcore"], metavar="COMMAND")
    parser.add_argument("--mksquashfs", default="mksquashfs", metavar="PROGRAM")
    parser.add_argument("--scratch", type=Path, metavar="DIRECTORY", help="where images are written; default: TMPDIR")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    options = parser.parse_args()
    if shutil.which(options.mksquashfs) is None:
        parser.error(f"{options.mksquashfs} is not installed")
    if options.rounds < 1 or options.jobs < 1:
        parser.error("rounds and jobs are at least 1")
    options.codec = options.codec or [Codec("zstd", 15)]
    return options


def main() -> int:
    """Run, print, write."""
    options = arguments()
    print(f"{'medians':32} {'measure':13} {'imgcore':>10} {'mksquashfs':>10}   {'ratio: min median max':>20}")
    cases = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        images = Path(scratch, "ours.squashfs"), Path(scratch, "theirs.squashfs")
        log, environment = Path(scratch, "log"), surround(Path(scratch))
        for source in options.directories:
            content = read_all(source)
            measure(commands(options, Codec("lz4", None), source, images)[0], images[0], log, environment)  # compiles modules
            for codec in options.codec:
                ours, theirs = commands(options, codec, source, images)
                pairs = []
                for _ in range(options.rounds):
                    pairs.append((measure(ours, images[0], log, environment), measure(theirs, images[1], log, environment)))
                found = summary(pairs)
                show(f"{source} {codec}", found)
                runs = [{"imgcore": asdict(one), "mksquashfs": asdict(two)} for one, two in pairs]
                case = {"directory": str(source), "content_bytes": content, "codec": str(codec), "summary": found, "runs": runs}
                cases.append({**case, "commands": [shlex.join(ours), shlex.join(theirs)]})
    if options.json is not None:
        options.json.write_text(json.dumps({"schema": 1, **surroundings(options), "cases": cases}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
