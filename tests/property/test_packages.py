"""Laws of packages: versions are ordered, headers are read as they were written, what is packed is what is read."""

from __future__ import annotations

import stat

from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, read_all
from imgcore.formats.rpm import open_image
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import Kind, Tag
from imgcore.limits import Limits
from imgcore.model import File
from imgcore.packages import Dependency, Evr, overlap, rpmvercmp
from tests.kit.packages import COMPRESS, Entry, Rpm, Values, header

VERSIONS = st.text("0019abzA.-_~^+é", max_size=8)
EVRS = st.builds(Evr, st.integers(0, 2), VERSIONS, VERSIONS.filter(bool))
RANGES = st.builds(
    lambda sign, version: Dependency("a", sign, version),
    st.sampled_from(["<", "<=", "=", ">=", ">"]),
    st.text("012.", min_size=1, max_size=3),
)


@given(VERSIONS, VERSIONS)
def test_antisymmetric(one: str, two: str) -> None:
    assert rpmvercmp(one, one) == 0
    assert rpmvercmp(one, two) == -rpmvercmp(two, one)


@settings(max_examples=500)
@given(VERSIONS, VERSIONS, VERSIONS)
def test_transitive(one: str, two: str, three: str) -> None:
    low, middle, high = sorted((one, two, three), key=__import__("functools").cmp_to_key(rpmvercmp))
    assert rpmvercmp(low, middle) <= 0 and rpmvercmp(middle, high) <= 0
    assert rpmvercmp(low, high) <= 0
    if rpmvercmp(low, high) == 0:
        assert rpmvercmp(low, middle) == rpmvercmp(middle, high) == 0


@given(EVRS, EVRS)
def test_evrs_are_ordered(one: Evr, two: Evr) -> None:
    assert (one < two) + (one == two) + (one > two) == 1


@given(RANGES, RANGES, st.text("012.", min_size=1, max_size=3))
def test_ranges_that_both_hold_a_version_overlap(one: Dependency, two: Dependency, version: str) -> None:
    assert overlap(one, two) == overlap(two, one)
    exact = Dependency("a", "=", version)
    if overlap(one, exact) and overlap(two, exact):
        assert overlap(one, two)


TEXTS = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b""))
VALUES: st.SearchStrategy[Values] = st.one_of(
    st.tuples(st.just(Kind.INT16), st.lists(st.integers(0, (1 << 16) - 1), min_size=1, max_size=5)),
    st.tuples(st.just(Kind.INT32), st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=5)),
    st.tuples(st.just(Kind.INT64), st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=5)),
    st.tuples(st.just(Kind.STRING), st.lists(TEXTS, min_size=1, max_size=1)),
    st.tuples(st.just(Kind.STRING_ARRAY), st.lists(TEXTS, min_size=1, max_size=5)),
    st.tuples(st.just(Kind.I18NSTRING), st.lists(TEXTS, min_size=1, max_size=3)),
    st.tuples(st.just(Kind.BIN), st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=1)),
)


@given(st.dictionaries(st.integers(1000, 6000), VALUES, min_size=1, max_size=12), st.sampled_from([None, 63]))
def test_headers(entries: dict[int, Values], region: int | None) -> None:
    found = Header(BytesBlob(header(entries, region)), 0, Limits.default())
    for tag, (kind, values) in entries.items():
        if kind in (Kind.STRING, Kind.STRING_ARRAY, Kind.I18NSTRING):
            assert found.texts(tag) == values
        elif kind == Kind.BIN:
            assert found.binary(tag) == values[0]
        else:
            assert found.numbers(tag) == values
    assert found.end == found.raw().size


NAMES = st.binary(min_size=1, max_size=8).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))


@given(
    st.dictionaries(NAMES, st.tuples(st.binary(max_size=50), st.integers(0, 0o7777), st.integers(0, 3)), max_size=8),
    st.sampled_from(sorted(COMPRESS)),
    st.sampled_from(["newc", "crc", "stripped"]),
    st.sampled_from([3, 4, 6]),
)
def test_packages(files: dict[bytes, tuple[bytes, int, int]], compression: str, form: str, version: int) -> None:
    groups: dict[int, bytes] = {}
    entries = []
    for name, (data, mode, inode) in sorted(files.items()):
        content = groups.setdefault(inode, data) if inode else data  # names of one inode have one content
        entries.append(Entry(b"/d/" + name, content, stat.S_IFREG | mode, inode=inode))
    package = Rpm(entries, compression=compression, form=form, format=version)
    last = {one.inode: one.mode & 0o7777 for one in entries if one.inode}
    with open_image(BytesBlob(package.build())) as image:
        assert sum(1 for _ in image.tree.walk()) == (2 + len(entries) if entries else 1)
        for one in entries:
            node = image.tree[one.path]
            assert isinstance(node, File) and read_all(node.content) == one.content
            assert node.meta.mode == (last[one.inode] if one.inode else one.mode & 0o7777)
        assert Tag.BASENAMES not in image.header or len(image.package.files) == len(entries)
        assert not list(image.check())
