"""Hostile ISO 9660 images, FAT volumes and partition tables: every field set to every kind of value, and the known attacks.

Whatever the bytes are, reading them ends soon, with a tree or with an ImgcoreError.
"""

from __future__ import annotations

import contextlib
import random
import struct
import time
from collections.abc import Iterator

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.build.iso_lint import lint_iso
from imgcore.build.iso_modify import Add, EspAdd, VolumeId, modify
from imgcore.disk import find_partition, partitions
from imgcore.errors import Corrupt, ImgcoreError, Unsupported
from imgcore.events import Control
from imgcore.formats import fat, iso9660
from imgcore.formats.fat.edit import FatEditor
from imgcore.formats.iso9660.boot import Appended, Boot, BootImage
from imgcore.formats.iso9660.layout import BLOCK, DirRecord, both32
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.susp import ce
from imgcore.formats.iso9660.susp_reader import parse
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Symlink, Tree, symlink
from tests.kit.archives import written

LIMITS = Limits(max_entries=5000, max_metadata=4 << 20)
_MOST_SECONDS = 20


def iso_tree() -> Tree:
    below = Dir(Meta(0o755), {b"deep": Dir(Meta(0o755), {b"file": File(Meta(), BytesBlob(b"deep"))})})
    return Tree(
        Dir(
            Meta(0o755),
            {
                b"loader": File(Meta(), BytesBlob(bytes(range(256)) * 20)),
                b"name" * 40: File(Meta(), BytesBlob(b"long")),
                b"dir": below,
                b"link": symlink(b"dir/" * 100 + b"file"),
            },
        )
    )


def iso_image() -> bytes:
    esp = written(
        fat.FORMAT, Tree(Dir(Meta(0o755), {b"EFI": Dir(Meta(0o755), {b"x": File()})})), fat.Options(allow_loss=("time",))
    )
    boot = Boot(
        images=(BootImage(b"/loader", info_table=True), BootImage(2, 0xEF)),
        table="gpt",
        appended={2: Appended(BytesBlob(esp))},
        partition_offset=16,
    )
    return written(iso9660.FORMAT, iso_tree(), iso9660.Options(joliet="yes", boot=boot, time=10**9))


IMAGE = iso_image()
BELOW = Dir(Meta(0o755), {b"f": File(Meta(), BytesBlob(b"y" * 99))})
VOLUME = written(
    fat.FORMAT,
    Tree(Dir(Meta(0o755), {b"A long name": File(Meta(), BytesBlob(b"x" * 3000)), b"d": BELOW})),
    fat.Options(size=64 << 10, allow_loss=("time",)),
)


