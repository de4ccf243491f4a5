"""El Torito, boot info, presets, digests: bytes at their places, and what does not fit together."""

from __future__ import annotations

import dataclasses
import struct

import pytest

from imgcore.blob import BytesBlob, MemorySink
from imgcore.build.bootable import PRESETS, boot_options
from imgcore.engine import get_engine
from imgcore.errors import NotRepresentable, PathError
from imgcore.events import Control
from imgcore.formats import fat, iso9660
from imgcore.formats.iso9660.boot import BIOS, UEFI, Appended, Boot, BootImage, boot_catalog, grub2_info, in_order, info_table
from imgcore.formats.iso9660.catalog import read_catalog
from imgcore.formats.iso9660.digest import MediaDigest, stored_digest, verify
from imgcore.formats.iso9660.layout import BLOCK, BootRecord
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Tree

LOADER = bytes(range(256)) * 20
ISOLINUX = LOADER[:64] + bytes.fromhex("fbc07870") + LOADER[68:]


def tree(**files: bytes) -> Tree:
    made = {name.encode(): File(Meta(), BytesBlob(data)) for name, data in files.items()}
    return Tree(Dir(Meta(0o755), {**made, b"x": File(Meta(), BytesBlob(b"x" * 400_000))}))


def write(source: Tree, options: iso9660.Options) -> bytes:
    sink = MemorySink()
    iso9660.FORMAT.write(source, sink, options, Control(), get_engine("pure"))
    return sink.value()


def test_reference_bytes() -> None:
    table = info_table(b"\0" * 8 + LOADER[8:], 111)
    assert struct.unpack_from("<III", table, 8) == (16, 111, len(LOADER))
    assert (
        struct.unpack_from("<I", table, 20)[0] == sum(struct.unpack(f"<{(len(LOADER) - 64) // 4}I", LOADER[64:])) & 0xFFFFFFFF
    )
    assert table[24:64] == bytes(40) and table[64:] == LOADER[64:]
    assert grub2_info(LOADER, 111)[2548:2556] == (449).to_bytes(8, "little")
    with pytest.raises(ValueError, match="no place"):
        info_table(b"short", 1)
    raw = boot_catalog([(BootImage(b"/a"), 111, 4), (BootImage(2, UEFI), 5754, 8192)])
    assert raw[:32].hex() == "01" + "00" * 27 + "aa5555aa"
    assert raw[32:44].hex() == "880000000000" + "0400" + "6f000000"
    assert raw[64:68].hex() == "91ef0100" and raw[96:108].hex() == "880000000000" + "0020" + "7a160000"


def test_entries_for_a_bios_come_first_and_are_read_back() -> None:
    images = [BootImage(b"/u", UEFI, name=b"u"), BootImage(b"/p", 1), BootImage(b"/b", BIOS), BootImage(b"/u2", UEFI)]
    ordered = in_order(images)
    assert [one.source for one in ordered] == [b"/b", b"/p", b"/u", b"/u2"]
    raw = boot_catalog([(one, 20 + number, 4) for number, one in enumerate(ordered)])
    record = BootRecord(0, b"CD001", 1, b"EL TORITO SPECIFICATION", b"", 1, b"")
    found = read_catalog(BytesBlob(bytes(BLOCK) + raw + bytes(64 * BLOCK)), record)
    assert found is not None
    assert [(one.platform, one.block) for one in found.entries] == [(0, 20), (1, 21), (0xEF, 22), (0xEF, 23)]
    assert found.problems == ()


def test_a_visible_catalog_and_places() -> None:
    boot = Boot(images=(BootImage(b"/loader", info_table=True, grub2_info=True),), catalog=b"/boot/boot.cat")
    image = write(tree(loader=LOADER), iso9660.Options(boot=boot))
    opened = IsoImage(BytesBlob(image), Limits.default())
    catalog = opened.tree["/boot/boot.cat"]
    assert isinstance(catalog, File)
    assert catalog.content.read_at(0, 2) == b"\x01\0" and opened.info()["boot_catalog"] == catalog.content.start // BLOCK  # type: ignore[attr-defined]
    assert not list(iso9660.FORMAT.check_blob(BytesBlob(image), Limits.default(), Control()))
    broken = bytearray(image)
    at = opened.tree["/loader"].content.start  # type: ignore[union-attr]
    broken[at + 3000] ^= 1
    rules = [one.rule for one in iso9660.FORMAT.check_blob(BytesBlob(bytes(broken)), Limits.default(), Control())]
    assert rules == ["boot-info"]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_names_what_it_needs(preset: str) -> None:
    with pytest.raises(ValueError, match="needs --"):
        boot_options(tree(), iso9660.Options(), preset)  # type: ignore[arg-type]


