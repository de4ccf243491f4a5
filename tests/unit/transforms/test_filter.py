from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.errors import Corrupt, PathError
from imgcore.model import Dir, File, Tree, file, tree
from imgcore.testing import names, trees
from imgcore.transforms import Globs, Regexes, Rule, exclude, max_depth, only, prune_empty, read_ignore_file

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


def test_only_by_a_function() -> None:
    sample = only(tree(PATHS), lambda path, node: isinstance(node, File) and path.endswith(b".py"))
    assert files(sample) == {"/usr/lib/python/b.py"}
    assert dirs(sample) == {"/", "/usr", "/usr/lib", "/usr/lib/python"}
    assert files(only(tree(PATHS), lambda path, node: path == b"/usr/lib")) == {
        "/usr/lib/python/a.pyc",
        "/usr/lib/python/b.py",
    }
    with pytest.raises(PathError, match=r"nothing in the tree matches.*what was chosen"):
        only(tree(PATHS), lambda path, node: False)
    assert files(only(tree(PATHS), Regexes(["[.]pyc$"]))) == files(only(tree(PATHS), ["*.pyc"]))


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


def test_rules_and_the_last_word() -> None:
    sample = tree({"/out/keep/a": b"", "/out/b": b"", "/out/keep/c.o": b"", "/in": b""})
    rules = [Rule(Globs(["/out", "*.o"])), Rule(Globs(["keep"]), keep=True)]
    assert files(exclude(sample, rules)) == {"/out/keep/a", "/in"}
    assert files(exclude(sample, [rules[1], rules[0]])) == {"/out/keep/a", "/in"}
    assert dirs(exclude(sample, [Rule(Globs(["/out/"])), Rule(Globs(["/out/keep/"]), True)])) == {"/", "/out", "/out/keep"}
    assert dirs(exclude(tree({"/out/x/y": b""}), [Rule(Globs(["/out"])), Rule(Globs(["nothing"]), True)])) == {"/"}


def test_read_ignore_file() -> None:
    rules = read_ignore_file(b"# c\n\n*.o\r\n!keep.o\n\\#h  \n\\!b\nt\\ \n")
    assert [rule.keep for rule in rules] == [False, True, False, False, False]
    sample = tree({"/a.o": b"", "/keep.o": b"", "/#h": b"", "/!b": b"", "/t ": b"", "/t": b""})
    assert files(exclude(sample, rules)) == {"/keep.o", "/t"}
    with pytest.raises(Corrupt, match="glob") as caught:
        read_ignore_file(b"a\n\n!/\n")
    assert caught.value.line == 3


def test_regexes() -> None:
    found = Regexes([r"\.py(c)?$", "nothing"])
    assert files(exclude(tree(PATHS), found)) == set(PATHS) - {"/empty/lib/", "/usr/bin/tool.pyc", "/usr/lib/python/a.pyc",
                                                              "/usr/lib/python/b.py"}  # fmt: skip
    assert found.unused() == ["nothing"]
    assert files(exclude(Tree(Dir(children={b"\xff\n": file()})), Regexes([rb"^/\xff.$"]))) == set()
    with pytest.raises(ValueError, match="not a regular expression"):
        Regexes(["("])


def test_a_function() -> None:
    left = exclude(tree(PATHS), lambda path, node: path == b"/usr")
    assert files(left) == {"/lib/x", "/var/cache/lib/y", "/[odd]", "/star*"}


def test_max_depth() -> None:
    assert {path for path, _ in max_depth(tree(PATHS), 0).walk()} == {b"/"}
    assert {path for path, _ in max_depth(tree(PATHS), 1).walk()} == {
        b"/",
        b"/usr",
        b"/lib",
        b"/var",
        b"/empty",
        b"/[odd]",
        b"/star*",
    }
    assert b"/usr/bin" in max_depth(tree(PATHS), 2)
    assert b"/usr/bin/tool" not in max_depth(tree(PATHS), 2)
    with pytest.raises(ValueError, match="depth"):
        max_depth(tree(PATHS), -1)


def test_prune_empty() -> None:
    pruned = prune_empty(tree({"/a/b/c/": b"", "/d/e/": b"", "/d/f": b"", "/g": file()}))
    assert [path for path, _ in pruned.walk()] == [b"/", b"/d", b"/d/f", b"/g"]
    assert [path for path, _ in prune_empty(tree({"/a/b/": b""})).walk()] == [b"/"]


@settings(max_examples=50)
@given(trees())
def test_pruned_trees_have_no_empty_directory(drawn: Tree) -> None:
    pruned = prune_empty(drawn)
    assert all(node.children for path, node in pruned.walk() if isinstance(node, Dir) and path != b"/")
    kept = {path for path, node in drawn.walk() if not isinstance(node, Dir)}
    assert {path for path, node in pruned.walk() if not isinstance(node, Dir)} == kept
