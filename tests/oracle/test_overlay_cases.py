"""The named sequences of calls on an overlay: what Linux says to each, and what it leaves in the upper layer, is what we do."""

from __future__ import annotations

import pytest

from tests.kit.oracles import needs_mount
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
