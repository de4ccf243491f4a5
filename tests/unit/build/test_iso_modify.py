"""Changes of ISO images that must not lose anything in silence; each was such a loss once."""

from __future__ import annotations

import dataclasses
import struct
import uuid
import zlib
from collections.abc import Sequence

import pytest

from imgcore.blob import BytesBlob, SliceBlob, read_all
from imgcore.build.iso_lint import lint_iso
from imgcore.build.iso_modify import Add, Edit, EspAdd, EspRemove, Remove, VolumeId, modify
from imgcore.disk.partitions import partitions
from imgcore.errors import Corrupt, FormatError, NotRepresentable, PathError, Unsupported
from imgcore.events import Control
from imgcore.formats import fat, iso9660
from imgcore.formats.iso9660.boot import UEFI, Appended, Boot, BootImage
from imgcore.formats.iso9660.layout import BLOCK, both32, low32
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Dir, Meta, Node, Symlink, Tree, file
from tests.kit.archives import read, written

FORMAT = iso9660.FORMAT
BASE = Tree(Dir(children={b"a": file(b"old"), b"dir": Dir(Meta(0o755), {b"b.txt": file(b"B")})}))


def image(**options: object) -> bytes:
    return written(FORMAT, BASE, iso9660.Options(time=0, **options))  # type: ignore[arg-type]


def changed(data: bytes, *edits: Edit, allow_loss: Sequence[str] = ()) -> tuple[bytes, tuple[str, ...]]:
    result = modify(BytesBlob(data), edits, allow_loss=allow_loss)
    return read_all(result.blob()), result.report.notes


def test_a_file_is_no_root() -> None:
    with pytest.raises(PathError, match="in the way"):
        changed(image(), Add(b"/", file(b"x")))


def test_a_label_that_is_no_text() -> None:
    out, _ = changed(image(joliet="yes"), VolumeId(b"\xff\xfe".decode("utf-8", "surrogateescape")))
    assert IsoImage(BytesBlob(out), Limits.default()).primary.volume_id.rstrip() == b"\xff\xfe"
    with pytest.raises(NotRepresentable, match="33 bytes"):
        changed(image(), VolumeId("\udcff" * 33))


def test_directories_keep_their_modes_and_links_are_counted() -> None:
    deep = Dir(Meta(0o700), {b"sub": Dir(Meta(0o2775), {b"x": file(b"x")}), b"two": Dir(Meta(0o755), {})})
    added = Add(b"/made/deep", deep)
    tree = read(FORMAT, changed(image(), added)[0])
    modes = {path: node.meta.mode for path, node in tree.walk() if isinstance(node, Dir)}
    assert modes[b"/made"] == 0o755 and modes[b"/made/deep"] == 0o700 and modes[b"/made/deep/sub"] == 0o2775
    whole = Dir(children={**BASE.root.children, b"made": Dir(Meta(0o755), {b"deep": deep})})
    fresh = written(FORMAT, Tree(whole), iso9660.Options(time=0))
    out = changed(image(), added)[0]
    assert links(out) == links(fresh) and links(fresh)[b"/made/deep"] == 4 and links(fresh)[b"/"] == 4
    assert links(changed(out, Remove(b"/made"))[0]) == links(image())


def links(data: bytes) -> dict[bytes, int]:
    """Return the links of each directory, as the PX entry of its own first record says them."""
    opened = IsoImage(BytesBlob(data), Limits.default())
    found = {}
    todo = [(b"/", opened._root_item(opened.primary).sections[0][0])]
    while todo:
        path, block = todo.pop()
        at, first = block * BLOCK, True
        while length := data[at]:
            record = data[at : at + length]
            if first:
                place = record.index(b"PX") + 12
                found[path] = struct.unpack_from("<I", record, place)[0]
                first = False
            elif record[25] & 2 and record[33] != 1:
                name = record[record.index(b"NM") + 5 :][: record[record.index(b"NM") + 2] - 5]
                todo.append((path.rstrip(b"/") + b"/" + name, struct.unpack_from("<I", record, 2)[0]))
            at += length
    return found


@pytest.mark.parametrize("size", [254, 255, 300])
def test_a_name_that_linux_would_cut_is_refused(size: int) -> None:
    for path in (b"/" + b"n" * size, b"/" + b"n" * size + b"/x", b"/x"):
        node: Node = Dir(Meta(0o755), {b"n" * size: file(b"")}) if path == b"/x" else file(b"")
        with pytest.raises(NotRepresentable, match="more than 253 bytes"):
            changed(image(), Add(path, node))
    assert b"n" * 253 in read(FORMAT, changed(image(), Add(b"/" + b"n" * 253, file(b"")))[0])


