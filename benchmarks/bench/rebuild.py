"""Rebuilding with `imgcore pack --cache`: nothing there yet, nothing changed, 1 % of the files changed; mksquashfs in turn."""

from __future__ import annotations

import filecmp
import functools
import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench import corpora
from bench.measure import Measured, Runner, as_case, in_turn, read_all
from bench.programs import Codec, Programs
from bench.results import Case

# What the ratio to mksquashfs is to be at most, with zstd:15 on `big`.
_GOALS = {"cold": 1.05, "unchanged": 0.03, "1% of the files changed": 0.06}


def is_there(runner: Runner, programs: Programs) -> bool:
    """Return whether this imgcore has a cache."""
    runner.run([*programs.imgcore, "pack", "--help"])
    return "--cache" in runner.printed()


def rebuilds(
    runner: Runner, programs: Programs, original: Path, codec: Codec, rounds: int | None
) -> Iterator[tuple[str, Case]]:
    """Yield names and cases. The directory is copied first, for it is changed."""
    source, store = runner.scratch / original.name, runner.scratch / "cache"
    shutil.copytree(original, source, symlinks=True)
    read_all(source)
    ours, theirs, plain = (runner.scratch / f"{name}.raw" for name in ("ours", "theirs", "plain"))
    with_cache = programs.pack(codec, source, ours, "--cache", str(store))
    their_command = programs.their_pack(codec, source, theirs)

    seeds = itertools.count(1)  # each round changes other files

    def build(what: str) -> Measured:
        if what == "cold":
            shutil.rmtree(store, ignore_errors=True)
        elif what != "unchanged":
            corpora.touch(source, 0.01, next(seeds))
        return runner.run(with_cache, ours)

    def their() -> Measured:
        done = runner.run(their_command, theirs)
        theirs.unlink()
        return done

    for what, goal in _GOALS.items():
        # mksquashfs takes the whole time again in each round.
        pairs = in_turn(functools.partial(build, what), their, rounds or 1)
        runner.run(programs.pack(codec, source, plain), plain)
        if not filecmp.cmp(ours, plain, shallow=False):
            sys.exit(f"{what}: the image is not that of a build without a cache")
        told = {"kind": "cache", "corpus": original.name, "codec": f"{codec}, {what}", "goal": goal}
        yield f"cache {original.name} {codec} {what}", {**told, **as_case(pairs, with_cache, their_command)}
