"""`imgcore sysext …`: list, status, plan, merge, unmerge, refresh, lint, build."""

from __future__ import annotations

from typing import Final

import click

from imgcore.cli.actions import actions_of

__all__ = ["ACTIONS", "command"]

ACTIONS: Final = {
    "list": "list the extensions in a root",
    "status": "show what is merged in a root",
    "plan": "show what systemd would decide about each extension",
    "merge": "say how systemd's `merge` would end",
    "refresh": "say how systemd's `refresh` would end",
    "unmerge": "say how systemd's `unmerge` would end",
    "lint": "find what is wrong with extensions",
    "build": "build an extension image from a tree",
}
_MODULES: Final = {"build": "sysext_build", "lint": "sysext_lint"}


@click.group(
    "sysext",
    cls=actions_of(ACTIONS, lambda name: _MODULES.get(name, "sysext_plan")),
    no_args_is_help=True,
    short_help="decide, check and build extensions of systemd",
)
def command() -> None:
    """Extensions of systemd (systemd-sysext, and with --kind confext systemd-confext), without systemd.

    A ROOT is a directory, an image, or any other SRC: nothing is mounted and nothing in it changes.
    """