def values(old: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield what a field is set to."""
    size = len(old)
    number = int.from_bytes(old, "little")
    top = (1 << 8 * size) - 1
    for value in (0, top, (number + 1) & top, (number - 1) & top, top >> 1, chance.randrange(top + 1)):
        yield value.to_bytes(size, "little")


def exercise(data: bytes) -> None:
    """Do everything that can be done with an ISO."""
    blob = BytesBlob(data)
    for work in (_walk, _check, _lint, _parts, _change):
        with contextlib.suppress(ImgcoreError):
            work(blob)


def _walk(blob: BytesBlob) -> None:
    image = IsoImage(blob, LIMITS)
    for _, node in image.tree.walk():
        if isinstance(node, File):
            node.content.read_at(0, 4096)
            node.content.read_at(node.content.size - 10, 100)
    image.info()
    list(image.layout())


def _check(blob: BytesBlob) -> None:
    list(iso9660.FORMAT.check_blob(blob, LIMITS, Control()))


def _lint(blob: BytesBlob) -> None:
    lint_iso(blob, limits=LIMITS)


def _parts(blob: BytesBlob) -> None:
    for one in partitions(blob):
        find_partition(blob, str(one.number)).read_at(0, 512)


def _change(blob: BytesBlob) -> None:
    small = File(Meta(), BytesBlob(b"new"))
    done = modify(blob, [Add(b"/dir/new", small), EspAdd(b"/EFI/new", BytesBlob(b"x")), VolumeId("NEW")], limits=LIMITS)
    done.blob().read_at(0, 1 << 16)


def places() -> list[tuple[int, int]]:
    """Return (byte, width) of every field of descriptors, directory records, tables and the catalog."""
    found = []
    image = IsoImage(BytesBlob(IMAGE), Limits.default())
    for item in image.layout():
        if item.size in (1, 2, 4, 8):
            found.append((item.offset, item.size))
    root = image._root_item(image.primary).sections[0]
    starts = [root[0], image.joliet and image._root_item(image.joliet).sections[0][0]]
    for start in starts:
        at = int(start or 0) * BLOCK
        while IMAGE[at]:
            found += [(at + place.offset, place.width) for place in DirRecord.LAYOUT if place.width <= 8]
            use = at + 33 + IMAGE[at + 32]
            found += [(byte, 1) for byte in range(use, at + IMAGE[at])]
            at += IMAGE[at]
    found += [(at, 1) for at in range(446, 512)]
    found += [(512 + at, 4) for at in range(8, 92, 4)] + [(1024 + at, 8) for at in range(0, 56, 8)]
    catalog = int(str(image.info()["boot_catalog"])) * BLOCK
    found += [(catalog + at, 1) for at in range(128)]
    return found


@pytest.mark.parametrize("part", range(4))
def test_every_field_of_an_iso(part: int) -> None:
    chance = random.Random(part)
    started = time.monotonic()
    count = 0
    for at, width in places()[part::4]:
        for value in values(IMAGE[at : at + width], chance):
            data = bytearray(IMAGE)
            data[at : at + width] = value
            exercise(bytes(data))
            count += 1
    assert count > 1000 and (time.monotonic() - started) / count < 1


@pytest.mark.parametrize("size", [0, 1, 2048, 32768, 34816, 36864, 40960, 65536, 100000])
def test_images_that_are_cut(size: int) -> None:
    exercise(IMAGE[:size])


def test_mutants() -> None:
    chance = random.Random(7)
    for _ in range(400):
        data = bytearray(IMAGE)
        for _ in range(chance.randrange(1, 8)):
            at = chance.choice([chance.randrange(len(data)), chance.randrange(32768, 120000)])
            data[at] = chance.randrange(256)
        exercise(bytes(data))


# The known attacks


def image_with(offset: int, data: bytes) -> IsoImage:
    made = bytearray(IMAGE)
    made[offset : offset + len(data)] = data
    return IsoImage(BytesBlob(bytes(made)), LIMITS)


def records(image: IsoImage) -> dict[bytes, int]:
    """Return where the records of the root are."""
    at = image._root_item(image.primary).sections[0][0] * BLOCK
    found = {}
    while IMAGE[at]:
        found[IMAGE[at + 33 : at + 33 + IMAGE[at + 32]]] = at
        at += IMAGE[at]
    return found


@pytest.mark.parametrize(
    ("use", "again", "why"),
    [
        (ce(3, 0, 28), ce(3, 0, 28), "more than 32 continuation areas"),
        (ce(3, 2040, 28), b"", "not inside of one block"),
        (b"NM\x03\x01abc", b"", "impossible length"),
        (b"SL\x0a\x01\x00\x00\x7fabc", b"", "beyond its SL entry"),
    ],
)
def test_a_fault_is_the_records_own(use: bytes, again: bytes, why: str) -> None:
    """What comes before it is listed, as Linux does; the node itself cannot be had."""
    found = parse(b"NM\x06\x01\x00n" + use, 0, lambda at, size: again)
    assert found.name == b"n" and found.fault is not None and why in found.fault.message


def test_a_directory_inside_itself() -> None:
    opened = IsoImage(BytesBlob(IMAGE), LIMITS)
    at = records(opened)[b"DIR"]
    root = opened._root_item(opened.primary).sections[0]
    looped = image_with(at + 2, struct.pack("<QQ", both32(root[0]), both32(root[1])))
    with pytest.raises(Corrupt, match="two names"):
        list(looped.tree.walk())
    assert "loop" in [one.rule for one in iso9660.FORMAT.check_blob(looped.blob, LIMITS, Control())]


def test_a_relocation_that_leads_to_a_relocation() -> None:
    chained = parse(b"CL\x0c\x01" + both32(20).to_bytes(8, "little"), 0, lambda at, size: b"")
    assert chained.child == 20


@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"\0", b"/etc/passwd"])
def test_names_that_would_escape(name: bytes) -> None:
    opened = IsoImage(BytesBlob(IMAGE), LIMITS)
    at = records(opened)[b"LOADER.;1"]
    record = IMAGE[at : at + IMAGE[at]]
    place = record.index(b"NM")
    length = record[place + 2]
    entry = (b"NM" + bytes((length, 1, 0)) + name.ljust(length - 5, b"\0"))[:length]
    with pytest.raises(Corrupt, match="impossible name"):
        list(image_with(at + place, entry).tree.walk())


def test_blocks_of_another_size() -> None:
    with pytest.raises(Unsupported, match="2048"):
        image_with(32768 + 128, struct.pack("<H", 512))


def test_a_link_bomb_is_bounded() -> None:
    component = b"\0\xf0" + b"x" * 0xF0
    entry = b"SL" + bytes((5 + len(component), 1, 1)) + component
    name = b"NM" + bytes((6, 1, 0)) + b"n"
    for many in (18, 40):
        found = parse(name + entry * many, 0, lambda at, size: b"")
        assert found.name == b"n" and found.fault is not None and "more than 4095" in found.fault.message
        assert len(found.target or b"") < 5000


def test_links_do_not_leave_the_tree_when_unpacked() -> None:
    found = IsoImage(BytesBlob(IMAGE), LIMITS).tree["/link"]
    assert isinstance(found, Symlink)


# FAT


def exercise_fat(data: bytes) -> None:
    for work in (_walk_fat, _check_fat, _change_fat):
        with contextlib.suppress(ImgcoreError):
            work(data)


def _walk_fat(data: bytes) -> None:
    image = fat.open_image(BytesBlob(data), LIMITS)
    for _, node in image.tree.walk():
        if isinstance(node, File):
            read_all(node.content)
    image.info()
    list(image.layout())


def _check_fat(data: bytes) -> None:
    list(fat.FORMAT.check_blob(BytesBlob(data), LIMITS, Control()))


def _change_fat(data: bytes) -> None:
    editor = FatEditor(BytesBlob(data), limits=LIMITS)
    editor.remove(b"/A long name")
    editor.add(b"/d/another long name", BytesBlob(b"z" * 4000))
    editor.remove(b"/d")
    for patch in editor.patches():
        read_all(patch.content)


def test_every_byte_of_a_fat_volume() -> None:
    chance = random.Random(1)
    used = [at for at in range(20000) if at < 512 or VOLUME[at]]
    for at in used:
        for value in (0, 0xFF, VOLUME[at] ^ 1, chance.randrange(256)):
            data = bytearray(VOLUME)
            data[at] = value
            exercise_fat(bytes(data))
    for size in (0, 100, 511, 512, 1000, 2048, 30000):
        exercise_fat(VOLUME[:size])


def test_a_chain_that_goes_round() -> None:
    opened = fat.open_image(BytesBlob(VOLUME), LIMITS)
    first = next(entry.cluster for name, entry in opened.names(0, b"/").items() if name == b"d")
    table = bytearray(VOLUME[512 : 512 + opened.geometry.fat_sectors * 512])
    at = first * 3 // 2
    pair = int.from_bytes(table[at : at + 2], "little")
    pair = (pair & 0x000F) | first << 4 if first & 1 else (pair & 0xF000) | first
    table[at : at + 2] = pair.to_bytes(2, "little")
    data = bytearray(VOLUME)
    data[512 : 512 + len(table)] = table
    with pytest.raises(Corrupt, match="without an end"):
        list(fat.open_image(BytesBlob(bytes(data)), LIMITS).tree.walk())
    rules = {one.rule for one in fat.FORMAT.check_blob(BytesBlob(bytes(data)), LIMITS, Control())}
    assert {"copies", "chain"} <= rules
