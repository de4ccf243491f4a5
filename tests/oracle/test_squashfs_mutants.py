"""Broken images that `check` has no error for: Linux has to mount them, and to read them as imgcore does."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import ImgcoreError
from imgcore.events import Control
from imgcore.formats.squashfs import Options, open_image
from imgcore.formats.squashfs.check import check_blob
from tests.kit.corrupter import LIMITS, broken, spots
from tests.kit.oracles import differences, host_records, mounted, tree_records
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import write

pytestmark = pytest.mark.oracle
MUTANTS = 400
SIGNED = "Superblock.s_minor"  # Linux compares it as a signed number, and mounts version 4.65535
NO_LIMIT_ON_SIZE = dataclasses.replace(LIMITS, max_file_size=1 << 63)


def verdict(image: bytes) -> str:
    """Return "clean" when `check` finds no error, else "errors" or "fatal"."""
    try:
        findings = list(check_blob(BytesBlob(image), NO_LIMIT_ON_SIZE, Control()))
    except ImgcoreError:
        return "fatal"
    if any(finding.fatal for finding in findings):
        return "fatal"
    return "errors" if any(finding.severity == "error" for finding in findings) else "clean"


def unreadable(at: Path) -> bool:
    """Return whether Linux fails below a mount: it does not stop at a table's end, and so mounts a little more than we do."""
    try:
        return not host_records(at).keys() - {b"/"}
    except OSError:
        return True


def test_what_check_passes_linux_reads(tmp_path: Path) -> None:
    whole = write(everything(), Options(compression="none", block_size=4096))
    kinds: dict[str, int] = {}
    mutants = []
    for spot in spots(whole):
        kinds[spot.what] = kinds.get(spot.what, 0) + 1
        if kinds[spot.what] <= 12:
            mutants += [mutant for mutant in broken(whole, spot) if not mutant[0].startswith(SIGNED)]
    chance = random.Random(3)
    clean = 0
    for number, (what, image) in enumerate(chance.sample(mutants, min(MUTANTS, len(mutants)))):
        path = tmp_path / "mutant.raw"
        path.write_bytes(image)
        said = verdict(image)
        with mounted(path, tmp_path / f"mnt{number}") as taken:
            if said == "fatal":
                assert not taken or unreadable(tmp_path / f"mnt{number}"), f"{what}: check calls it fatal, Linux does not"
            if said != "clean":
                continue
            clean += 1
            assert taken, f"{what}: check finds nothing, Linux does not mount it"
            try:
                theirs = host_records(tmp_path / f"mnt{number}")
            except OSError as error:
                raise AssertionError(f"{what}: check finds nothing, Linux fails") from error
            ours = tree_records(open_image(BytesBlob(image), LIMITS).tree)
            found = differences(theirs, ours, ignore=("links", "group"))
            assert not found, f"{what}: {found}"
    assert clean > MUTANTS // 20  # else nothing was asked
