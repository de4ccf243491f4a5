"""Growth: trees of more and more small files, and one directory with very many; time and memory, and how linear they are."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.measure import Measured, Runner, read_all
from bench.programs import Codec, Programs
from bench.results import Case

_IN_DIRECTORY = 500
_ONE_DIRECTORY = 500_000
_SECONDS = 300  # for a run of theirs; one that takes longer is told as such


def make_tree(root: Path, count: int, in_directory: int = _IN_DIRECTORY) -> None:
    """Make `count` files of 60 to 2000 bytes, no two alike, in directories of `in_directory`."""
    text = b"".join(b"A line of a small file, as there are many: %d.\n" % number for number in range(50))
    for first in range(0, count, in_directory):
        directory = root / f"{first // in_directory // 100:03}" / f"{first // in_directory % 100:02}"
        directory.mkdir(parents=True)
        fd = os.open(directory, os.O_RDONLY)
        try:
            for number in range(first, min(first + in_directory, count)):
                made = os.open(f"file-{number:07}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=fd)
                # All sizes occur about equally often: mksquashfs takes quadratic time for many tails of one size.
                os.write(made, b"%09d\n" % number + text[: 50 + number * 7919 % 1951])
                os.close(made)
        finally:
            os.close(fd)


def fit(points: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Return the straight line through (count, value) by least squares of the relative errors, r2, and the worst error.

    `at_0` and `per_million` are the line; `worst` is the greatest (value - line) / value in absolute terms, with its sign.
    """
    weights = [1 / value**2 if value else 1.0 for _, value in points]
    total = sum(weights)
    mean_x = sum(weight * x for weight, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(weight * y for weight, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(weight * (x - mean_x) ** 2 for weight, (x, _) in zip(weights, points, strict=True))
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True)) / spread if spread else 0.0
    start = mean_y - slope * mean_x
    plain = sum(y for _, y in points) / len(points)
    residual = sum((y - start - slope * x) ** 2 for x, y in points)
    varies = sum((y - plain) ** 2 for _, y in points)
    errors = [(y - start - slope * x) / y if y else 0.0 for x, y in points]
    r2 = 1 - residual / varies if varies else 1.0
    return {"at_0": start, "per_million": 1e6 * slope, "r2": r2, "worst": max(errors, key=abs, default=0.0)}


def growth(
    runner: Runner,
    programs: Programs,
    counts: Sequence[int],
    codec: Codec,
    rounds: int | None,
    one_directory: int = _ONE_DIRECTORY,
) -> Iterator[tuple[str, Case]]:
    """Yield the names and cases of both sides; the trees are made beside the images, and removed."""
    rows: dict[str, list[Case]] = {"imgcore": [], "mksquashfs": []}
    image = runner.scratch / "scale.raw"
    trees = [(f"{count} files", count, _IN_DIRECTORY) for count in counts]
    for title, count, in_directory in [*trees, (f"one directory of {one_directory}", one_directory, one_directory)]:
        root = runner.scratch / "scale"
        make_tree(root, count, in_directory)
        read_all(root)
        for side in rows:
            command = (programs.pack if side == "imgcore" else programs.their_pack)(codec, root, image)
            if side == "mksquashfs":
                command = ["timeout", str(_SECONDS), *command]
            best: Measured | None = None
            for _ in range(rounds or (3 if count <= 100_000 else 1)):
                done = runner.try_run(command, image)
                image.unlink(missing_ok=True)
                if done is None:
                    break
                best = done if best is None or done.wall_s < best.wall_s else best
            if best is None:
                print(f"{side}, {title}: failed, or took more than {_SECONDS} s", file=sys.stderr)
                continue
            row = {"tree": title, "files": count, "wall_s": best.wall_s, "cpu_s": best.cpu_s, "peak_mib": best.peak_mib}
            rows[side].append({**row, "command": shlex.join(command)})
        shutil.rmtree(root)
    for side, measured in rows.items():
        points = [row for row in measured if not row["tree"].startswith("one ")]
        fits = {
            title: fit([(row["files"], row[name]) for row in points])
            for title, name in (("seconds", "wall_s"), ("MiB", "peak_mib"))
            if len(points) > 1
        }
        yield f"scale {codec} {side}", {"kind": "scale", "side": side, "codec": str(codec), "rows": measured, "fits": fits}
