"""Laws of the ISO 9660 and FAT writers, readers and editors, over random trees."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, read_all
from imgcore.build.iso_modify import Add, Remove, modify
from imgcore.errors import MergeConflict, NotRepresentable
from imgcore.events import Control
from imgcore.formats import fat, iso9660
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.iso9660.layout import BLOCK, VolumeDescriptor, low32
from imgcore.formats.iso9660.names import NamingRules, identifiers, joliet_names
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.susp import link_entries, name_entries
from imgcore.formats.iso9660.susp_reader import parse
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Tree, diff, manifest_lines, project
from imgcore.testing.strategies import names, trees
from tests.kit.archives import read, written
from tests.property.test_squashfs import shuffled

ISO, FAT = iso9660.FORMAT, fat.FORMAT
LEVELS = [
    iso9660.Options(),
    iso9660.Options(joliet="long"),
    iso9660.Options(level=1, joliet="yes"),
    iso9660.Options(level=4, relaxed=True),
    iso9660.Options(rock_ridge="1.12", align=4096),
]


def fits(tree: Tree) -> bool:
    """Whether no device is among those that Linux would read as another one."""
    return not any(isinstance(node, Device) and node.major == 0 and node.minor > 255 for _, node in tree.walk())


@settings(max_examples=150)
@given(data=st.data(), options=st.sampled_from(LEVELS))
def test_what_is_written_is_read(data: st.DataObject, options: iso9660.Options) -> None:
    tree = data.draw(trees(options.capabilities).filter(fits))
    image = written(ISO, tree, options)
    found = read(ISO, image)
    assert list(manifest_lines(found)) == list(manifest_lines(project(tree, options.capabilities)))
    assert [one.message for one in ISO.check_blob(BytesBlob(image), Limits.default(), Control())] == []
    assert len(image) == BLOCK * low32(IsoImage(BytesBlob(image), Limits.default()).primary.space_size)


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 1 << 32))
def test_the_order_of_the_source_does_not_matter(data: st.DataObject, seed: int) -> None:
    tree = data.draw(trees(ISO.capabilities, max_entries=12).filter(fits))
    options = iso9660.Options(joliet="yes", time=0)
    assert written(ISO, tree, options) == written(ISO, shuffled(tree, seed), options)


@settings(max_examples=60)
@given(data=st.data(), options=st.sampled_from(LEVELS[:4]))
def test_no_two_things_lie_in_one_place_and_both_byte_orders_agree(data: st.DataObject, options: iso9660.Options) -> None:
    tree = data.draw(trees(ISO.capabilities).filter(fits))
    image = written(ISO, tree, options)
    opened = IsoImage(BytesBlob(image), Limits.default())
    spans = []
    for descriptor in opened.descriptors:
        record = descriptor.record
        if not isinstance(record, VolumeDescriptor):
            continue
        size = low32(record.path_table_size)
        big = int.from_bytes(record.path_table_m, "big")
        spans += [(place * BLOCK, place * BLOCK + size) for place in (record.path_table_l, big)]
        for place in ("space_size", "path_table_size"):
            value = getattr(record, place)
            assert low32(value) == int.from_bytes((value >> 32).to_bytes(4, "little"), "big")
    contents = [node.content for _, node in opened.tree.walk() if isinstance(node, File) and node.content.size]
    spans += [(one.start, one.start + one.size) for one in contents]  # type: ignore[attr-defined]
    spans.sort()
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(spans))


@given(st.lists(names(ISO.capabilities), unique=True, max_size=30), st.sampled_from([1, 2, 3]), st.booleans())
def test_identifiers_are_unique_and_do_not_depend_on_others(found: list[bytes], level: int, relaxed: bool) -> None:
    kinds = {name: len(name) % 2 == 0 for name in found}
    rules = NamingRules(level, relaxed)
    made = identifiers(kinds, rules)
    assert len(set(made.values())) == len(made)
    longest = {1: (8, 14), 2: (31, 33), 3: (31, 33)}[level]
    for name, identifier in made.items():
        assert len(identifier) <= longest[0 if kinds[name] else 1]
        alone = identifiers({name: kinds[name]}, rules)[name]
        same = [other for other in found if identifiers({other: kinds[other]}, rules)[other] == alone]
        if len(same) == 1:
            assert identifier == alone  # nothing else there has a say
        others = {other: kinds[other] for other in same}
        assert identifiers(others, rules)[name] == identifier or len(same) > 2
    assert len(set(joliet_names(found, 64).values())) == len(found)


@given(st.binary(min_size=1, max_size=4095).filter(lambda target: b"\0" not in target))
def test_every_link_comes_back_as_it_was(target: bytes) -> None:
    rock = parse(b"".join(link_entries(target)), 0, lambda at, size: b"")
    assert rock.target == target


@given(st.binary(min_size=1, max_size=253).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_every_name_comes_back_as_it_was(name: bytes) -> None:
    assert parse(b"".join(name_entries(name)), 0, lambda at, size: b"").name == name


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove", "mkdir"]),
        st.lists(st.sampled_from([b"a", b"b.txt", b"Long name.text", b"d", "ü".encode()]), min_size=1, max_size=3),
        st.binary(max_size=5000),
    ),
    max_size=12,
)


@settings(max_examples=80)
@given(data=st.data(), script=EDITS, options=st.sampled_from(LEVELS))
def test_edits_are_a_fresh_build_in_meaning(
    data: st.DataObject, script: list[tuple[str, list[bytes], bytes]], options: iso9660.Options
) -> None:
    caps = dataclasses.replace(options.capabilities, hardlinks=False)
    tree = project(data.draw(trees(caps, max_entries=10).filter(fits)), caps)
    image = written(ISO, tree, options)
    wanted = {path: _seen(node) for path, node in tree.walk()}
    meta = Meta(0o644, 0, 0, 1_000_000_000)
    edits: list[Add | Remove] = []
    for kind, parts, content in script:
        path = b"/" + b"/".join(parts)
        above = [b"/" + b"/".join(parts[:count]) for count in range(1, len(parts))]
        if any(isinstance(wanted.get(one), bytes) or (one in wanted and wanted[one] is not None) for one in above):
            continue
        if kind == "remove":
            if path in wanted:
                edits.append(Remove(path))
                wanted = {one: what for one, what in wanted.items() if one != path and not one.startswith(path + b"/")}
        elif path not in wanted or (wanted[path] is None) == (kind == "mkdir"):
            edits.append(Add(path, Dir(meta, {}) if kind == "mkdir" else File(meta, BytesBlob(content))))
            wanted |= dict.fromkeys([one for one in above if one not in wanted])
            wanted[path] = None if kind == "mkdir" else content
    result = modify(BytesBlob(image), edits)
    changed = read_all(result.blob())
    assert edits or changed == image
    found = {path: _seen(node) for path, node in read(ISO, changed).walk()}
    assert found == wanted
    assert [one.message for one in ISO.check_blob(BytesBlob(changed), Limits.default(), Control())] == []


def _seen(node: object) -> object:
    """Return what compares of a node: None for a directory, a file's bytes, else its type."""
    if isinstance(node, Dir):
        return None
    return read_all(node.content) if isinstance(node, File) else type(node).__name__


