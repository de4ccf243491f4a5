"""A tree as columns: the same tree as nodes, and back; the policy and the check for losses say the same of both."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.engine import get_engine
from imgcore.errors import NotRepresentable
from imgcore.formats.squashfs import CAPABILITIES
from imgcore.hosts import scan
from imgcore.model import Capabilities, Dir, Meta, Table, Tree, checked, diff, file, find_losses, tree
from imgcore.testing import trees
from imgcore.transforms import Clock, IdRange, Owners, Policy
from tests.unit.engine.runs import require_native


def columns(found: Tree) -> Tree:
    return Tree.of_table(Table.of(found), found.limits)


@given(trees())
@settings(max_examples=30, deadline=None)
def test_nodes_and_columns_are_the_same(made: Tree) -> None:
    back = columns(made)
    assert list(diff(made, back)) == []
    assert back.file_bytes() == made.file_bytes()
    assert [sorted(paths) for paths in made.links().values()] == [sorted(paths) for paths in back.links().values()]
    assert len(list(back.walk())) == len(Table.of(made))


@given(trees())
@settings(max_examples=30, deadline=None)
def test_rows_are_in_order(made: Tree) -> None:
    table = Table.of(made)
    shape = table.shape
    walk = list(shape.walk())
    assert [shape.path(row) for row in walk] == [path for path, _ in made.walk()]
    assert shape.paths(walk) == [path for path, _ in made.walk()]
    assert sorted(walk) == list(range(len(table)))
    for place, row in enumerate(shape.dirs):
        below = [shape.names[child] for child in range(shape.starts[place], shape.starts[place + 1])]
        node = made[shape.path(row)]
        assert isinstance(node, Dir) and below == sorted(node.children)


POLICIES = [
    Policy(Owners.root()),
    Policy(Owners.fixed(None, 7), Clock.fixed(10**18)),
    Policy(Owners(uid_map=(IdRange(0, 1000, 3),), offset=5), Clock.clamp(10**17)),
    Policy(xattrs="none"),
    Policy(xattrs="user.*"),
    Policy(),
]


@given(trees(), st.sampled_from(POLICIES))
@settings(max_examples=30, deadline=None)
def test_a_policy_does_the_same_to_both(made: Tree, policy: Policy) -> None:
    changed = policy.apply(columns(made))
    assert changed.table is not None
    assert list(diff(policy.apply(made), changed)) == []


@given(trees(lossy=True))
@settings(max_examples=30, deadline=None)
def test_losses_are_the_same(made: Tree) -> None:
    for caps in (CAPABILITIES, Capabilities(types=frozenset(("dir", "file")), hardlinks=False, max_name=3)):
        there = columns(made)
        assert list(find_losses(made, caps)) == list(find_losses(there, caps))
        try:
            expected, warned = checked(made, caps, format_name="x")
        except NotRepresentable as error:
            with pytest.raises(NotRepresentable) as caught:
                checked(there, caps, format_name="x")
            assert caught.value.losses == error.losses
        else:
            found, also = checked(there, caps, format_name="x")
            assert warned == also
            assert list(diff(expected, found)) == []


def test_a_directory_with_two_names_is_refused() -> None:
    shared = Dir(Meta(0o755), {})
    with pytest.raises(NotRepresentable) as caught:
        Table.of(Tree(Dir(Meta(0o755), {b"a": shared, b"b": shared})))
    assert caught.value.path == b"/b"


def test_a_scan_gives_columns_and_the_nodes_of_the_other_scan(tmp_path: Path) -> None:
    require_native()
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "f").write_bytes(b"content" * 1000)
    os.link(tmp_path / "d" / "f", tmp_path / "a")
    (tmp_path / "link").symlink_to("d/f")
    os.mkfifo(tmp_path / "d" / "pipe")
    if os.geteuid() == 0:
        os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    os.setxattr(tmp_path / "d", b"user.a", b"1")
    os.setxattr(tmp_path, b"user.top", b"2")
    by_columns, by_nodes = scan(tmp_path), scan(tmp_path, engine=get_engine("pure"))
    assert by_columns.table is not None and by_nodes.table is None
    assert list(diff(by_nodes, by_columns)) == []
    assert by_columns["/a"] is by_columns["/d/f"]
    assert by_columns.root is by_columns.root


def test_a_table_is_its_own_columns() -> None:
    made = columns(tree({"/f": file(b"x")}))
    assert Table.of(made) is made.table
