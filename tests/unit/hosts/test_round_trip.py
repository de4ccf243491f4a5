"""What is unpacked and scanned again is the same tree, as far as a file system of Linux can hold it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.hosts import scan, unpack
from imgcore.model import Capabilities, Change, Dir, Symlink, Tree, diff
from imgcore.testing import trees

# Extended attributes are left out: what fits depends on the file system. Times are those of every 64-bit system.
CAPS = Capabilities(min_time_ns=-(1 << 31) * 10**9, max_time_ns=(1 << 32) * 10**9)


def holdable(drawn: Tree) -> bool:
    """Return whether Linux takes every link target: one with a NUL, or none at all, it does not."""
    return all(not isinstance(node, Symlink) or (node.target and b"\0" not in node.target) for _, node in drawn.walk())


def changes(drawn: Tree, again: Tree) -> list[Change]:
    """Return what differs; but the mode of a symbolic link is always 0777."""
    found = diff(drawn, again)
    return [change for change in found if change.kind != "mode" or not isinstance(drawn[change.path], Symlink)]


@settings(max_examples=25)
@given(trees(CAPS).filter(holdable), st.sampled_from((1, 3)))
def test_round_trip(drawn: Tree, jobs: int) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory(prefix="imgcore-test-") as path:
        target = Path(path) / "out"
        report = unpack(drawn, target, jobs=jobs)
        again = scan(target)
        assert changes(drawn, again) == []
        assert sorted(drawn.links().values()) == sorted(again.links().values())
        names = sum(1 for _ in drawn.walk())
        assert report.files + report.dirs + report.symlinks + report.others + report.hard_links == names
        # A second run over the first replaces everything, and gives the same.
        if any(not isinstance(node, Dir) for _, node in drawn.walk()):
            unpack(drawn, target, jobs=jobs, force=True)
            assert [change for change in changes(drawn, scan(target)) if change.path != b"/"] == []