LINK = Symlink(Meta(0o777), b"a")


def test_links_in_an_image_without_rock_ridge_are_refused() -> None:
    plain = image(rock_ridge="no", joliet="yes")
    for path, node in ((b"/sl", LINK), (b"/a", LINK), (b"/d", Dir(Meta(0o755), {b"l": LINK, b"f": file(b"f")}))):
        with pytest.raises(NotRepresentable, match="a symlink cannot be stored"):
            changed(plain, Add(path, node))


def test_links_between_added_files_are_a_loss_that_can_be_allowed() -> None:
    twice = file(b"x")
    both = Add(b"/d", Dir(Meta(0o755), {b"one": twice, b"two": twice}))
    with pytest.raises(NotRepresentable, match="hard link") as caught:
        changed(image(), both)
    assert "--allow-loss link" in str(caught.value.hint)
    out, notes = changed(image(), both, allow_loss=["link"])
    assert b"/d/two" in read(FORMAT, out) and "lost: /d/two: hard link to /d/one" in notes


def test_names_that_a_plain_image_changes_are_told() -> None:
    plain = image(rock_ridge="no", level=1)
    out, notes = changed(plain, Add(b"/Config-File-Name.yaml", file(b"x")))
    (name,) = {path for path, _ in read(FORMAT, out).walk()} - {path for path, _ in read(FORMAT, plain).walk()}
    assert any(f"`/Config-File-Name.yaml` is called `{name[1:].decode()}`" in note for note in notes)


def test_a_link_takes_a_file_out_of_the_trees_that_have_no_links() -> None:
    out, _ = changed(image(joliet="yes"), Add(b"/dir/b.txt", LINK))
    assert isinstance(read(FORMAT, out).lookup(b"/dir/b.txt"), Symlink)
    names = {path for path, _ in IsoImage(BytesBlob(out), Limits.default(), world="joliet").tree.walk()}
    assert names == {b"/", b"/a", b"/dir"}


def test_an_image_that_is_cut_is_not_changed() -> None:
    whole = written(FORMAT, Tree(Dir(children={b"f": file(bytes(range(256)) * 900)})), iso9660.Options(time=0))
    with pytest.raises(Corrupt, match="cut"):
        changed(whole[: len(whole) - BLOCK], Add(b"/x", file(b"x")))
    with pytest.raises(Corrupt, match="cut"):
        changed(whole[: len(whole) - BLOCK], VolumeId("x"))


# --- images that boot


WHEN = Meta(0o755, mtime_ns=10**18)


def esp(name: bytes) -> bytes:
    boot = Dir(WHEN, {name: file(b"MZ", mtime_ns=10**18)})
    tree = Tree(Dir(WHEN, {b"EFI": Dir(WHEN, {b"BOOT": boot})}))
    return written(fat.FORMAT, tree, fat.Options(size=1 << 20))


def bootable(boot: Boot, tree: Tree = BASE) -> bytes:
    return written(FORMAT, tree, iso9660.Options(time=0, boot=boot))


def boots(data: bytes) -> dict[str, bool]:
    return {one.name: one.boots for one in lint_iso(BytesBlob(data))}


APPENDED = {2: Appended(BytesBlob(esp(b"BOOTX64.EFI")))}


