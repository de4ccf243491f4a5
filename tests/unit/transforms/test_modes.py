from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.model import char_device, directory, file, symlink, tree
from imgcore.transforms import ModeRule, change_modes, change_root
from tests.kit.gnu import chmod_says

CHMOD = shutil.which("chmod")
needs_chmod = pytest.mark.skipif(CHMOD is None or not tempfile.gettempdir(), reason="chmod is not installed")

RULES = [
    "u=rw", "g-w", "o+x", "a=rX", "+x", "-x", "=r", "=", "u=", "a=", "u+s", "g+s", "o+s", "+s", "-s", "u-s", "g-s", "=s",
    "u=s",
    "u+t", "g+t", "o+t", "+t", "-t", "a+t", "=t", "o=t", "o=", "u=g", "g=u", "o=u", "a=u", "u+g", "g-o", "o+u", "=u", "+u",
    "-g", "u=rwX,go-w", "u=rwx,g=rx,o=", "a+X", "u+X", "-X", "go=u-w", "u+x-w", "u=rw+x", "ug+rw,o-rwx", "uo=g", "uuu+x",
    "ga+r", "a-x,a+X", "u=x,go=u", "ug=rwxs", "g=s,o=t", "u-s,g-s", "og=,u=rw",
    "0", "7", "644", "0644", "4755", "7777", "00755",
]  # fmt: skip
MODES = [0, 0o644, 0o755, 0o4755, 0o2755, 0o6711, 0o1777, 0o7777, 0o111, 0o600, 0o2070]


@needs_chmod
def test_as_chmod(tmp_path: Path, needs_root: None) -> None:
    cases = [(rule, mode, is_dir) for rule in RULES for mode in MODES for is_dir in (False, True)]
    assert CHMOD is not None
    for (rule, mode, is_dir), theirs in zip(cases, chmod_says(CHMOD, tmp_path, cases), strict=True):
        if rule.isdigit() and len(rule) < 5 and is_dir and mode & 0o6000 & ~int(rule, 8):
            continue  # see test_octal_is_octal
        assert (rule, oct(mode), is_dir, ModeRule.parse(rule).apply(mode, is_dir)) == (rule, oct(mode), is_dir, theirs)


def test_octal_is_octal() -> None:
    """chmod keeps setuid and setgid of a directory unless five digits are given; in an image the mode is what was said."""
    assert ModeRule.parse("755").apply(0o6711, True) == 0o755
    assert ModeRule.parse("00755").apply(0o6711, True) == 0o755


_WHO = st.text("ugoa", max_size=3)
_STEP = st.tuples(st.sampled_from("+-="), st.one_of(st.text("rwxXst", max_size=4), st.sampled_from("ugo"))).map("".join)
_CLAUSE = st.tuples(_WHO, st.lists(_STEP, min_size=1, max_size=3).map("".join)).map("".join)
_RULE = st.lists(_CLAUSE, min_size=1, max_size=3).map(",".join)


@needs_chmod
@settings(max_examples=60)
@given(st.lists(st.tuples(_RULE, st.integers(0, 0o7777), st.booleans()), min_size=1, max_size=4))
def test_as_chmod_for_any_rule(cases: list[tuple[str, int, bool]]) -> None:
    assert CHMOD is not None
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with tempfile.TemporaryDirectory() as where:
        theirs = chmod_says(CHMOD, Path(where), cases)
    assert [oct(ModeRule.parse(rule).apply(mode, is_dir)) for rule, mode, is_dir in cases] == [
        None if mode is None else oct(mode) for mode in theirs
    ]


@pytest.mark.parametrize(
    "rule", ["", "u", "rwx", "u=rwz", "x=r", "u=r,", ",u=r", "8", "10000", "77777", "888", "-1", "u=ru", "0o644"]
)
def test_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        ModeRule.parse(rule)


def test_change_modes() -> None:
    twice = file(mode=0o666)
    sample = tree(
        {"/a": twice, "/d/b": twice, "/d/": directory(mode=0o777), "/l": symlink("a"), "/c": char_device(1, 3, mode=0o666)}
    )
    changed = change_modes(sample, files=ModeRule.parse("go-w"), dirs=ModeRule.parse("0700"))
    assert changed["/a"] is changed["/d/b"]
    assert [changed[path].meta.mode for path in ("/", "/a", "/d", "/l", "/c")] == [0o700, 0o644, 0o700, 0o777, 0o644]
    only_d = change_modes(sample, dirs=ModeRule.parse("0"), where=lambda path, node: path == b"/d")
    assert [only_d[path].meta.mode for path in ("/", "/a", "/d")] == [0o755, 0o666, 0]
    by_second_name = change_modes(sample, files=ModeRule.parse("0"), where=lambda path, node: path == b"/d/b")
    assert by_second_name["/a"] is by_second_name["/d/b"]
    assert by_second_name["/a"].meta.mode == 0


def test_change_root() -> None:
    import dataclasses

    sample = tree({"/a": b""})
    changed = change_root(sample, lambda meta: dataclasses.replace(meta, uid=9))
    assert (changed.root.meta.uid, sample.root.meta.uid, changed["/a"]) == (9, 0, sample["/a"])
