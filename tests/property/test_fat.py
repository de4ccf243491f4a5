"""Laws of FAT: names, places, determinism, and changes that say the same as a fresh volume."""

from __future__ import annotations

import contextlib
import itertools

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob
from imgcore.errors import TreeError
from imgcore.events import Control
from imgcore.formats import fat
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.fat.entries import entries_of, entry_bytes
from imgcore.formats.fat.names import folded, is_short, named, problem
from imgcore.formats.fat.options import MAX_TIME, MIN_TIME
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Tree, manifest_lines, project
from tests.kit.archives import read, written
from tests.kit.fat_volumes import applied, contents
from tests.property.test_squashfs import shuffled

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30),
    st.text("aAbB.~1 ", min_size=1, max_size=13),
    st.text("é日\U0001f4be", min_size=1, max_size=140),
)
NAMES = TEXT.map(lambda text: text.encode()).filter(lambda name: problem(name) is None and name not in (b".", b".."))
LISTINGS = st.lists(NAMES, max_size=25, unique_by=folded)


@given(LISTINGS, st.integers(MIN_TIME, MAX_TIME), st.integers(0, 0xFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_names_come_back_as_they_were(names: list[bytes], time: int, cluster: int, size: int) -> None:
    forms = named(names)
    assert len({form.short for form in forms.values()}) == len(names)
    assert all(is_short(form.short) and len(form.short) == 11 for form in forms.values())
    data = b"".join(entry_bytes(name, forms[name], cluster, size, time, is_dir=False) for name in names)
    orphans: list[int] = []
    found = list(entries_of(data, orphans))
    assert [(one.name, one.cluster, one.record.size) for one in found] == [(name, cluster, size) for name in names]
    assert orphans == [] and [one.at for one in found] == [0, *(one.end for one in found)][: len(found)]


@given(LISTINGS, NAMES)
def test_short_names_depend_on_those_that_collide_only(names: list[bytes], more: bytes) -> None:
    assume(folded(more) not in map(folded, names))
    before, after = named(names), named([*names, more])
    alone = named([more])[more].short
    first = {name: named([name])[name].short for name in names}
    for name in names:
        if first[name] != alone:
            assert before[name] == after[name]


@given(LISTINGS, NAMES)
def test_a_name_that_is_added_later_changes_no_other(names: list[bytes], more: bytes) -> None:
    assume(folded(more) not in map(folded, names))
    forms = named(names)
    late = named([more], {form.short for form in forms.values()})[more]
    assert late.short not in {form.short for form in forms.values()}


def _file(content: bytes, time: int, mode: int) -> Node:
    return File(Meta(mode, 0, 0, time * 10**9), BytesBlob(content))


FILES = st.builds(_file, st.binary(max_size=3000), st.integers(MIN_TIME, MAX_TIME), st.sampled_from([0o755, 0o555]))


def _folder(children: list[tuple[bytes, Node]], time: int) -> Node:
    return Dir(Meta(0o755, 0, 0, time * 10**9), dict(children))


def _folders(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    entries = st.lists(st.tuples(NAMES, nodes), max_size=8, unique_by=lambda entry: folded(entry[0]))
    return st.builds(_folder, entries, st.integers(MIN_TIME, MAX_TIME))


TREES = _folders(st.recursive(FILES, _folders, max_leaves=15)).map(
    lambda node: Tree(node) if isinstance(node, Dir) else Tree(Dir())
)
"""Trees of names that FAT can hold: of the published strategies' trees most have others."""
OPTIONS = st.builds(
    fat.Options,
    type=st.sampled_from([None, 12, 16]),
    sector=st.sampled_from([512, 1024, 4096]),
    root_entries=st.sampled_from([128, 512]),
    label=st.sampled_from(["", "ESP", "A B"]),
)


@settings(max_examples=100)
@given(tree=TREES, options=OPTIONS)
def test_what_is_written_is_read(tree: Tree, options: fat.Options) -> None:
    image = written(fat.FORMAT, tree, options)
    found = read(fat.FORMAT, image)
    wanted = project(tree, fat.CAPABILITIES)

    def said(one: Tree) -> list[str]:
        return list(manifest_lines(one))[1:]  # the root has no time

    assert said(found) == said(wanted)
    assert [one.message for one in fat.FORMAT.check_blob(BytesBlob(image), Limits.default(), Control())] == []
    assert written(fat.FORMAT, found, options) == written(fat.FORMAT, Tree(Dir(found.root.meta, tree.root.children)), options)


@settings(max_examples=40)
@given(tree=TREES, seed=st.integers(0, 1 << 32))
def test_the_order_of_the_source_does_not_matter(tree: Tree, seed: int) -> None:
    assert written(fat.FORMAT, tree, fat.Options()) == written(fat.FORMAT, shuffled(tree, seed), fat.Options())


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(0, 20000), max_size=12), kind=st.sampled_from([12, 16]))
def test_files_lie_in_one_piece_and_nowhere_twice(sizes: list[int], kind: int) -> None:
    children: dict[bytes, Node] = {b"f%d" % number: File(Meta(), BytesBlob(b"x" * size)) for number, size in enumerate(sizes)}
    tree = read(fat.FORMAT, written(fat.FORMAT, Tree(Dir(Meta(), children)), fat.Options(type=kind, allow_loss=("time",))))
    runs = [node.content.runs() for _, node in tree.walk() if isinstance(node, File)]  # type: ignore[attr-defined]
    assert sorted(len(one) for one in runs) == sorted(min(size, 1) for size in sizes)
    spans = sorted((at, at + size) for one in runs for _, at, size in one)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


SCRIPT = st.lists(
    st.tuples(
        st.booleans(),
        st.lists(st.sampled_from([b"a", b"dir", b"Long name", b"long NAME.txt", "ü".encode()]), min_size=1, max_size=3),
        st.binary(max_size=3000),
    ),
    max_size=20,
)


@settings(max_examples=60)
@given(script=SCRIPT, parts=st.integers(1, 4))
def test_several_changes_one_by_one_are_one_change_of_all(script: list[tuple[bool, list[bytes], bytes]], parts: int) -> None:
    start = written(fat.FORMAT, Tree(Dir(Meta(), {})), fat.Options(type=12, size=1 << 20, allow_loss=("time",)))

    def change(data: bytes, steps: list[tuple[bool, list[bytes], bytes]]) -> bytes:
        edit = FatEditor(BytesBlob(data))
        for adds, names, content in steps:
            with contextlib.suppress(TreeError):  # a path that is not there, or a file in the way
                if adds:
                    edit.add(b"/" + b"/".join(names), BytesBlob(content))
                else:
                    edit.remove(b"/" + b"/".join(names))
        return applied(data, edit)

    whole, piece = change(start, script), start
    for number in range(parts):
        piece = change(piece, script[number * 20 // parts : (number + 1) * 20 // parts])
    one, two = contents(read(fat.FORMAT, whole)), contents(read(fat.FORMAT, piece))
    assert one == two
    fresh = written(fat.FORMAT, read(fat.FORMAT, whole), fat.Options(allow_loss=("time",)))
    assert contents(read(fat.FORMAT, fresh)) == one
