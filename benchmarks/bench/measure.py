"""Runs programs in turn and measures them: wall time, CPU time, peak memory, size of what they write.

A round runs ours and then theirs, so both see the same machine; a ratio is that of one round. How many rounds there are
follows from what the first one took, unless it is said: a spread is worth more where it is cheap. No round is left out.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURES = ("wall_s", "cpu_s", "peak_mib", "size_mib")
_LAUNCHER = Path(__file__).with_name("launcher.py")
_SECONDS = 30.0  # for the rounds of one case, where that is enough for some
_MOST_ROUNDS = 7

Summary = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Measured:
    """What one run took: `cpu_s` is user and system time of all threads, `peak_mib` the most memory that was resident."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    size_mib: float = 0.0


class Runner:
    """Runs programs with the environment of this checkout; `scratch` holds what they write."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._log, self._result = scratch / "log", scratch / "result"
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        # Modules are compiled once, as those of an installed package are.
        pycache = {"PYTHONPYCACHEPREFIX": str(scratch / "pycache")}
        self.environment = {**inherited, "PYTHONPATH": os.pathsep.join(places), **pycache}

    def run(self, command: Sequence[str | Path], output: Path | None = None) -> Measured:
        """Run a program; `output` is measured when it is a file, and left. Ends the benchmark when the program fails."""
        done = self.try_run(command, output)
        if done is None:
            sys.exit(f"{shlex.join(str(word) for word in command)} failed:\n{self.printed()}")
        return done

    def try_run(self, command: Sequence[str | Path], output: Path | None = None) -> Measured | None:
        """Run a program as `run` does, but return None when it fails."""
        words = [str(word) for word in command]
        launch = [sys.executable, "-I", "-S", str(_LAUNCHER), str(self._result), str(self._log), *words]
        subprocess.run(launch, env=self.environment, check=True)
        status, wall, user, system, peak = self._result.read_text().split()
        if status != "0":
            return None
        size = output.stat().st_size if output is not None and output.is_file() else 0
        return Measured(float(wall), float(user) + float(system), int(peak) / 1024, size / (1 << 20))

    def printed(self) -> str:
        """Return what the last program printed."""
        return self._log.read_text(errors="replace")


def in_turn(
    ours: Callable[[], Measured], theirs: Callable[[], Measured], rounds: int | None
) -> list[tuple[Measured, Measured]]:
    """Return the pairs of all rounds; with None as many as the time allows: 1 that is slow, at least 3 that are quick."""
    pairs = [(ours(), theirs())]
    for _ in range(1, rounds or fitting(pairs[0][0].wall_s + pairs[0][1].wall_s)):
        pairs.append((ours(), theirs()))
    return pairs


def fitting(seconds: float) -> int:
    """Return how many rounds of `seconds` are run."""
    fit = int(_SECONDS / seconds) if seconds > 0 else _MOST_ROUNDS
    return max(3 if seconds <= _SECONDS / 2 else 1, min(fit, _MOST_ROUNDS))


def ratio(ours: float, theirs: float) -> float:
    """Return ours / theirs; where there is nothing to compare, 0."""
    return ours / theirs if theirs else 0.0


def summary(pairs: Sequence[tuple[Measured, Measured]]) -> Summary:
    """Return, for each measure, both medians, and the ratios of the rounds: least, median, greatest."""
    found = {}
    for name in MEASURES:
        ratios = [ratio(getattr(one, name), getattr(two, name)) for one, two in pairs]
        found[name] = {
            "ours": statistics.median(getattr(one, name) for one, _ in pairs),
            "theirs": statistics.median(getattr(two, name) for _, two in pairs),
            "ratio_min": min(ratios),
            "ratio": statistics.median(ratios),
            "ratio_max": max(ratios),
        }
    return found


def as_case(pairs: Sequence[tuple[Measured, Measured]], ours: Sequence[object], theirs: Sequence[object]) -> dict[str, object]:
    """Return what is kept of a comparison: the summary, every run, and both command lines."""
    return {
        "summary": summary(pairs),
        "rounds": len(pairs),
        "runs": [{"ours": asdict(one), "theirs": asdict(two)} for one, two in pairs],
        "commands": [shlex.join(str(word) for word in ours), shlex.join(str(word) for word in theirs)],
    }


def read_all(root: Path) -> int:
    """Read every file once, so that no run finds a colder cache than another; return the bytes. Holes are passed over."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path) and os.path.isfile(path):
                total += _read(path)
    return total


def _read(path: str) -> int:
    with open(path, "rb", buffering=0) as stream:
        size, at = os.fstat(stream.fileno()).st_size, 0
        while at < size:
            try:
                at = os.lseek(stream.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(stream.fileno(), at, os.SEEK_HOLE)
            os.lseek(stream.fileno(), at, os.SEEK_SET)
            while at < end:
                at += len(stream.read(min(1 << 20, end - at)))
    return size
