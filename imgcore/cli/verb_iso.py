"""`imgcore iso …`: create, info, lint, modify."""

from __future__ import annotations

from typing import Final

import click

from imgcore.cli.actions import actions_of

__all__ = ["ACTIONS", "command"]

ACTIONS: Final = {
    "create": "write a bootable ISO 9660 image",
    "info": "explain an image: descriptors, boot entries, partitions, digests",
    "lint": "say where an image boots, and why not elsewhere",
    "modify": "change an image, and keep everything else as it is",
    "mkisofs": "write an image as `xorriso -as mkisofs` is told to",
}


@click.group(
    "iso",
    cls=actions_of(ACTIONS, lambda name: f"iso_{name}"),
    no_args_is_help=True,
    short_help="make, explain and change ISO 9660 images that boot",
)
def command() -> None:
    """ISO 9660 images that boot, from a CD and from a USB stick, by a BIOS and by UEFI."""
