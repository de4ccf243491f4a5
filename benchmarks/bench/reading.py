"""Random reads by imgcore and by other readers, what has to be quick on the command line, and listing and printing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.measure import Runner, ratio, read_all
from bench.programs import Codec, Programs, first_line
from bench.results import Case

READS, SIZE = 10_000, 4096
_SECONDS = 60  # for one reader; what it would take for all reads is computed from what it managed
_CHILD = Path(__file__).with_name("read_child.py")


def write_plan(source: Path, plan: Path, count: int, seed: int = 1) -> None:
    """Write places of files below `source`, every byte as likely as any other."""
    paths: list[bytes] = []
    sizes: list[int] = []
    for root, _, names in os.walk(os.fsencode(source)):
        for name in sorted(names):
            path = os.path.join(root, name)
            if (
                not os.path.islink(path)
                and os.path.isfile(path)
                and os.path.getsize(path)
                and b"\t" not in path
                and b"\n" not in path
            ):
                paths.append(path[len(os.fsencode(source)) :])
                sizes.append(os.path.getsize(path))
    choice = random.Random(seed)
    order = sorted(range(len(paths)), key=lambda place: paths[place])
    chosen = choice.choices(order, [sizes[place] for place in order], k=count)
    with plan.open("wb") as stream:
        for place in chosen:
            stream.write(b"%s\t%d\t%d\n" % (paths[place], choice.randrange(max(1, sizes[place] - SIZE)), SIZE))


@contextlib.contextmanager
def _squashfuse(image: Path, place: Path) -> Iterator[Path | None]:
    """Give where squashfuse shows the image, None where it does not."""
    place.mkdir()
    try:
        done = subprocess.run(["squashfuse", image, place], capture_output=True) if shutil.which("squashfuse") else None
        if done is None or done.returncode != 0:
            yield None
            return
        try:
            yield place
        finally:
            subprocess.run(
                ["umount" if os.geteuid() == 0 else "fusermount", *([] if os.geteuid() == 0 else ["-u"]), place], check=True
            )
    finally:
        place.rmdir()


def _read(runner: Runner, reader: str, image: Path, plan: Path, site: Path) -> Case:
    environment = {**runner.environment, "PYTHONPATH": os.pathsep.join([runner.environment["PYTHONPATH"], str(site)])}
    command = [sys.executable, str(_CHILD), reader, str(image), str(plan), str(_SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        return {"missing": done.stderr.strip().rpartition("\n")[2]}
    found: Case = json.loads(done.stdout)
    return found


def reads(runner: Runner, programs: Programs, source: Path, codec: Codec, rounds: int | None, site: Path) -> Case:
    """Return the case of random reads: every reader in each round, on an image of mksquashfs."""
    image, plan = runner.scratch / "image.raw", runner.scratch / "plan"
    runner.run(programs.their_pack(codec, source, image), image)
    write_plan(source, plan, READS)
    read_all(runner.scratch)
    runs: dict[str, list[Case]] = {}
    with _squashfuse(image, runner.scratch / "fuse") as mounted:
        for _ in range(rounds or 3):
            for reader in ("imgcore", "squashfuse", "dissect.squashfs", "PySquashfsImage"):
                # One that takes very long takes long once.
                if reader in runs and (runs[reader][-1].get("missing") or runs[reader][-1]["seconds"] > _SECONDS / 4):
                    continue
                if reader == "squashfuse" and mounted is None:
                    runs[reader] = [{"missing": "it cannot mount here"}]
                    continue
                place = mounted if reader == "squashfuse" and mounted is not None else image
                runs.setdefault(reader, []).append(_read(runner, reader, place, plan, site))
    image.unlink()
    ours = statistics.median(run["seconds"] * READS / run["reads"] for run in runs["imgcore"])
    rows = []
    for reader, found in runs.items():
        if why := found[-1].get("missing"):
            print(f"{reader} is left out: {why}", file=sys.stderr)
            continue
        if {run["digest"] for run in found} != {runs["imgcore"][0]["digest"]}:
            sys.exit(f"{reader} read something else")
        seconds = statistics.median(run["seconds"] * READS / run["reads"] for run in found)
        version = found[0]["version"] or first_line("squashfuse", "--version")
        rows.append({"name": reader, "version": version, "seconds": seconds, "ratio": ratio(ours, seconds), "runs": found})
    return {"kind": "reads", "corpus": source.name, "codec": str(codec), "rows": rows}


def startup(runner: Runner, programs: Programs, source: Path, codec: Codec, rounds: int | None) -> Iterator[tuple[str, Case]]:
    """Yield names and cases: `--version`, and looking into an image of about 500 MB."""
    image = runner.scratch / "image.raw"
    runner.run(programs.their_pack(codec, source, image), image)
    read_all(runner.scratch)
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    one = min(files, key=lambda path: (abs(path.stat().st_size - 20_000), path))
    imgcore = programs.imgcore
    for what, words, goal in (
        ("imgcore --version", [*imgcore, "--version"], 100),
        (f"ls -R of {source.name}, {len(files)} files", [*imgcore, "ls", "-R", image], 150),
        (f"cat of one file of {source.name}", [*imgcore, "cat", image, f"/{one.relative_to(source)}"], 150),
    ):
        runner.run(words)
        runs = [runner.run(words).wall_s for _ in range(rounds or 15)]
        command = " ".join(str(word) for word in words)
        yield f"startup {what}", {"kind": "startup", "what": what, "goal_ms": goal, "runs": runs, "command": command}
    image.unlink()