def test_what_does_not_fit_together() -> None:
    source, options = tree(grub=LOADER, isolinux=ISOLINUX), iso9660.Options()
    sink = MemorySink()
    fat.FORMAT.write(Tree(Dir(Meta(mtime_ns=10**18))), sink, fat.Options(), Control(), get_engine("pure"))
    esp = BytesBlob(sink.value())
    with pytest.raises(ValueError, match="no FAT"):
        boot_options(source, options, "elemental", esp=BytesBlob(bytes(512)))
    with pytest.raises(ValueError, match="no FAT"):
        boot_options(source, options, efi=b"/grub")
    with pytest.raises(ValueError, match="is not"):
        boot_options(source, options, "fedora", bios=b"/isolinux", mbr=b"grub" * 100, esp=esp)
    with pytest.raises(ValueError, match="needs --bios"):
        boot_options(source, options, mbr=b"x" * 440)
    with pytest.raises(PathError, match="no such file in the tree"):
        boot_options(source, options, bios=b"/none")
    with pytest.raises(ValueError, match="isohybrid"):
        boot_options(source, options, "elemental", esp=esp, isohybrid_gpt=True)
    with pytest.raises(ValueError, match="not appended"):
        Boot(images=(BootImage(2),), table="gpt")
    with pytest.raises(ValueError, match="needs a partition table"):
        Boot(appended={2: Appended(esp)})
    with pytest.raises(NotRepresentable, match="no place"):
        short = Boot(images=(BootImage(b"/x", grub2_info=True),))
        write(Tree(Dir(Meta(), {b"x": File(Meta(), BytesBlob(b"tiny"))})), iso9660.Options(boot=short))


@pytest.mark.parametrize("kind", ["isomd5", "tagmedia"])
@pytest.mark.parametrize("step", [1000, 32768, 100001])
def test_a_digest_does_not_depend_on_how_it_is_fed(kind: str, step: int) -> None:
    data = write(tree(), iso9660.Options(digest=kind))  # type: ignore[arg-type]
    stored = stored_digest(data[33651 : 33651 + 512])
    assert stored is not None and stored.kind == kind
    blocks = len(data) // BLOCK
    digest = MediaDigest(stored.kind, blocks)
    for at in range(0, len(data), step):
        digest.update(data[at : at + step])
    assert stored_digest(digest.finish()) == stored
    assert verify(BytesBlob(data), stored, blocks)
    broken = bytearray(data)
    broken[len(data) // 2] ^= 1
    assert not verify(BytesBlob(bytes(broken)), stored, blocks)


def test_options() -> None:
    options = iso9660.Options().with_settings({"joliet": "long", "rock-ridge": "no", "level": "1", "align": "64K"})
    assert (options.joliet, options.rock_ridge, options.level, options.align) == ("long", "no", 1, 65536)
    wrong = {"level": "5", "align": "1000", "volume-id": "x" * 33, "time": "9999999999999", "joliet": "perhaps"}
    for key, value in wrong.items():
        with pytest.raises(ValueError):
            iso9660.Options().with_settings({key: value})
    with pytest.raises(ValueError, match="no option"):
        iso9660.Options().with_settings({"none": "1"})
    assert dataclasses.replace(options, rock_ridge="1.12").capabilities.hardlinks


def test_equal_contents_are_shared_on_request() -> None:
    source = Tree(Dir(Meta(0o755), {name: File(Meta(), BytesBlob(b"same" * 1000)) for name in (b"a", b"b", b"c")}))
    shared, apart = write(source, iso9660.Options(dedup=True)), write(source, iso9660.Options())
    assert len(apart) - len(shared) == 4 * BLOCK
    found = IsoImage(BytesBlob(shared), Limits.default()).tree
    assert {found[name].content.read_at(0, 9999) for name in (b"/a", b"/b", b"/c")} == {b"same" * 1000}  # type: ignore[union-attr]
    assert len({id(found[name]) for name in (b"/a", b"/b", b"/c")}) == 3
