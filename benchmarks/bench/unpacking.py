"""Unpacking, ours and unsquashfs in turn, of the same image; what came out is compared with the source once."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench import verify
from bench.measure import Measured, Runner, as_case, in_turn, read_all
from bench.programs import Codec, Programs
from bench.results import Case


def unpack(runner: Runner, programs: Programs, source: Path, codec: Codec, rounds: int | None, check: bool) -> Case:
    """Return the case of one directory and codec; the image is mksquashfs's, so that neither side knows it better."""
    image, target = runner.scratch / "image.raw", runner.scratch / "unpacked"
    runner.run(programs.their_pack(codec, source, image), image)
    read_all(runner.scratch)
    commands = programs.unpack(image, target), programs.their_unpack(image, target)
    verified: list[str] = []

    def side(number: int) -> Measured:
        done = runner.run(commands[number])
        if check and len(verified) <= number:
            entries = verify.require_equal(source, target, f"unpacked by {('imgcore', 'unsquashfs')[number]}")
            verified.append(f"{entries} entries equal")
        shutil.rmtree(target)
        return done

    pairs = in_turn(lambda: side(0), lambda: side(1), rounds)
    image.unlink()
    told = {"kind": "unpack", "corpus": source.name, "codec": str(codec), "verified": verified}
    return {**told, **as_case(pairs, *commands)}
