"""`imgcore iso …`: create, info, lint, modify."""

from __future__ import annotations

import importlib
from typing import Final

import click

__all__ = ["ACTIONS", "command"]

ACTIONS: Final = {
    "create": "write a bootable ISO 9660 image",
    "info": "explain an image: descriptors, boot entries, partitions, digests",
    "lint": "say where an image boots, and why not elsewhere",
    "modify": "change an image, and keep everything else as it is",
    "mkisofs": "write an image as `xorriso -as mkisofs` is told to",
}


class _Actions(click.Group):
    """The actions by name, imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all actions."""
        return list(ACTIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return an action."""
        if cmd_name not in ACTIONS:
            return None
        found = getattr(importlib.import_module(f"imgcore.cli.iso_{cmd_name}"), f"{cmd_name}_command")
        assert isinstance(found, click.Command)
        return found


@click.group("iso", cls=_Actions, no_args_is_help=True, short_help="make, explain and change ISO 9660 images that boot")
def command() -> None:
    """ISO 9660 images that boot, from a CD and from a USB stick, by a BIOS and by UEFI."""
