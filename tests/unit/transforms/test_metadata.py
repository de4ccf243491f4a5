from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings

from imgcore.errors import PathError
from imgcore.model import Tree, directory, file, symlink, tree
from imgcore.testing import trees
from imgcore.transforms import (
    FileContexts,
    Globs,
    IdRange,
    ModeRule,
    Owners,
    Policy,
    change_meta,
    change_modes,
    exclude,
    label,
    set_capabilities,
    set_xattrs,
    strip_xattrs,
)


def sample() -> Tree:
    twice = file(b"x", xattrs={b"user.a": b"1", b"security.b": b"2"})
    return tree({"/a": twice, "/d/b": twice, "/l": symlink("a"), "/d/": directory(xattrs={b"user.a": b"3"})})


def test_set_xattrs() -> None:
    changed = set_xattrs(sample(), {b"user.new": b"u", b"trusted.new": b"t"})
    assert changed["/a"] is changed["/d/b"]
    assert changed["/a"].meta.xattrs == {b"user.a": b"1", b"security.b": b"2", b"user.new": b"u", b"trusted.new": b"t"}
    assert changed["/d"].meta.xattrs == {b"user.a": b"3", b"user.new": b"u", b"trusted.new": b"t"}
    assert changed["/l"].meta.xattrs == {b"trusted.new": b"t"}  # Linux gives user.* to files and directories only
    only_links = set_xattrs(sample(), {b"user.new": b"u"}, where=lambda path, node: path == b"/l")
    assert not only_links["/l"].meta.xattrs


def test_strip_xattrs() -> None:
    changed = strip_xattrs(sample(), lambda name: re.search(rb"^user\.", name) is not None)
    assert changed["/a"] is changed["/d/b"]
    assert changed["/a"].meta.xattrs == {b"security.b": b"2"}
    assert not changed["/d"].meta.xattrs
    one = strip_xattrs(sample(), lambda name: True, where=lambda path, node: path == b"/d")
    assert (len(one["/a"].meta.xattrs), len(one["/d"].meta.xattrs)) == (2, 0)


def test_what_is_required_has_to_match() -> None:
    assert set_xattrs(sample(), {b"user.x": b""}, where=Globs(["zz"]).match)["/a"].meta == sample()["/a"].meta
    with pytest.raises(PathError, match="found `zz`"):
        set_xattrs(sample(), {b"user.x": b""}, where=Globs(["zz"]).match, required="zz")


def test_maps_of_owners() -> None:
    owners = Owners(uid_map=(IdRange(0, 1000, 10), IdRange(5, 7), IdRange(2000, 0)), gid_map=(IdRange(1, 2),), offset=3)
    assert [owners.of(uid, 0)[0] for uid in (0, 5, 9, 10, 2000, 2001)] == [1003, 1008, 1012, 13, 3, 2004]
    assert [owners.of(0, gid)[1] for gid in (0, 1, 2)] == [3, 5, 5]
    assert Owners((7, None), gid_map=(IdRange(1, 2),)).of(1, 1) == (7, 2)
    assert Owners((None, 7)).of(1, 1) == (1, 7)


@pytest.mark.parametrize("numbers", [(-1, 0, 1), (0, -1, 1), (0, 0, 0), (1 << 32, 0, 1), (0, (1 << 32) - 1, 2)])
def test_ranges_that_are_none(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        IdRange(*numbers)


@settings(max_examples=30)
@given(trees())
def test_hard_links_survive_everything(drawn: Tree) -> None:
    groups = sorted(drawn.links().values())
    for change in (
        lambda one: change_meta(one, lambda node: dataclasses.replace(node.meta, uid=9), where=lambda path, node: True),
        lambda one: change_modes(one, files=ModeRule.parse("a="), dirs=ModeRule.parse("a=")),
        lambda one: set_xattrs(one, {b"user.z": b"z"}),
        lambda one: strip_xattrs(one, lambda name: True),
        lambda one: set_capabilities(one, "all=p", lambda path, node: True),
        lambda one: label(one, FileContexts.parse("/.* u:o:t")),
        lambda one: Policy(Owners.fixed(None, 5)).apply(one),
        lambda one: exclude(one, ["no-such-name"]),
    ):
        assert sorted(change(drawn).links().values()) == groups
