"""Sort files and recorded orders, line by line; how they are understood is compared with their own tools in tests/oracle."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt
from imgcore.model import File, FileHints, Meta
from imgcore.transforms.order import Order, read_access_order, read_sort_file, read_sort_rules

NODE = File(Meta(), BytesBlob(b""))


def priorities(order: Order, *paths: bytes) -> list[int | None]:
    found = [order(path, NODE) for path in paths]
    return [None if hints is None else hints.priority for hints in found]


def test_sort_file() -> None:
    order = read_sort_file(b"# first\n\n  a 5\r\nd/x\t-32768  \nwith\\ blank\\\\ 32767\n/d 7\n./e/ 1\n")
    assert priorities(order, b"/a", b"/d/x", b"/d/y", b"/d/deep/y", b"/with blank\\", b"/e/f", b"/b") == [
        5, -32768, 7, 7, 32767, 1, None,
    ]  # fmt: skip
    assert order(b"/a", NODE) == FileHints(priority=5)


def test_a_later_line_counts_and_the_nearest_directory() -> None:
    order = read_sort_file(b"a 1\na 2\nd 3\nd/e 4\n/ 9\n")
    assert priorities(order, b"/a", b"/d/x", b"/d/e/x", b"/other") == [2, 3, 4, 9]


def test_absolute_paths_below_the_source() -> None:
    order = read_sort_file(b"/src/tree/a 1\n/src/treetop/a 2\n/src/tree 3\n", source=b"/src/tree/")
    assert priorities(order, b"/a", b"/b", b"/src/treetop/a") == [1, 3, 2]


def test_unused_lines() -> None:
    order = read_sort_file(b"a 1\n# c\nnothing 2\nd 3\nempty/ 4\na 5\n")
    order(b"/a", NODE), order(b"/d/x", NODE)
    assert order.unused() == [(3, b"nothing"), (5, b"empty/")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"a", "no priority"),
        (b"a b 5", "no priority"),
        (b"a 5 6", "something behind"),
        (b"a 5 # why", "something behind"),
        (b"a +5", "no priority"),
        (b"a 32768", "out of range"),
        (b"a -32769", "out of range"),
        (b"a " + b"9" * 5000, "64 bits"),
        (b"../a 5", "`..`"),
        (b"a\0b 5", "NUL"),
    ],
)
def test_bad_sort_files(line: bytes, message: str) -> None:
    with pytest.raises(Corrupt, match=message) as caught:
        read_sort_file(b"ok 1\n\n" + line + b"\n", "the-file")
    assert (caught.value.structure, caught.value.line) == ("the-file", 3)


def test_access_order() -> None:
    order = read_access_order(b"/usr/bin/b\nusr/bin/a\n\n/usr/bin/b\r\n# file\n nothing\n")
    first, second, odd, rest = priorities(order, b"/usr/bin/b", b"/usr/bin/a", b"/# file", b"/other")
    assert first is not None and second is not None and odd is not None and rest is None
    assert first > second > odd > 0
    assert order.unused() == [(6, b" nothing")]
    with pytest.raises(Corrupt, match=r"line 2, access order"):
        read_access_order(b"a\n../b\n")


RULES = b"""# order
-8000  [glob]          bin/*
-5000 [ glob , align ] lib/[a-c]?
 -1000\t[glob_no_path]  share/*
-100000  [dont_compress,dont_fragment,nosparse]  boot/vmlinuz
0 [dont_deduplicate] /single
1337  "usr/share/my \\"special\\" \\\\file  "
1 bin/late
2 plain with blanks
"""


def test_sort_rules() -> None:
    order = read_sort_rules(RULES, align=8192)
    assert order(b"/bin/sh", NODE) == FileHints(priority=8000)
    assert order(b"/bin/late", NODE) == FileHints(priority=8000)  # the first line that matches
    assert order(b"/bin/sub/sh", NODE) is None
    assert order(b"/lib/a1", NODE) == FileHints(priority=5000, align=8192)
    assert order(b"/lib/d1", NODE) is None
    assert order(b"/share/deep/er", NODE) == FileHints(priority=1000)
    assert order(b"/boot/vmlinuz", NODE) == FileHints(priority=100000, compress=False, fragment=False, holes=False)
    assert order(b"/single", NODE) == FileHints(dedup=False)
    assert priorities(order, b'/usr/share/my "special" \\file  ', b"/plain with blanks") == [-1337, -2]
    assert order.unused() == [(8, b"bin/late")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"x a", "no priority"),
        (b"+5 a", "no priority"),
        (b"5", "no path"),
        (b"5a", "no path"),
        (b"5 [wrong] a", "unknown flag"),
        (b"5 [glob a", "closing bracket"),
        (b"5 [align]", "no path"),
        (b"5 [align]a", "no path"),
        (b'5 "a', "quote"),
        (b'5 "a\\n"', "escape"),
        (b'5 "a\\', "escape"),
        (b'5 "a" b', "behind the quoted"),
        (b"9223372036854775808 a", "64 bits"),
        (b"5 ../a", "`..`"),
    ],
)
def test_bad_sort_rules(line: bytes, message: str) -> None:
    with pytest.raises(Corrupt, match=message) as caught:
        read_sort_rules(b"1 ok\n" + line)
    assert (caught.value.structure, caught.value.line) == ("sort file", 2)


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        (b"*", b"/a", True), (b"*", b"/a/b", False), (b"*", b"/.hidden", True), (b"a/*/c", b"/a/b/c", True),
        (b"a/*/c", b"/a/b/b/c", False), (b"[!a]b", b"/cb", True), (b"[!a]b", b"/ab", False), (b"[]x]", b"/]", True),
        (b"a[/]b", b"/a/b", False), (b"[", b"/[", True), (b"[z-a]", b"/z", False), (b"a\\*", b"/a*", True),
        (b"a\\*", b"/ab", False), (b"a?b", b"/a/b", False), (b"a.b", b"/axb", False), (b"/lead", b"/lead", True),
    ],
)  # fmt: skip
def test_globs(glob: bytes, path: bytes, matches: bool) -> None:
    assert (read_sort_rules(b"1 [glob] " + glob)(path, NODE) is not None) is matches


def test_globs_across_slashes() -> None:
    order = read_sort_rules(b"1 [glob_no_path] a*?c")
    assert order(b"/a/b/c", NODE) is not None and order(b"/a/b/d", NODE) is None


@given(text=st.binary(max_size=200))
def test_anything_is_read_or_refused(text: bytes) -> None:
    for read in (read_sort_file, read_sort_rules, read_access_order):
        try:
            order = read(text)
        except Corrupt as error:
            assert error.line is not None
        else:
            order(b"/a", NODE)


def test_a_long_list_is_quick_to_ask() -> None:
    names = [b"/d%d/f%d" % (number % 100, number) for number in range(20000)]
    random.Random(1).shuffle(names)
    order = read_access_order(b"\n".join(names))
    found = priorities(order, *names)
    assert found == sorted(found, reverse=True) and not order.unused()  # type: ignore[type-var]