def test_a_partition_that_holds_the_file_system_grows_with_it() -> None:
    made = bytearray(bootable(Boot(images=(BootImage(2, UEFI),), table="mbr", appended=APPENDED)))
    behind = next(one for one in partitions(BytesBlob(bytes(made))) if one.number == 2)
    struct.pack_into("<B3sB3sII", made, 446, 0x80, b"", 0x17, b"", 0, behind.offset // 512)  # as xorriso writes it
    old = bytes(made)
    big = bytes(range(256)) * 20000
    more = Dir(Meta(0o755), {b"f%d" % number: file(b"x") for number in range(200)})
    out, notes = changed(old, Add(b"/new", file(big)), Add(b"/more", more))
    spans = {one.number: one for one in partitions(BytesBlob(out))}
    inside = SliceBlob(BytesBlob(out), spans[1].offset, spans[1].size)
    tree = read(FORMAT, read_all(inside))
    assert read_all(tree.lookup(b"/new").content) == big and len(tree.lookup(b"/more").children) == 200  # type: ignore[union-attr]
    assert spans[1].size <= spans[2].offset and any("moved by" in note for note in notes)
    assert read(fat.FORMAT, read_all(SliceBlob(BytesBlob(out), spans[2].offset, spans[2].size)))
    assert boots(out) == boots(old)
    assert volume(out) * BLOCK >= max(one.offset + one.size for one in partitions(BytesBlob(out)))


def volume(data: bytes) -> int:
    return low32(IsoImage(BytesBlob(data), Limits.default()).primary.space_size)


@pytest.mark.parametrize("table", ["mbr", "gpt"])
def test_what_is_new_is_inside_of_the_volume(table: str) -> None:
    """As other tools write it: the descriptor's volume ends before the partition that is appended."""
    made = bytearray(bootable(Boot(images=(BootImage(2, UEFI),), table=table, appended=APPENDED)))  # type: ignore[arg-type]
    behind = next(one for one in partitions(BytesBlob(bytes(made))) if one.number == 2)
    struct.pack_into("<Q", made, 16 * BLOCK + 80, both32(behind.offset // BLOCK))
    out, _ = changed(bytes(made), Add(b"/new", file(bytes(5 * BLOCK))))
    new = read(FORMAT, out).lookup(b"/new")
    spans = {one.number: one for one in partitions(BytesBlob(out))}
    assert new.content.start + 5 * BLOCK <= volume(out) * BLOCK <= spans[2].offset  # type: ignore[union-attr]
    assert read_all(read(FORMAT, out[: volume(out) * BLOCK]).lookup(b"/new").content) == bytes(5 * BLOCK)  # type: ignore[union-attr]
    assert boots(out) == boots(bytes(made))


def test_of_two_esps_both_are_changed() -> None:
    tree = Tree(Dir(children={**BASE.root.children, b"efi.img": file(esp(b"BOOTX64.EFI"))}))
    old = bootable(Boot(images=(BootImage(b"/efi.img", UEFI),), table="gpt", appended=APPENDED), tree)
    out, notes = changed(old, EspAdd(b"/EFI/new", BytesBlob(b"new")), EspRemove(b"/EFI/BOOT/BOOTX64.EFI"))
    second = next(one for one in partitions(BytesBlob(out)) if one.number == 2)
    for volume in (read_all(read(FORMAT, out).lookup(b"/efi.img").content), out[second.offset : second.offset + second.size]):  # type: ignore[union-attr]
        names = {path for path, _ in read(fat.FORMAT, volume).walk()}
        assert b"/EFI/new" in names and b"/EFI/BOOT/BOOTX64.EFI" not in names
    assert any("both were changed" in note for note in notes)


def test_behind_a_gpt_uefi_looks_at_no_catalog() -> None:
    tree = Tree(Dir(children={**BASE.root.children, b"efi.img": file(esp(b"BOOTX64.EFI"))}))
    images = (BootImage(b"/efi.img", UEFI),)
    other = {2: Appended(BytesBlob(bytes(1 << 20)), gpt_kind=uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4"))}
    for boot, expected in (
        (Boot(images=images), True),
        (Boot(images=images, table="gpt", appended=APPENDED), True),
        (Boot(images=images, table="gpt", appended=other), False),
    ):
        found = boots(bootable(boot, tree))
        assert found["uefi-usb"] is expected and found["uefi-cd"]


@pytest.mark.parametrize(
    ("name", "node", "why"),
    [
        (b"BOOTX64.EFI", file(b"MZ", mtime_ns=10**18), ""),
        (b"bootaa64.efi", file(b"MZ", mtime_ns=10**18), ""),
        (b"bootmgfw.efi", file(b"MZ", mtime_ns=10**18), "no loader"),
        (b"BOOTX64.EFI", file(b"", mtime_ns=10**18), "BOOTX64.EFI is no program"),
        (b"BOOTX64.EFI", file(b"#!/bin/sh", mtime_ns=10**18), "BOOTX64.EFI is no program"),
        (b"BOOTX64.EFI", Dir(WHEN), "BOOTX64.EFI is a dir"),
    ],
)
def test_what_uefi_takes_for_a_loader(name: bytes, node: Node, why: str) -> None:
    tree = Tree(Dir(WHEN, {b"EFI": Dir(WHEN, {b"BOOT": Dir(WHEN, {name: node})})}))
    volume = Appended(BytesBlob(written(fat.FORMAT, tree, fat.Options(size=1 << 20))))
    made = bootable(Boot(images=(BootImage(2, UEFI),), table="gpt", appended={2: volume}))
    for target in lint_iso(BytesBlob(made)):
        if target.name in ("uefi-usb", "uefi-cd"):
            assert target.boots is not bool(why) and (target.boots or why in " ".join(target.reasons))


@pytest.mark.parametrize("block", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_catalog_that_leads_outside(block: int) -> None:
    made = bytearray(bootable(Boot(images=(BootImage(2, UEFI),), table="gpt", appended=APPENDED)))
    catalog = next(at for at in range(0, len(made), BLOCK) if made[at] == 1 and made[at + 30 : at + 32] == b"\x55\xaa")
    struct.pack_into("<I", made, catalog + 32 + 8, block)
    out, _ = changed(bytes(made), Add(b"/new", file(b"new")))
    assert struct.unpack_from("<I", out, catalog + 32 + 8)[0] == block
    with pytest.raises(Corrupt, match="behind the end"):
        changed(bytes(made), EspAdd(b"/x", BytesBlob(b"x")))


def test_an_image_of_several_sessions_is_itself_without_a_change() -> None:
    first = image()
    start = -(-len(first) // BLOCK // 16) * 16
    second = bytearray(first)
    both = first.ljust(start * BLOCK, b"\0") + bytes(second)
    assert IsoImage(BytesBlob(both), Limits.default()).session == start
    assert changed(both)[0] == both
    with pytest.raises(Unsupported, match="several sessions"):
        changed(both, VolumeId("x"))
    table = bytearray(both)  # the same bytes as a partition of a disk are no session
    struct.pack_into("<B3sB3sII", table, 446, 0, b"", 0x83, b"", start * 4, len(first) // 512)
    table[510:512] = b"\x55\xaa"
    assert IsoImage(BytesBlob(bytes(table)), Limits.default()).session == 0


def test_a_path_table_that_is_another_things_place_is_left_alone() -> None:
    made = bytearray(image())
    block = IsoImage(BytesBlob(bytes(made)), Limits.default()).tree.lookup(b"/a").content.start // BLOCK  # type: ignore[union-attr]
    for field in (144, 152):  # the optional tables: little-endian, big-endian
        struct.pack_into("<I" if field == 144 else ">I", made, 16 * BLOCK + field, block)
    out, _ = changed(bytes(made), Add(b"/new/dir/x", file(b"x")))
    assert read_all(read(FORMAT, out).lookup(b"/a").content) == b"old"  # type: ignore[union-attr]
    assert [one.message for one in FORMAT.check_blob(BytesBlob(out), Limits.default(), Control())] == []


def test_a_name_that_stands_for_the_directory_above() -> None:
    out = written(
        FORMAT, Tree(Dir(children={b"\x01": Dir(Meta(0o755), {b"x": file(b"")}), b"_": file(b"")})), iso9660.Options(level=4)
    )
    assert [one.message for one in FORMAT.check_blob(BytesBlob(out), Limits.default(), Control())] == []
    out, _ = changed(image(level=4), Add(b"/\x01", file(b"")))
    assert [one.message for one in FORMAT.check_blob(BytesBlob(out), Limits.default(), Control())] == []


@pytest.mark.parametrize(("old", "new"), [(b"SL", b"CL"), (b"SL", b"XX")])
def test_check_says_what_a_reader_cannot_read(old: bytes, new: bytes) -> None:
    made = written(FORMAT, Tree(Dir(children={b"l": Symlink(Meta(0o777), b"t" * 40)})), iso9660.Options(time=0))
    at = made.index(old + b"\x2f")
    bad = made[:at] + new + made[at + 2 :]
    with pytest.raises(FormatError):
        read(FORMAT, bad).lookup(b"/l")
    assert any(one.severity == "error" for one in FORMAT.check_blob(BytesBlob(bad), Limits.default(), Control()))


def test_a_bios_does_not_look_at_the_checksum_of_the_catalog() -> None:
    tree = Tree(Dir(children={**BASE.root.children, b"loader": file(bytes(range(256)) * 20)}))
    made = bytearray(bootable(Boot(images=(BootImage(b"/loader"), BootImage(2, UEFI)), table="gpt", appended=APPENDED), tree))
    assert boots(bytes(made))["bios-cd"] and boots(bytes(made))["uefi-cd"]
    catalog = next(at for at in range(0, len(made), BLOCK) if made[at] == 1 and made[at + 30 : at + 32] == b"\x55\xaa")
    made[catalog + 5] ^= 1
    found = {one.name: one for one in lint_iso(BytesBlob(bytes(made)))}
    assert found["bios-cd"].boots and "checksum" in found["bios-cd"].warnings[0] and not found["uefi-cd"].boots


def test_a_fat_with_a_loader_boots_whatever_its_type() -> None:
    data = {2: dataclasses.replace(APPENDED[2], gpt_kind=uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"))}
    (found,) = [one for one in lint_iso(BytesBlob(bootable(Boot(table="gpt", appended=data)))) if one.name == "uefi-usb"]
    assert found.boots and any("by its type" in text for text in found.warnings)


def test_an_iso_in_a_partition_of_its_own_is_left_alone() -> None:
    other = written(FORMAT, Tree(Dir(children={b"a": file(b"theirs")})), iso9660.Options(time=0, volume_id="SUB"))
    old = bootable(Boot(table="mbr", appended={2: Appended(BytesBlob(other), mbr_kind=0x83)}))
    out, _ = changed(old, VolumeId("NEW"), Add(b"/new", file(b"new")), Remove(b"/a"))
    second = next(one for one in partitions(BytesBlob(out)) if one.number == 2)
    assert out[second.offset : second.offset + second.size].startswith(other)
    assert b"/new" in read(FORMAT, out) and b"/a" not in read(FORMAT, out)


def test_partitions_that_overlap_are_not_torn() -> None:
    made = bytearray(bootable(Boot(images=(BootImage(2, UEFI),), table="mbr", appended=APPENDED)))
    second = next(one for one in partitions(BytesBlob(bytes(made))) if one.number == 2)
    end = second.offset // 512
    for number, kind, first, count in ((0, 0x83, 0, end), (2, 0x83, end - 8, 16)):
        struct.pack_into("<B3sB3sII", made, 446 + 16 * number, 0, b"", kind, b"", first, count)
    before = bytes(made)
    result = modify(BytesBlob(before), [Add(b"/new", file(b"new"))])
    out = read_all(result.blob())
    assert out[second.offset : second.offset + second.size] == before[second.offset : second.offset + second.size]
    assert read_all(read(FORMAT, out).lookup(b"/new").content) == b"new"  # type: ignore[union-attr]


def test_an_esp_whose_bytes_another_file_has_too_is_refused() -> None:
    both = file(esp(b"BOOTX64.EFI"))
    tree = Tree(Dir(children={**BASE.root.children, b"efi.img": both, b"backup.img": file(esp(b"BOOTX64.EFI"))}))
    made = written(FORMAT, tree, iso9660.Options(time=0, dedup=True, boot=Boot(images=(BootImage(b"/efi.img", UEFI),))))
    with pytest.raises(NotRepresentable, match="have the same bytes"):
        changed(made, EspAdd(b"/x", BytesBlob(b"x")))
    assert b"/new" in read(FORMAT, changed(made, Add(b"/new", file(b"")))[0])


def test_a_gpt_whose_partitions_overlap_boots_nothing_and_is_not_torn() -> None:
    boot = Boot(images=(BootImage(2, UEFI),), table="gpt", appended=APPENDED, partition_offset=16)
    made = bytearray(bootable(boot))
    assert boots(bytes(made))["uefi-usb"] and b"/new" in read(FORMAT, changed(bytes(made), Add(b"/new", file(b"new")))[0])
    entries = int.from_bytes(made[512 + 72 : 512 + 80], "little") * 512
    last = int.from_bytes(made[entries + 40 : entries + 48], "little")
    struct.pack_into("<Q", made, entries + 40, last + 8)  # the first partition reaches into the ESP
    length = 128 * int.from_bytes(made[512 + 80 : 512 + 84], "little")
    struct.pack_into("<I", made, 512 + 88, zlib.crc32(made[entries : entries + length]))
    struct.pack_into("<I", made, 512 + 16, 0)
    struct.pack_into("<I", made, 512 + 16, zlib.crc32(made[512 : 512 + 92]))
    (found,) = [one for one in lint_iso(BytesBlob(bytes(made))) if one.name == "uefi-usb"]
    assert not found.boots and any("overlaps" in text for text in found.reasons)
    with pytest.raises(Unsupported, match="lies across"):
        changed(bytes(made), Add(b"/new", file(b"new")))
