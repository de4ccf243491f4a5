"""Packing, ours and mksquashfs in turn; each image is verified once."""

from __future__ import annotations

import sys
from pathlib import Path

from bench import verify
from bench.measure import Measured, Runner, as_case, in_turn
from bench.programs import Codec, Programs
from bench.results import Case


def pack(runner: Runner, programs: Programs, source: Path, codec: Codec, rounds: int | None, check: bool) -> Case:
    """Return the case of one directory and codec."""
    images = runner.scratch / "ours.raw", runner.scratch / "theirs.raw"
    commands = programs.pack(codec, source, images[0]), programs.their_pack(codec, source, images[1])
    verified: list[str] = []

    def side(number: int) -> Measured:
        image = images[number]
        done = runner.run(commands[number], image)
        if check and len(verified) <= number:
            verified.append(_verify(runner, programs, source, image))
        image.unlink()
        return done

    pairs = in_turn(lambda: side(0), lambda: side(1), rounds)
    return {
        "kind": "pack",
        "corpus": source.name,
        "codec": str(codec),
        "verified": verified,
        **as_case(pairs, *commands),
    }


def _verify(runner: Runner, programs: Programs, source: Path, image: Path) -> str:
    def unpack(place: Path) -> None:
        runner.run([programs.unsquashfs, "-no-progress", "-quiet", "-dest", place, image])

    with verify.contents(image, runner.scratch, unpack) as (place, how):
        entries = verify.require_equal(source, place, image.name)
    return f"{how}: {entries} entries equal"


def warm_up(runner: Runner, programs: Programs) -> None:
    """Have our modules compiled, so that the first run is like the others."""
    small = runner.scratch / "warm-up"
    small.mkdir(exist_ok=True)
    (small / "file").write_bytes(Path(sys.executable).read_bytes()[:1_000_000])
    for codec in ("gzip", "lz4", "zstd:1", "xz"):
        image = runner.scratch / "warm-up.raw"
        runner.run(programs.pack(Codec.parse(codec), small, image), image)
        image.unlink()
