from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.errors import MergeConflict
from imgcore.model import Dir, Node, Tree, directory, file, tree
from imgcore.testing import trees
from imgcore.transforms import join_trees, place_tree


def test_place() -> None:
    shared = file(b"1")
    placed = place_tree(tree({"/a": shared, "/": directory(mode=0o700, mtime_ns=9)}), "/opt/x")
    assert placed["/opt/x/a"] is shared
    assert placed["/opt/x"].meta.mode == 0o700
    assert (placed["/opt"].meta.mode, placed["/opt"].meta.mtime_ns) == (0o755, 9)
    assert place_tree(tree({"/a": shared}), "/")["/a"] is shared


def test_join() -> None:
    one = tree({"/usr/a": b"1", "/usr": directory({}, mode=0o700)})
    two = tree({"/usr/b": b"2", "/etc/c": b"3"})
    joined = join_trees([one, two])
    assert {path for path, _ in joined.walk()} == {b"/", b"/usr", b"/usr/a", b"/usr/b", b"/etc", b"/etc/c"}
    assert joined["/usr"].meta.mode == 0o700
    assert join_trees([one]) is one
    assert b"/usr/b" not in {path for path, _ in one.walk()}  # the sources are as they were


def test_a_real_directory_wins_over_one_that_was_made_up() -> None:
    real = tree({"/opt": directory({b"r": file()}, mode=0o711)})
    placed = place_tree(tree({"/p": b""}), "/opt/x")
    for order in ([real, placed], [placed, real]):
        assert join_trees(order)["/opt"].meta.mode == 0o711


@pytest.mark.parametrize("other", [{"/a": b"1"}, {"/a/b": b"1"}])
def test_conflicts(other: dict[str, bytes]) -> None:
    with pytest.raises(MergeConflict) as caught:
        join_trees([tree({"/a": b"1"}), tree(other)])
    assert caught.value.path == b"/a"


def test_nothing_to_join() -> None:
    with pytest.raises(ValueError, match="no trees"):
        join_trees([])


def test_overwrite() -> None:
    twice = file(b"later")
    one = tree({"/f": b"1", "/d/x": b"1", "/d/y": b"1", "/d/": directory(mode=0o700), "/now-file/a": b"1", "/now-dir": b"1"})
    two = tree({"/f": twice, "/d/y": twice, "/d/": directory(mode=0o711), "/now-file": b"2", "/now-dir/b": b"2"})
    joined = join_trees([one, two], overwrite=True)
    assert joined["/f"] is joined["/d/y"] is twice
    assert joined["/d"].meta.mode == 0o711
    assert joined["/d/x"] is one["/d/x"]
    assert joined["/now-file"] is two["/now-file"]
    assert {path for path, _ in joined.walk()} >= {b"/now-dir/b"}
    assert one["/f"] is not twice  # the sources are as they were
    placed = place_tree(tree({"/p": b""}), "/d")
    assert join_trees([one, placed], overwrite=True).root.meta == one.root.meta  # made up, so it changes nothing


@settings(max_examples=30)
@given(st.lists(trees(max_entries=8), min_size=2, max_size=3))
def test_overwrite_is_unpacking_one_after_the_other(drawn: list[Tree]) -> None:
    expected: dict[bytes, Node] = {}
    for one in drawn:
        for path, node in one.walk():
            there = expected.get(path)
            if there is not None and not (isinstance(there, Dir) and isinstance(node, Dir)):
                for below in [known for known in expected if known.startswith(path + b"/")]:
                    del expected[below]
            expected[path] = node
    joined = dict(join_trees(drawn, overwrite=True).walk())
    assert joined.keys() == expected.keys()
    for path, node in joined.items():
        assert node.meta == expected[path].meta
        assert isinstance(node, Dir) or node is expected[path]
