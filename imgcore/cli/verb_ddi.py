"""`imgcore ddi …`: build, info, verify."""

from __future__ import annotations

from typing import Final

import click

from imgcore.cli.actions import actions_of

__all__ = ["ACTIONS", "command"]

ACTIONS: Final = {
    "build": "write a disk image with one file system, and verity",
    "info": "show the partitions of a disk, and what verity says",
    "verify": "check the partition table, every block, and the signature",
}


@click.group(
    "ddi",
    cls=actions_of(ACTIONS, lambda name: f"ddi_{name}"),
    no_args_is_help=True,
    short_help="make and check discoverable disk images",
)
def command() -> None:
    """Discoverable disk images: a GPT whose partition types say what is in them, with dm-verity and a signature."""
