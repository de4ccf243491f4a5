from __future__ import annotations

import pytest

from imgcore.errors import MergeConflict
from imgcore.model import directory, file, tree
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
