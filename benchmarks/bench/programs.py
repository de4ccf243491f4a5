"""The programs that are compared: where they are, which they are, and their command lines for the same work."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.measure import ROOT

_LEVELS = {"gzip": range(1, 10), "zstd": range(1, 23), "lz4": (12,)}  # xz and lzo have none in common


@dataclass(frozen=True)
class Codec:
    """A compression as both sides know it. `gzip` alone is each one's own default: libdeflate 6, zlib 9."""

    name: str
    level: int | None

    @classmethod
    def parse(cls, text: str) -> Codec:
        """Return the codec that `NAME[:LEVEL]` means. Raises ArgumentTypeError where only one side has it."""
        name, colon, level = text.partition(":")
        if name not in ("gzip", "zstd", "xz", "lz4", "lzo"):
            raise argparse.ArgumentTypeError(f"no codec of both: {name}")
        if not colon:
            return cls(name, None)
        if not level.isdecimal() or int(level) not in _LEVELS.get(name, ()):
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


@dataclass(frozen=True)
class Programs:
    """What is run, and what is the same for both sides."""

    imgcore: list[str]
    mksquashfs: str
    unsquashfs: str
    jobs: int
    block_size: int
    versions: dict[str, object] = field(default_factory=dict)

    def pack(self, codec: Codec, source: Path, image: Path, *more: str) -> list[str]:
        """Return our command line."""
        options = ["--format", "squashfs", "-c", str(codec), "-b", str(self.block_size), "-j", str(self.jobs)]
        return [*self.imgcore, "pack", *options, "--no-sync", "--force", "--quiet", *more, str(source), str(image)]

    def their_pack(self, codec: Codec, source: Path, image: Path) -> list[str]:
        """Return that of mksquashfs, which never forces anything to the disk."""
        options = ["-b", str(self.block_size), "-processors", str(self.jobs), *codec.theirs()]
        return [self.mksquashfs, str(source), str(image), "-noappend", "-no-progress", "-quiet", *options]

    def unpack(self, image: Path, target: Path) -> list[str]:
        """Return our command line."""
        return [*self.imgcore, "unpack", "-j", str(self.jobs), "--quiet", str(image), str(target)]

    def their_unpack(self, image: Path, target: Path) -> list[str]:
        """Return that of unsquashfs."""
        return [self.unsquashfs, "-no-progress", "-quiet", "-processors", str(self.jobs), "-dest", str(target), str(image)]


def find(name: str, given: str | None) -> str:
    """Return the path of a program: the one named, the newest that was fetched, or the system's; "" if there is none."""
    if given is not None:
        return shutil.which(given) or ""
    newest = os.environ.get("IMGCORE_NEWEST_ORACLES")
    return (shutil.which(name, path=f"{newest}/bin") if newest else None) or shutil.which(name) or ""


def first_line(*command: str) -> str:
    """Return the first line that a program prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    first = done.stdout.lstrip().partition("\n")[0], done.stderr.lstrip().partition("\n")[0]
    return (first[1] if done.returncode and first[1] else first[0] or first[1]).strip()


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _doctor(imgcore: list[str]) -> object:
    try:
        return json.loads(first_line(*imgcore, "doctor", "--json"))
    except ValueError:
        return {}


def surroundings(programs: Programs) -> dict[str, object]:
    """Return where and with what this ran."""
    commit = first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "processors": programs.jobs,
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "mksquashfs": first_line(programs.mksquashfs, "-version") if programs.mksquashfs else "",
        "unsquashfs": first_line(programs.unsquashfs, "-version") if programs.unsquashfs else "",
        "imgcore": _doctor(programs.imgcore),
        "commit": commit,
        "block_size": programs.block_size,
        "python_command": sys.executable,
    }
