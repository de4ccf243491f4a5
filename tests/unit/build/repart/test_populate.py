"""Trees of definitions: what systemd-repart does with them, tests/oracle/test_repart.py knows."""

from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob
from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.definition import Definition
from imgcore.build.repart.populate import populate
from imgcore.events import Control, Warned
from imgcore.model import Dir, File, Meta, Node, Tree


def tree(**files: str) -> Tree:
    """Return a tree with these files, whose names have `_` for a slash."""
    root: dict[bytes, Node] = {}
    for name, text in files.items():
        *above, last = name.encode().split(b"_")
        place = root
        for part in above:
            node = place.setdefault(part, Dir(Meta(0o700, 3, 4, 9), {}))
            assert isinstance(node, Dir) and isinstance(node.children, dict)
            place = node.children
        place[last] = File(Meta(0o644), BytesBlob(text.encode()))
    return Tree(Dir(Meta(0o711, 1, 2, 7), root))


def paths(made: Tree) -> list[bytes]:
    return [path for path, _ in made.walk()]


def test_what_is_copied_merged_and_left_out() -> None:
    source = tree(a_x="1", a_y="2", b_x="3", tmp_t="4")
    one = Definition("d", copy_files=[("/a", "/n"), ("/b", "/n")], exclude=["/a/y"], directories=["/n/d", "/e"])
    made = populate(one, source, {b"user.mark": b"1"}, 5 * 10**9)
    assert paths(made) == [b"/", b"/e", b"/n", b"/n/d", b"/n/x"]
    assert made["/n/x"].content.read_at(0, 9) == b"3"
    assert (made["/n"].meta.mode, made["/e"].meta.mode, made.root.meta.xattrs) == (0o700, 0o755, {b"user.mark": b"1"})
    whole = populate(Definition("d", copy_files=[("/", "/")]), source, {}, None)
    assert b"/tmp" in whole and b"/tmp/t" not in whole
    assert (whole.root.meta.mode, whole.root.meta.uid, whole.root.meta.mtime_ns) == (0o711, 0, 7)


def test_deep_trees() -> None:
    node: Node = File(Meta(0o644), BytesBlob(b""))
    for _ in range(5000):
        node = Dir(Meta(0o755), {b"d": node})
    made = populate(Definition("d", copy_files=[("/d", "/d"), ("/d", "/d")]), Tree(Dir(Meta(0o755), {b"d": node})), {}, None)
    assert sum(1 for _ in made.walk()) == 5002


def test_what_is_wrong() -> None:
    source = tree(a_x="1", f="2")
    for one, said in (
        (Definition("d", copy_files=[("/no", "/")]), "there is no such file"),
        (Definition("d", copy_files=[("/f/x", "/y")]), "not a directory"),
        (Definition("d", copy_files=[("/f", "/")]), "only a directory"),
        (Definition("d", copy_files=[("/f", "/g"), ("/a", "/g/a")]), "is not a directory"),
        (Definition("d", symlinks=[("/no/l", "t")]), "there is no directory /no"),
    ):
        with pytest.raises(DefinitionError, match=said):
            populate(one, source, {}, None)


def test_what_is_not_there_is_warned_of_and_passed_over() -> None:
    said: list[str] = []
    control = Control(lambda event: said.append(event.message) if isinstance(event, Warned) else None)
    made = populate(Definition("d", copy_files=[("/no", "/a/b"), ("/f", "/g")]), tree(a_x="1", f="2"), {}, None, control)
    assert [path for path, _ in made.walk()] == [b"/", b"/g"]
    assert said == ["CopyFiles=/no: there is no such file, and nothing is copied"]
