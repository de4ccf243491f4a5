"""`imgcore iso create SRC… DEST`: an ISO 9660 image that boots."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import click

from imgcore.blob import Blob, FileBlob
from imgcore.build.bootable import PRESETS, boot_options, esp_image
from imgcore.build.pack import pack
from imgcore.build.source import open_source, open_sources
from imgcore.build.spec import parse_source
from imgcore.cli.changing import changes, tree_options
from imgcore.cli.command import Run, limits_option, verb
from imgcore.cli.laying import layout_options, read_layout
from imgcore.cli.packing import parse_losses, parse_settings
from imgcore.cli.system import source_date_epoch
from imgcore.cli.verb_pack import format_options, show_report, target
from imgcore.errors import SourceUnreadable
from imgcore.formats import by_name
from imgcore.formats.iso9660 import Options
from imgcore.model import Loss
from imgcore.transforms import Clock, Policy

__all__ = ["create_command"]

_PRESETS_TEXT = "; ".join(f"{name}: {preset.title}" for name, preset in PRESETS.items())


@verb(
    "create",
    "write a bootable ISO 9660 image",
    examples=(
        "imgcore iso create tree out.iso --preset fedora --bios boot/grub/eltorito.img --mbr boot_hybrid.img --esp esp/",
        "imgcore iso create tree out.iso --preset elemental --esp esp/ --volume-id LIVE",
        "imgcore iso create tree out.iso --preset debian --bios isolinux/isolinux.bin --mbr isohdpfx.bin --esp esp.img",
    ),
    codes=(1, 3, 4, 5, 7),
)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... DEST", type=click.Path(readable=False))
@click.option("--preset", type=click.Choice(list(PRESETS)), help=f"A known layout. {_PRESETS_TEXT}.")
@click.option("--bios", metavar="PATH", help="In the image: isolinux.bin, or GRUB's image for El Torito.")
@click.option("--efi", metavar="PATH", help="In the image: a FAT file system that UEFI boots.")
@click.option("--esp", metavar="DIR|FILE", help="What is to be the EFI system partition: its files, or a FAT image.")
@click.option("--mbr", type=click.Path(dir_okay=False, exists=True), metavar="FILE", help="isohdpfx.bin or boot_hybrid.img.")
@click.option("--catalog", metavar="PATH", help="Show the boot catalog as a file.")
@click.option("--active", is_flag=True, default=None, help="An active MBR partition, which some BIOSes want.")
@click.option("--isohybrid-gpt", is_flag=True, help="Preset debian: add the GPT of such images, which UEFI calls invalid.")
@click.option("--volume-id", metavar="TEXT", help="The label, at most 32 bytes.  [default: CDROM]")
@click.option("--joliet", type=click.Choice(["no", "yes", "long"]), help="Names for Windows.")
@click.option("--digest", type=click.Choice(["none", "isomd5", "tagmedia"]), help="A digest for media checks.")
@tree_options
@layout_options
@click.option(
    "--allow-loss", callback=parse_losses, metavar="KIND,...", help="Accept what ISO 9660 cannot hold: link xattr time."
)
@click.option("-O", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="An option of the format.")
@limits_option
@click.option("--force", is_flag=True, help="Replace DEST.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk before it appears.")
@click.option("--verify", is_flag=True, help="Read the image back and compare, before it appears.")
def create_command(run: Run, paths: Sequence[str], **values: Any) -> int | None:
    """Write the trees of all SRC into an ISO 9660 image that boots.

    Boot loaders are the user's: the images are files of the tree, the MBR's code a file of the host. What the firmwares
    want (entries, sizes, tables) follows from the preset.
    """
    if len(paths) < 2:
        raise click.UsageError("a SRC and a DEST are needed")
    *texts, dest_text = paths
    with run.work() as control, contextlib.ExitStack() as stack:
        try:
            sources = [parse_source(text) for text in texts]
            layout = read_layout(values["sort"], values["layout"], sources[0].path)
            defaults = {"format_name": "iso9660", "block_size": None, "compression": None, "jobs": None, "memory": None}
            options = format_options(by_name("iso9660"), {**defaults, **values}, None, layout)
            assert isinstance(options, Options)
            chosen = {key: values[key] for key in ("volume_id", "joliet", "digest") if values[key] is not None}
            options = dataclasses.replace(options, **chosen)
            mbr = b""
            if values["mbr"] is not None:
                with open(values["mbr"], "rb") as stream:
                    mbr = stream.read(1024)
            tree = stack.enter_context(
                open_sources(sources, limits=values["limits"], stdin=run.stdin(), control=control, overwrite=False)
            ).tree
            lost: list[Loss] = []
            esp = None if values["esp"] is None else _esp(values["esp"], stack, values)
            tree, options = boot_options(
                tree,
                options,
                values["preset"],
                bios=_path(values["bios"]),
                efi=_path(values["efi"]),
                esp=esp,
                mbr=mbr,
                catalog=_path(values["catalog"]),
                isohybrid_gpt=values["isohybrid_gpt"],
                active=values["active"],
            )
            report = pack(
                tree,
                target(dest_text),
                format="iso9660",
                options=options,
                policy=Policy(xattrs="all"),
                transforms=changes(values, _clock(values["clock"]), values["limits"], control, lost),
                force=values["force"],
                sync=not values["no_sync"],
                verify=values["verify"],
                control=control,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    show_report(run, dataclasses.replace(report, losses=(*lost, *report.losses)), dest_text, None)
    return None


def _path(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _clock(clock: Clock | None) -> Clock:
    if clock is not None:
        return clock
    epoch = source_date_epoch()
    return Clock() if epoch is None else Clock.clamp(epoch * 10**9)


def _esp(text: str, stack: contextlib.ExitStack, values: dict[str, Any]) -> Blob:
    """Return a FAT image: a file as it is, of a directory one that is made of it."""
    if os.path.isfile(text):
        return stack.enter_context(FileBlob(text))
    if not os.path.isdir(text):
        raise SourceUnreadable("cannot open: neither a directory nor a file", path=os.fsencode(text))
    opened = stack.enter_context(open_source(text, xattrs=False))
    return esp_image(Policy(clock=_clock(values["clock"])).apply(opened.tree))
