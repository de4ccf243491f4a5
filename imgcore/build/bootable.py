"""Bootable ISOs by what they are for: a preset, a BIOS image, an EFI system partition. Everything else follows.

A preset is a layout that a known distribution ships, so that machines that boot its images boot these. Which fields of the
catalog, of the MBR and of the GPT that means is decided here, never by the order of flags.
"""

from __future__ import annotations

import dataclasses
from typing import Final, Literal, TypeAlias

from imgcore.blob import Blob, BytesBlob, MemorySink
from imgcore.engine import get_engine
from imgcore.errors import NotThisFormat, PathError
from imgcore.events import Control
from imgcore.formats.iso9660.boot import BIOS, UEFI, Appended, Boot, BootImage
from imgcore.formats.iso9660.options import Options
from imgcore.model import Dir, File, Meta, Tree, normalize, split
from imgcore.values import value_class

__all__ = ["PRESETS", "PresetName", "boot_options", "esp_image"]

PresetName: TypeAlias = Literal["elemental", "fedora", "ubuntu", "debian", "talos", "uki"]
_ISOLINUX: Final = bytes.fromhex("fbc07870")
_ISOLINUX_AT: Final = 0x40
_ISOHYBRID_STARTS: Final = (b"\x33\xed", b"\x45\x52")
_ESP_PATH: Final = b"/boot/grub/efi.img"
_MIB: Final = 1 << 20


@value_class
class Preset:
    """A layout: `table` and the rest as in `Boot`; `needs` says what has to be given; `joliet` as in the writer's options."""

    title: str
    table: Literal["mbr", "gpt", "isohybrid"]
    needs: tuple[str, ...]
    joliet: Literal["no", "yes", "long"] = "no"
    partition_offset: int = 16
    active: bool = False
    align: int = 2048
    mbr_kind: int = 0xCD
    esp_in_tree: bool = False


PRESETS: Final[dict[PresetName, Preset]] = {
    "elemental": Preset("UEFI only: ESP behind the file system, GPT", "gpt", ("esp",)),
    "fedora": Preset("BIOS by GRUB and UEFI: ESP behind the file system, GPT", "gpt", ("bios", "mbr", "esp"), "long"),
    "ubuntu": Preset("as fedora, with an active MBR entry for old BIOSes", "gpt", ("bios", "mbr", "esp"), "long", active=True),
    "debian": Preset(
        "isohybrid: isolinux and UEFI, ESP as a file, MBR only",
        "isohybrid",
        ("bios", "mbr", "esp"),
        "long",
        partition_offset=0,
        esp_in_tree=True,
    ),
    "talos": Preset("UEFI, MBR only: ESP aligned to 1 MiB", "mbr", ("esp",), align=_MIB, mbr_kind=0x83),
    "uki": Preset("UEFI only: systemd-boot and unified kernels on an ESP behind the file system", "gpt", ("esp",)),
}


def esp_image(tree: Tree, control: Control | None = None) -> Blob:
    """Return a FAT file system with what is in `tree`, for an EFI system partition. Raises NotRepresentable."""
    from imgcore.formats import fat  # late: only who gives a directory needs it

    sink = MemorySink()
    fat.FORMAT.write(tree, sink, fat.Options(label="ESP", allow_loss=("time",)), control or Control(), get_engine())
    return BytesBlob(sink.value())


