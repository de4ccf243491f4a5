from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.errors import PathError
from imgcore.model import Dir, Tree, file, tree
from imgcore.testing import names, trees
from imgcore.transforms import Globs, exclude, only

PATHS = {
    "/usr/bin/tool": b"",
    "/usr/bin/tool.pyc": b"",
    "/usr/lib/python/a.pyc": b"",
    "/usr/lib/python/b.py": b"",
    "/lib/x": b"",
    "/var/cache/lib/y": b"",
    "/empty/lib/": b"",
    "/[odd]": b"",
    "/star*": b"",
}


def files(sample: Tree) -> set[str]:
    return {path.decode() for path, node in sample.walk() if not isinstance(node, Dir)}


def dirs(sample: Tree) -> set[str]:
    return {path.decode() for path, node in sample.walk() if isinstance(node, Dir)}


@pytest.mark.parametrize(
    ("glob", "gone"),
    [
        ("*.pyc", {"/usr/bin/tool.pyc", "/usr/lib/python/a.pyc"}),
        ("/usr/*", {"/usr/bin/tool", "/usr/bin/tool.pyc", "/usr/lib/python/a.pyc", "/usr/lib/python/b.py"}),
        ("usr/*.pyc", set()),
        ("usr/**/*.pyc", {"/usr/bin/tool.pyc", "/usr/lib/python/a.pyc"}),
        ("**/bin/tool", {"/usr/bin/tool"}),
        ("/usr/lib/**", {"/usr/lib/python/a.pyc", "/usr/lib/python/b.py"}),
        ("lib", {"/lib/x", "/usr/lib/python/a.pyc", "/usr/lib/python/b.py", "/var/cache/lib/y"}),
        ("/lib", {"/lib/x"}),
        ("lib/", {"/lib/x", "/usr/lib/python/a.pyc", "/usr/lib/python/b.py", "/var/cache/lib/y"}),
        ("tool/", set()),
        ("?", {"/lib/x", "/var/cache/lib/y"}),
        ("[xy]", {"/lib/x", "/var/cache/lib/y"}),
        ("[!x]", {"/var/cache/lib/y"}),
        ("[a-x]", {"/lib/x"}),
        ("[z-a]", set()),
        ("[odd]", set()),
        (r"\[odd]", {"/[odd]"}),
        ("[odd", set()),
        (r"star\*", {"/star*"}),
        ("s*r*", {"/star*"}),
        ("usr?bin", set()),
        ("*[!a]bin", set()),
    ],
)
def test_exclude(glob: str, gone: set[str]) -> None:
    assert set(PATHS) - {"/empty/lib/"} - files(exclude(tree(PATHS), [glob])) == gone


def test_a_double_star_at_the_end_keeps_the_directory() -> None:
    assert "/usr/lib" in dirs(exclude(tree(PATHS), ["/usr/lib/**"]))
    assert "/usr/lib" not in dirs(exclude(tree(PATHS), ["/usr/lib"]))


def test_other_names_of_an_excluded_file_stay() -> None:
    twice = file(b"1")
    sample = exclude(tree({"/a": twice, "/b": twice}), ["a"])
    assert sample["/b"] is twice


def test_names_are_bytes() -> None:
    sample = Tree(Dir(children={b"\xff\n": file(), b"\xc3\xa9": file()}))
    assert set(exclude(sample, [b"\xff*"]).root.children) == {b"\xc3\xa9"}
    assert set(exclude(sample, ["é"]).root.children) == {b"\xff\n"}
    assert set(exclude(sample, [b"??"]).root.children) == set()  # characters are bytes


def test_unused_globs_are_known() -> None:
    globs = Globs(["*.pyc", "nothing"])
    exclude(tree(PATHS), globs)
    assert globs.unused() == ["nothing"]


@pytest.mark.parametrize("glob", ["", "/", "//"])
def test_empty_globs(glob: str) -> None:
    with pytest.raises(ValueError, match="glob"):
        Globs([glob])


def test_only() -> None:
    sample = only(tree(PATHS), ["/usr/bin", "*.py"])
    assert files(sample) == {"/usr/bin/tool", "/usr/bin/tool.pyc", "/usr/lib/python/b.py"}
    assert dirs(sample) == {"/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib/python"}
    assert dirs(only(tree(PATHS), ["/empty"])) == {"/", "/empty", "/empty/lib"}
    with pytest.raises(PathError, match="nothing"):
        only(tree(PATHS), ["nothing"])


@settings(max_examples=50)
@given(trees(), st.lists(names().map(lambda name: name.rstrip(b"\\") or b"x"), max_size=3))
def test_exclude_and_only_share_the_tree(drawn: Tree, globs: list[bytes]) -> None:
    left = {path for path, node in exclude(drawn, globs).walk() if not isinstance(node, Dir)}
    try:
        taken = {path for path, node in only(drawn, globs).walk() if not isinstance(node, Dir)} if globs else set()
    except PathError:
        taken = set()
    assert left | taken == {path for path, node in drawn.walk() if not isinstance(node, Dir)}
    assert not left & taken
