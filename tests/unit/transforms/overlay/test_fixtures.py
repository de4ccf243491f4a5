"""The stacks of tests/kit/overlay_fixtures.py through our merge."""

from __future__ import annotations

import pytest

from tests.kit.overlay_fixtures import READ, Layers, View, merge_fixture, our_view


@pytest.mark.parametrize(("name", "layers", "options", "views"), READ, ids=[one[0] for one in READ])
def test_a_stack_is_seen_as_linux_sees_it(name: str, layers: Layers, options: str, views: dict[str, View]) -> None:
    merged = merge_fixture(layers, options)
    assert {path: our_view(merged, path) for path in views} == views, name