def boot_options(
    tree: Tree,
    options: Options,
    preset: PresetName | None = None,
    *,
    bios: bytes | None = None,
    efi: bytes | None = None,
    esp: Blob | None = None,
    mbr: bytes = b"",
    catalog: bytes | None = None,
    isohybrid_gpt: bool = False,
    active: bool | None = None,
) -> tuple[Tree, Options]:
    """Return a tree and options that make an image of it boot.

    `bios` is the path in the tree of isolinux.bin or of GRUB's El Torito image, `efi` of a FAT image for UEFI, `esp` the bytes
    of one that is to lie behind the file system (by preset debian: in the tree), `mbr` code for the first sector, from
    isolinux or GRUB. `catalog` shows the boot catalog at a path. `isohybrid_gpt` adds the GPT that isohybrid images have and
    UEFI calls invalid. Raises ValueError for what does not fit together, PathError for an image that is not in the tree.
    """
    chosen = PRESETS[preset] if preset is not None else Preset("", "gpt", (), partition_offset=16 if esp is not None else 0)
    given = {"bios": bios is not None, "mbr": bool(mbr), "esp": esp is not None or efi is not None}
    absent = [name for name in chosen.needs if not given[name]]
    if absent:
        raise ValueError(f"preset {preset} needs {', '.join('--' + name for name in absent)}")
    table: Literal["none", "mbr", "gpt", "isohybrid", "isohybrid-gpt"] = chosen.table
    if preset is None and esp is None and not mbr:
        table = "none"
    if isohybrid_gpt:
        if table != "isohybrid":
            raise ValueError("only an isohybrid image has such a GPT")
        table = "isohybrid-gpt"
    images = []
    kind: Literal["none", "isolinux", "grub2"] = "none"
    if mbr:
        kind = "isolinux" if mbr[:2] in _ISOHYBRID_STARTS else "grub2"
        if bios is None:
            raise ValueError("code for the MBR needs --bios: it starts that image")
    if bios is not None:
        is_isolinux = _head(tree, bios)[_ISOLINUX_AT : _ISOLINUX_AT + 4] == _ISOLINUX
        if mbr and is_isolinux != (kind == "isolinux"):
            raise ValueError(f"the MBR's code is {kind}'s, `{bios.decode(errors='replace')}` is not")
        images.append(BootImage(normalize(bios), BIOS, info_table=True, grub2_info=not is_isolinux))
    appended = {}
    if esp is not None and chosen.esp_in_tree:
        _require_fat(esp, "--esp")
        tree = _with_file(tree, _ESP_PATH, esp)
        images.append(BootImage(_ESP_PATH, UEFI))
    elif esp is not None:
        _require_fat(esp, "--esp")
        appended[2] = Appended(esp)
        images.append(BootImage(2, UEFI))
    if efi is not None:
        _head(tree, efi)
        node = tree.lookup(efi)
        assert isinstance(node, File)
        _require_fat(node.content, f"`{efi.decode(errors='replace')}`")
        images.append(BootImage(normalize(efi), UEFI))
    made = Boot(
        images=tuple(images),
        catalog=catalog,
        loader=mbr,
        loader_kind=kind,
        table=table,
        appended=appended,
        partition_offset=chosen.partition_offset if table in ("gpt", "mbr") else 0,
        active=chosen.active if active is None else active,
        mbr_kind=chosen.mbr_kind,
        align=chosen.align,
    )
    joliet = chosen.joliet if options.joliet == "no" else options.joliet
    return tree, dataclasses.replace(options, boot=made, joliet=joliet)


def _require_fat(content: Blob, what: str) -> None:
    from imgcore.formats.fat.boot_sector import read_boot_sector

    try:
        read_boot_sector(content)  # a damaged one is an error with its place
    except NotThisFormat:
        raise ValueError(f"{what} is no FAT file system: UEFI boots what is in one, not a program by itself") from None


def _head(tree: Tree, path: bytes) -> bytes:
    try:
        node = tree.lookup(path)
    except PathError:
        raise PathError(
            "no such file in the tree", path=path, hint="boot images are named by their path in the image"
        ) from None
    if not isinstance(node, File):
        raise PathError("a boot image has to be a regular file", path=path)
    return node.content.read_at(0, 512)


def _with_file(tree: Tree, path: bytes, content: Blob) -> Tree:
    names = split(path)
    above: list[Dir] = [tree.root]
    for name in names[:-1]:
        child = above[-1].children.get(name)
        if child is not None and not isinstance(child, Dir):
            raise PathError("not a directory, where the ESP goes", path=path)
        above.append(child if child is not None else Dir(Meta(0o755, mtime_ns=tree.root.meta.mtime_ns)))
    node: Dir | File = File(Meta(0o644, mtime_ns=tree.root.meta.mtime_ns), content)
    for parent, name in zip(reversed(above), reversed(names), strict=True):
        node = dataclasses.replace(parent, children={**parent.children, name: node})
    assert isinstance(node, Dir)
    return tree.with_root(node)
