"""Shell patterns: as the C library's fnmatch, which mksquashfs and gensquashfs ask."""

from __future__ import annotations

import ctypes
import re
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgcore.model import glob_component

_FNM_PATHNAME = 1


def matches(glob: bytes, text: bytes, *, crosses: bool = False) -> bool:
    return re.compile(glob_component(glob, crosses=crosses), re.DOTALL).fullmatch(text) is not None


@pytest.mark.parametrize(
    ("glob", "text", "expected"),
    [
        (b"a*c", b"abbc", True),
        (b"a*c", b"a/c", False),
        (b"a?c", b"a/c", False),
        (b"a[/]c", b"a/c", False),
        (b"a\\/c", b"a/c", True),
        (b"[!/]", b"a", True),
        (b"[./]", b".", True),
        (b"[]a]", b"]", True),
        (b"[!]a]", b"]", False),
        (b"[a-]", b"-", True),
        (b"[+--]", b",", True),
        (b"[z-a]", b"m", False),
        (b"[!z-a]", b"m", True),
        (b"[z-ax]", b"x", True),
        (b"[\\]x]", b"]", True),
        (b"[a-\\c]", b"b", True),
        (b"[[:digit:]x]", b"7", True),
        (b"[![:digit:]x]", b"7", False),
        (b"[[&&~~||--]", b"&", True),
        (b"[abc", b"[abc", True),
        (b"\\*", b"*", True),
        (b"\\*", b"x", False),
        (b"*", b"\xff\n", True),
    ],
)
def test_patterns(glob: bytes, text: bytes, expected: bool) -> None:
    assert matches(glob, text) is expected


def test_wild_cards_that_cross() -> None:
    assert matches(b"a*c", b"a/b/c", crosses=True)
    assert matches(b"a[!b]c", b"a/c", crosses=True)
    assert matches(b"a[.-0]c", b"a/c", crosses=True)


@settings(max_examples=500)
@given(
    glob=st.lists(st.sampled_from(b"ab*?[]!^-/"), max_size=8).map(bytes),
    text=st.lists(st.sampled_from(b"ab-]!^/."), max_size=5).map(bytes),
    crosses=st.booleans(),
)
def test_as_the_c_library(glob: bytes, text: bytes, crosses: bool) -> None:
    fnmatch = getattr(ctypes.CDLL(None), "fnmatch", None)
    if fnmatch is None:
        pytest.skip("no fnmatch in the C library")
    # What is no set: glibc gives up on some of them, where shells take the bracket as it stands.
    assume(b"[" not in re.sub(rb"\[[!^]?\]?[^]]*\]", b"", glob))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = matches(glob, text, crosses=crosses)
    assert ours is (fnmatch(glob, text, 0 if crosses else _FNM_PATHNAME) == 0)
