"""`imgcore merge HOST EXT…`: what systemd-sysext, systemd-confext or overlayfs make of a host and its extensions."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from imgcore.build.pack import choose_format, pack
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SIZE, SOURCE, Run, limits_option, verb
from imgcore.cli.deciding import say_decisions
from imgcore.cli.output import path_fields
from imgcore.cli.packing import parse_compression, parse_losses, parse_settings
from imgcore.cli.planning import decision_options, plan_of
from imgcore.cli.stacking import KIND, overlay_flags, require_of_kind, stack_of
from imgcore.cli.verb_pack import format_options, show_report, target
from imgcore.errors import NotRepresentable, OutputError, TargetExists, show
from imgcore.limits import Limits
from imgcore.model import Loss, Tree, manifest_lines
from imgcore.sysext.merging import MergedHost, merge_plan
from imgcore.sysext.plan import Plan
from imgcore.transforms import Policy
from imgcore.transforms.overlay import Merged, problems, unseen, without_unseen

__all__ = ["command"]


@verb(
    "merge",
    "merge extensions over a host, as systemd or overlayfs would",
    examples=(
        "imgcore merge host hello.raw other.raw",
        "imgcore merge host.raw ext/*.raw -o merged.raw --html report.html",
        "imgcore merge --kind overlay bottom middle top --manifest",
        "imgcore merge host hello.raw --os-release next/os-release --systemd 257",
    ),
    codes=(1, 3, 4, 5, 7),
)
@click.argument("host", type=SOURCE, metavar="HOST")
@click.argument("extensions", type=SOURCE, nargs=-1, metavar="EXT...")
@click.option("-o", "--output", "dest", metavar="DEST", help="Write the merged tree as an image.")
@KIND
@click.option("--manifest", is_flag=True, help="Print the manifest of the merged tree.")
@click.option("--html", type=click.Path(dir_okay=False), metavar="FILE", help="Write a page that shows the merged tree.")
@click.option("--format", "format_name", metavar="NAME", help="Of DEST; by default what its suffix says.")
@click.option("-c", "--compression", callback=parse_compression, metavar="NAME[:LEVEL]", help="Of DEST, as for pack.")
@click.option("-b", "--block-size", type=SIZE, metavar="SIZE", help="Of DEST, as for pack.")
@click.option("-O", "settings", multiple=True, callback=parse_settings, metavar="KEY=VALUE", help="An option of DEST's format.")
@click.option(
    "--allow-loss",
    callback=parse_losses,
    metavar="KIND,...",
    help="Accept what DEST's format cannot hold, and (lookup) paths that Linux gives an error for.",
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option("--force", "replace", is_flag=True, help="Replace DEST, and the page.")
@click.option("--no-sync", is_flag=True, help="Do not force DEST to disk before it appears.")
@decision_options
@overlay_flags
@limits_option
def command(
    run: Run,
    host: SourceSpec,
    extensions: Sequence[SourceSpec],
    dest: str | None,
    kind: str,
    manifest: bool,
    html: str | None,
    limits: Limits,
    **values: Any,
) -> int | None:
    """Merge all EXT over HOST, say what becomes of each, and write the merged tree where that is asked for.

    An extension that does not fit is left out, and the exit code is 1; one that blocks all leaves no DEST, but a page that
    says so. For overlay, layers lie in the order given, the later above the earlier; a stack that Linux refuses to mount is
    an error. A path that Linux gives an error for cannot be in DEST: there is none then, and the exit code is 4, unless
    --allow-loss lookup says that it may be missing.
    """
    require_of_kind(kind)
    _require_places(dest, html, [host, *extensions], manifest=manifest)
    if html is not None and os.path.lexists(html) and not values["replace"]:
        raise TargetExists("exists already", path=html, hint="--force replaces it")
    if dest is not None:
        _require_dest(dest, values)
    with run.work(), contextlib.ExitStack() as stack:
        quiet = manifest or dest == "-"
        code, views, tree = 0, [], None
        if kind == "overlay":
            view = stack_of(run, [host, *extensions], values, limits, stack)
            views, tree = [(b"/", view)], view.tree
            made = None
        else:
            made = plan_of(run, host, extensions, kind, {**values, "limits": limits}, stack)
            code = say_decisions(run, made, on_stderr=quiet)
            if made.blocked or made.unsupported:
                why = "nothing is merged" if made.blocked else "what systemd would do is not known"
                run.output.note(why + ("" if dest is None else f", and `{show(dest)}` is not written"))
                if html is not None:
                    _page(html, made.root, [], made)
                return code
            if made.skipped:
                code = code or 1  # systemd would pass over it in silence; here it was asked for
            if not extensions:
                run.output.note("no extensions: the host as it is")
            merged: MergedHost = merge_plan(made, limits=limits)
            views, tree = [(one.target, one.merged) for one in merged.hierarchies], merged.tree
            for one in merged.hierarchies:
                _layers(run, one.target, one.names, quiet)
        losses = _problems(run, views)
        if manifest:
            for line in manifest_lines(tree):
                run.output.line(line)
        if html is not None:
            _page(html, tree, views, made)
        if dest is not None:
            _write(run, tree, dest, values, limits, losses)
    return code


def _require_places(dest: str | None, html: str | None, inputs: Sequence[SourceSpec], *, manifest: bool) -> None:
    """Raise UsageError for places that exclude each other, and flags of DEST without a DEST."""
    if dest == "-" and manifest:
        raise click.UsageError("--manifest and DEST `-` both go to standard output")
    if html == "-":
        raise click.UsageError("--html needs a file")
    if dest is not None and html is not None and os.path.realpath(dest) == os.path.realpath(html):
        raise click.UsageError("DEST and --html are one file")
    for place in (dest, html):
        for one in inputs:
            if place is not None and os.path.exists(place) and os.path.exists(one.path) and os.path.samefile(place, one.path):
                raise click.UsageError(f"`{show(place)}` is read, so that it cannot be replaced")
    context = click.get_current_context()
    mine = {one.name: one.opts[-1] for one in context.command.params}
    for name in (
        ("format_name", "compression", "block_size", "settings", "jobs", "no_sync", "allow_loss") if dest is None else ()
    ):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{mine[name]} has no effect without -o")


def _require_dest(dest_text: str, values: dict[str, Any]) -> None:
    """Raise UsageError, TargetExists for a DEST that cannot be written, before anything else is."""
    try:
        dest = target(dest_text)
        kind = choose_format(dest, values["format_name"])
        format_options(kind, {**values, "memory": None}, None if dest_text == "-" else dest_text, None)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if dest_text == "-":
        return
    if not os.path.isdir(os.path.dirname(os.path.realpath(dest_text))):
        raise OutputError("no such directory", path=os.path.dirname(dest_text))
    if os.path.lexists(dest_text) and not values["replace"] and os.path.isfile(dest_text):
        raise TargetExists("target exists", path=dest_text, hint="--force replaces it")


def _page(path: str, tree: Tree, views: Sequence[tuple[bytes, Merged]], plan: Plan | None) -> None:
    from imgcore.build.merge_page import write_page

    write_page(path, tree, views, plan)


def _layers(run: Run, path: bytes, names: Sequence[str], quiet: bool) -> None:
    if run.output.as_json:
        run.output.event("plan", {"hierarchy": show(path), "layers": list(names)}, on_stderr=quiet)
    elif quiet:
        run.output.note(f"{show(path)}: {' over '.join(map(show, names))}")
    else:
        run.output.line(f"{show(path)}: {' over '.join(map(show, names))}")


def _problems(run: Run, views: Sequence[tuple[bytes, Merged]]) -> list[Loss]:
    """Tell what the merge does in silence; return what is not in the merged tree because of it."""
    losses: list[Loss] = []
    for top, view in views:
        for one in problems(view):
            losses += unseen([one], top)
            path = top.rstrip(b"/") + one.path if one.path != b"/" else top
            if run.output.as_json:
                values = {"rule": one.rule, **path_fields(path), "layer": one.layer, "message": one.message}
                run.output.event("warning", values, on_stderr=True)
            else:
                run.output.note(
                    f"warning[{one.rule}] {show(path)}" + (f" in `{one.layer}`" if one.layer else "") + f": {one.message}"
                )
    return losses


def _write(run: Run, tree: Tree, dest_text: str, values: dict[str, Any], limits: Limits, losses: Sequence[Loss]) -> None:
    """Write the merged tree. Raises NotRepresentable for what Linux gives an error for, unless that loss is allowed."""
    if losses and "lookup" not in values["allow_loss"]:
        more = f" and {len(losses) - 1} more" if len(losses) > 1 else ""
        raise NotRepresentable(
            f"an image cannot hold what Linux gives an error for: {losses[0].message}{more}",
            path=losses[0].path,
            losses=losses,
            hint="--allow-loss lookup writes it without",
        )
    wanted = {**values, "memory": None}
    try:
        dest = target(dest_text)
        kind = choose_format(dest, values["format_name"])
        options = format_options(kind, wanted, None if dest_text == "-" else dest_text, None)
        report = pack(
            without_unseen(tree, losses),
            dest,
            format=kind.name,
            options=options,
            policy=Policy(xattrs="all"),
            force=values["replace"],
            sync=not values["no_sync"],
            limits=limits,
            control=run.control,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    show_report(run, dataclasses.replace(report, losses=(*losses, *report.losses)), dest_text, None)
