"""`imgcore diff A B`: what differs, path by path."""

from __future__ import annotations

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import path_fields
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.model import Change, diff

__all__ = ["command"]


@verb(
    "diff",
    "show what differs between two sources",
    examples=("imgcore diff ./tree out.raw", "imgcore diff --json old.raw new.raw | jq -r .path"),
    codes=(1, 3, 5),
)
@click.argument("old", type=SOURCE, metavar="A")
@click.argument("new", type=SOURCE, metavar="B")
@limits_option
def command(run: Run, old: SourceSpec, new: SourceSpec, limits: Limits) -> int | None:
    """Show what changes from A to B: presence, type, content, mode, owner, time, extended attributes, hard links.

    Times are compared at the coarser side's resolution. Exit code 1 says that there are differences.
    """
    differs = False
    with (
        open_source(old, limits=limits, stdin=run.stdin(), control=run.control) as a,
        open_source(new, limits=limits, stdin=run.stdin(), control=run.control) as b,
    ):
        for change in diff(a.tree, b.tree, run.control):
            differs = True
            if run.output.as_json:
                values = {"kind": change.kind, **path_fields(change.path), "old": change.old, "new": change.new}
                run.output.event("finding", values)
            else:
                run.output.line(_text(change))
    return 1 if differs else 0


def _text(change: Change) -> str:
    """Return a change as a line."""
    if change.kind in ("added", "removed"):
        return f"{change.kind:<8} {show(change.path)} ({change.new or change.old})"
    said = "" if not (change.old or change.new) else f": {change.old or 'none'} -> {change.new or 'none'}"
    return f"{change.kind:<8} {show(change.path)}{said}"
