"""Verbs with actions (`imgcore iso create`): a group that knows its actions by name, and imports each when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping

import click

__all__ = ["actions_of"]


class _Actions(click.Group):
    """A group whose actions are in modules of their own, as `ACTION_command`."""

    actions: Mapping[str, str]
    module_of: Callable[[str], str]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all actions."""
        return list(self.actions)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return an action."""
        if cmd_name not in self.actions:
            return None
        module = importlib.import_module(f"imgcore.cli.{self.module_of(cmd_name)}")
        found = getattr(module, f"{cmd_name}_command")
        assert isinstance(found, click.Command)
        return found


def actions_of(actions: Mapping[str, str], module_of: Callable[[str], str]) -> type[click.Group]:
    """Return the class of a group with these actions (name to summary); `module_of` says in which module one is."""
    return type("Actions", (_Actions,), {"actions": actions, "module_of": staticmethod(module_of)})
