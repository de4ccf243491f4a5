"""`imgcore diff A B`: what differs, path by path."""

from __future__ import annotations

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import path_fields
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.model import Change, Tree, diff
from imgcore.transforms.overlay import Dialect, layer_between

__all__ = ["command"]


@verb(
    "diff",
    "show what differs between two sources",
    examples=(
        "imgcore diff ./tree out.raw",
        "imgcore diff --json old.raw new.raw | jq -r .path",
        "imgcore diff --layer base tree -o layer.tar --dialect oci",
    ),
    codes=(1, 3, 5),
)
@click.argument("old", type=SOURCE, metavar="A")
@click.argument("new", type=SOURCE, metavar="B")
@click.option("--layer", "as_layer", is_flag=True, help="Write the layer that turns A into B to DEST, instead of a list.")
@click.option("-o", "--output", "dest", metavar="DEST", help="Where the layer goes: an image or an archive, by its suffix.")
@click.option(
    "--dialect",
    type=click.Choice(["trusted", "user", "oci"]),
    default="trusted",
    show_default=True,
    help="How the layer says what is gone: attributes of overlayfs, or OCI's .wh. files.",
)
@click.option("--force", is_flag=True, help="Replace DEST.")
@limits_option
def command(
    run: Run,
    old: SourceSpec,
    new: SourceSpec,
    as_layer: bool,
    dest: str | None,
    dialect: Dialect,
    force: bool,
    limits: Limits,
) -> int | None:
    """Show what changes from A to B: presence, type, content, mode, owner, time, extended attributes, hard links.

    Times are compared at the coarser side's resolution. Exit code 1 says that there are differences. With --layer, write
    the smallest layer that shows B when it lies over A; then the exit code is 0.
    """
    if as_layer != (dest is not None):
        raise click.UsageError("--layer and -o DEST go together")
    differs = False
    with (
        open_source(old, limits=limits, stdin=run.stdin(), control=run.control) as a,
        open_source(new, limits=limits, stdin=run.stdin(), control=run.control) as b,
    ):
        if dest is not None:
            _write(run, layer_between(a.tree, b.tree, dialect=dialect, control=run.control), dest, force, limits)
            return 0
        for change in diff(a.tree, b.tree, run.control):
            differs = True
            if run.output.as_json:
                values = {"kind": change.kind, **path_fields(change.path), "old": change.old, "new": change.new}
                run.output.event("finding", values)
            else:
                run.output.line(_text(change))
    return 1 if differs else 0


def _write(run: Run, layer: Tree, dest: str, force: bool, limits: Limits) -> None:
    from imgcore.build.pack import pack  # late: a list needs nothing of it
    from imgcore.cli.verb_pack import show_report
    from imgcore.transforms import Policy

    with run.work() as control:
        try:
            report = pack(layer, dest, policy=Policy(xattrs="all"), force=force, limits=limits, control=control)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    show_report(run, report, dest, None)


def _text(change: Change) -> str:
    """Return a change as a line."""
    if change.kind in ("added", "removed"):
        return f"{change.kind:<8} {show(change.path)} ({change.new or change.old})"
    said = "" if not (change.old or change.new) else f": {change.old or 'none'} -> {change.new or 'none'}"
    return f"{change.kind:<8} {show(change.path)}{said}"
