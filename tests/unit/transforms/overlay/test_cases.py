"""The named sequences of calls on an overlay: each call says what it said on Linux. Needs no root."""

from __future__ import annotations

from typing import Any

import pytest

from imgcore.blob import BytesBlob
from imgcore.model import Dir, File, Meta, Node, Pipe, Symlink, Tree
from tests.kit.overlay_arguments import EXT4, EXT4_SIZES, ROWS, our_row
from tests.kit.overlay_cases import GROUPS, spec_of
from tests.kit.overlay_writes import our_run


def node_of(spec: dict[str, Any]) -> Node:
    meta = Meta(spec.get("mode", 0o755), mtime_ns=spec["mtime"])
    if spec["t"] == "d":
        children = {name.encode(): node_of(child) for name, child in spec["ch"].items()}
        for name, child in spec["ch"].items():
            if "link" in child:
                children[child["link"].encode()] = children[name.encode()]
        return Dir(meta, children)
    if spec["t"] == "f":
        return File(meta, BytesBlob(spec["data"].encode()))
    return Symlink(meta, spec["data"].encode()) if spec["t"] == "l" else Pipe(meta)


@pytest.mark.parametrize("redirect", [True, False], ids=["redirects", "no redirects"])
@pytest.mark.parametrize("group", GROUPS)
def test_calls_say_what_linux_says(group: str, redirect: bool) -> None:
    spec = spec_of(group, redirect=redirect)
    lower, upper = node_of(spec["lowers"][0]), node_of(spec["upper"])
    assert isinstance(lower, Dir)
    assert isinstance(upper, Dir)
    lines = GROUPS[group]
    outcome = our_run(spec, {"l1": Tree(lower), "u": Tree(upper)}, [line[1] == "skipped" for line in lines])
    assert not isinstance(outcome, str)
    assert outcome[0] == [line[1] if redirect else line[2] for line in lines]


def test_a_path_leads_through_links_as_in_a_chroot() -> None:
    from imgcore.errors import OverlayError
    from imgcore.transforms.overlay import Writable

    top = Dir(Meta(0o755), {b"d": Dir(Meta(0o755), {b"up": Symlink(Meta(), b"../../e")}), b"loop": Symlink(Meta(), b"loop")})
    overlay = Writable([Tree(top)])
    assert overlay.resolve("/d/up") == b"/e"
    with pytest.raises(OverlayError, match="too many levels"):
        overlay.resolve("/loop")
    with pytest.raises(OverlayError):
        overlay.resolve("/none/below")


def test_odd_arguments_say_what_linux_says() -> None:
    wrong = [(row, said) for row in ROWS if (said := our_row(row)[0]) != row.said]
    wrong += [(row, said) for row in EXT4_SIZES if (said := our_row(row, max_file_size=EXT4)[0]) != row.said]
    assert not wrong