# FAT


def plain(name: bytes) -> bool:
    return fat_problem(name) is None


def fat_problem(name: bytes) -> str | None:
    from imgcore.formats.fat.names import problem

    return problem(name)


@settings(max_examples=100)
@given(data=st.data(), kind=st.sampled_from([None, 12, 16]))
def test_a_fat_volume_has_what_was_put_into_it(data: st.DataObject, kind: int | None) -> None:
    tree = data.draw(trees(FAT.capabilities))
    try:
        image = written(FAT, tree, fat.Options(type=kind))
    except (NotRepresentable, MergeConflict) as error:  # names that FAT does not have, or has as one
        assert "fat" in str(error)
        return
    found = read(FAT, image)
    assert {path: _seen(node) for path, node in found.walk()} == {path: _seen(node) for path, node in tree.walk()}
    times = {path: node.meta.mtime_ns for path, node in project(tree, FAT.capabilities).walk() if path != b"/"}
    assert {path: node.meta.mtime_ns for path, node in found.walk() if path != b"/"} == times
    assert [one.message for one in FAT.check_blob(BytesBlob(image), Limits.default(), Control())] == []


@settings(max_examples=80)
@given(script=EDITS, kind=st.sampled_from([12, 16]))
def test_edits_of_a_fat_volume(script: list[tuple[str, list[bytes], bytes]], kind: int) -> None:
    start = Tree(Dir(Meta(0o755), {b"keep.me": File(Meta(), BytesBlob(b"kept" * 500))}))
    image = bytearray(
        written(FAT, start, fat.Options(type=kind, size=4 << 20, cluster=None if kind == 16 else 2048, allow_loss=("time",)))
    )
    wanted: dict[bytes, object] = {b"/": None, b"/keep.me": b"kept" * 500}
    editor = FatEditor(BytesBlob(bytes(image)))
    for what, parts, content in script:
        path = b"/" + b"/".join(parts)
        above = [b"/" + b"/".join(parts[:count]) for count in range(1, len(parts))]
        if any(wanted.get(one) is not None for one in above):
            continue
        if what == "remove":
            if path in wanted:
                editor.remove(path)
                wanted = {one: seen for one, seen in wanted.items() if one != path and not one.startswith(path + b"/")}
        elif what == "mkdir" and wanted.get(path) is None:
            editor.mkdir(path)
            wanted |= dict.fromkeys([*above, path])
        elif what == "add" and not (path in wanted and wanted[path] is None):
            editor.add(path, BytesBlob(content))
            wanted |= {one: None for one in above if one not in wanted}
            wanted[path] = content
    for patch in editor.patches():
        data = read_all(patch.content)
        image[patch.at : patch.at + len(data)] = data
    found = {path: _seen(node) for path, node in read(FAT, bytes(image)).walk()}
    assert found == wanted
    assert [one.message for one in FAT.check_blob(BytesBlob(bytes(image)), Limits.default(), Control())] == []


def test_strategies_meet_the_names_that_are_refused() -> None:
    assert not plain(b"a:b") and not plain(b"end.") and plain(b"a b")
    with pytest.raises(NotRepresentable):
        written(FAT, Tree(Dir(Meta(), {b"a:b": File()})), fat.Options(allow_loss=("time",)))
    assert list(diff(Tree(Dir()), Tree(Dir()))) == []
