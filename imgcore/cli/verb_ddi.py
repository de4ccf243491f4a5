"""`imgcore ddi …`: build, info, verify."""

from __future__ import annotations

import importlib
from typing import Final

import click

__all__ = ["ACTIONS", "command"]

ACTIONS: Final = {
    "build": "write a disk image with one file system, and verity",
    "info": "show the partitions of a disk, and what verity says",
    "verify": "check the partition table, every block, and the signature",
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
        found = getattr(importlib.import_module(f"imgcore.cli.ddi_{cmd_name}"), f"{cmd_name}_command")
        assert isinstance(found, click.Command)
        return found


@click.group("ddi", cls=_Actions, no_args_is_help=True, short_help="make and check discoverable disk images")
def command() -> None:
    """Discoverable disk images: a GPT whose partition types say what is in them, with dm-verity and a signature."""
