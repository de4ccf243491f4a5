"""The named sequences of calls on an overlay: what Linux says to each, and what it leaves in the upper layer, is what we do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from imgcore.transforms.overlay import mount_options
from tests.kit import overlay_stacks
from tests.kit.oracles import needs_mount, run, tool
from tests.kit.overlay_arguments import APART, EXT4, EXT4_SIZES, OVERLAPPING, ROWS, UPPERS, Row, kernel_row, our_row
from tests.kit.overlay_cases import GROUPS, spec_of
from tests.oracle.overlay_fuzz import compare_writes, show_writes, tmpfs


@pytest.mark.parametrize("redirect", [True, False], ids=["redirects", "no redirects"])
def test_linux_does_the_same(redirect: bool) -> None:
    needs_mount()
    wrong = []
    with tmpfs():
        for group, lines in GROUPS.items():
            spec = spec_of(group, redirect=redirect)
            theirs, ours = compare_writes(spec)
            said = [line[1] if redirect else line[2] for line in lines]
            if theirs != ours or theirs[0] != said:
                show_writes(spec)
                wrong.append(group)
    assert not wrong, "the output above has the calls that differ"


def test_linux_says_the_same_of_odd_arguments() -> None:
    needs_mount()
    with tmpfs():
        wrong = _wrong(ROWS)
    assert not wrong


def test_the_largest_file_is_that_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_mount()
    image, place = tmp_path / "ext4.img", tmp_path / "ext4"
    place.mkdir()
    with open(image, "wb") as stream:
        stream.truncate(32 << 20)
    run(tool("mkfs.ext4"), "-q", "-b", "4096", image)
    run("mount", "-o", "loop", image, place)
    try:
        monkeypatch.chdir(place)
        wrong = _wrong(EXT4_SIZES, max_file_size=EXT4)
        monkeypatch.chdir("/")
    finally:
        run("umount", "-l", place)
    assert not wrong


@pytest.mark.parametrize("lowers", [*OVERLAPPING, *APART])
def test_linux_mounts_what_does_not_overlap(lowers: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_mount()
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b/c", "bb", "m"):
        os.makedirs(name)
    said = "mounted"
    try:
        overlay_stacks.mount(os.fsdecode(mount_options(lowers)))
    except OSError as error:
        said = errno.errorcode[error.errno]
    else:
        overlay_stacks.unmount()
    assert said == ("ELOOP" if lowers in OVERLAPPING else "mounted")


@pytest.mark.parametrize(("lowers", "upper", "fine"), UPPERS)
def test_linux_and_an_upper_layer_inside(
    lowers: list[str], upper: str, fine: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_mount()
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b/c", "bb", "m", "w"):
        os.makedirs(name)
    said = "mounted"
    try:
        overlay_stacks.mount(os.fsdecode(mount_options(lowers, upper=upper, work="w")))
    except OSError as error:
        said = errno.errorcode[error.errno]
    else:
        overlay_stacks.unmount()
    assert said == ("mounted" if fine else "ELOOP")


def _wrong(rows: list[Row], **options: int) -> list[str]:
    """Return what differs between Linux, us and the rows."""
    wrong = []
    for row in rows:
        theirs, ours = kernel_row(row), our_row(row, **options)
        if theirs[0] != row.said or ours[0] != row.said:
            wrong.append(f"{str(row)[:200]}: Linux {theirs[0]}, we {ours[0]}")
        for path in sorted({*theirs[1], *ours[1]}):
            if theirs[1].get(path) != ours[1].get(path):
                wrong.append(f"{str(row)[:200]} {path}: Linux {theirs[1].get(path)}, we {ours[1].get(path)}"[:500])
    return wrong
