"""Our merges against those of Linux: fixtures, random stacks, limits, layers that are images."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit import overlay_stacks
from tests.kit.oracles import needs_mount, tmpfs
from tests.kit.overlay_fixtures import READ, Layers, View, kernel_view, make
from tests.oracle.overlay_fuzz import fuzz, fuzz_writes

PARTS = 8
STACKS = 2000
SEQUENCES = 2000


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    needs_mount()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "layers", "options", "views"), READ, ids=[one[0] for one in READ])
def test_linux_sees_a_stack_as_the_fixture_says(
    name: str, layers: Layers, options: str, views: dict[str, View], scratch: Path
) -> None:
    with tmpfs(scratch, "size=20m"):
        home = "/"
        os.chdir(scratch)  # into what was mounted over it
        try:
            for directory in ("l1", "u", "w", "m"):
                os.mkdir(directory)
            for path, value in layers.items():
                make(path, value)
            overlay_stacks.mount(options)
            try:
                assert {path: kernel_view(f"m/{path}") for path in views} == views, name
            finally:
                overlay_stacks.unmount()
        finally:
            os.chdir(home)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_stacks_are_seen_alike(part: int) -> None:
    needs_mount()
    result = fuzz(1_000_000 + part * STACKS // PARTS, STACKS // PARTS)
    assert result.stacks == STACKS // PARTS
    assert not result.different, "the output above has the smallest stacks that differ"
    assert result.paths > 10 * result.stacks / 2 and result.stale < result.stacks / 20


@pytest.mark.parametrize("part", range(PARTS))
def test_random_writes_leave_the_same_upper_layer(part: int) -> None:
    needs_mount()
    result = fuzz_writes(2_000_000 + part * SEQUENCES // PARTS, SEQUENCES // PARTS)
    assert result.stacks == SEQUENCES // PARTS and not result.refused
    assert not result.different, "the output above has the smallest sequences that differ"
    assert result.paths > 3 * result.stacks and result.stale < result.stacks / 50
