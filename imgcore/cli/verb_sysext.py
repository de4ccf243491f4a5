"""`imgcore sysext …`: list, status, plan, merge, unmerge, refresh, lint, build."""

from __future__ import annotations

import importlib
from typing import Final

import click

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


class _Actions(click.Group):
    """The actions by name, imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all actions."""
        return list(ACTIONS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return an action."""
        if cmd_name not in ACTIONS:
            return None
        module = importlib.import_module(f"imgcore.cli.{_MODULES.get(cmd_name, 'sysext_plan')}")
        found = getattr(module, f"{cmd_name}_command")
        assert isinstance(found, click.Command)
        return found


@click.group("sysext", cls=_Actions, no_args_is_help=True, short_help="decide, check and build extensions of systemd")
def command() -> None:
    """Extensions of systemd (systemd-sysext, and with --kind confext systemd-confext), without systemd.

    A ROOT is a directory, an image, or any other SRC: nothing is mounted and nothing in it changes.
    """
