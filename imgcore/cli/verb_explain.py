"""`imgcore explain PATH HOST EXT…`: why a path of a merged host is as it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import click

from imgcore.build.extensions import open_layers
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import path_fields
from imgcore.cli.planning import decision_options, plan_of
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.model import Dir, join, normalize, type_name
from imgcore.sysext.chase import chase
from imgcore.sysext.merging import merge_plan
from imgcore.transforms.overlay import Story, explain, merge

__all__ = ["command"]


@verb(
    "explain",
    "tell why a path of a merged host is as it is",
    examples=(
        "imgcore explain /usr/bin/hello host hello.raw other.raw",
        "imgcore explain --kind overlay /etc/app.conf bottom middle top",
    ),
    codes=(1, 3, 5),
)
@click.argument("path")
@click.argument("host", type=SOURCE, metavar="HOST")
@click.argument("extensions", type=SOURCE, nargs=-1, metavar="EXT...")
@click.option(
    "--kind",
    type=click.Choice(["sysext", "confext", "overlay"]),
    default="sysext",
    show_default=True,
    help="Extensions of systemd, or layers of an overlay, later ones above.",
)
@decision_options
@limits_option
def command(
    run: Run, path: str, host: SourceSpec, extensions: Sequence[SourceSpec], kind: str, limits: Limits, **values: Any
) -> int | None:
    """Say who has PATH in the merged tree of HOST and all EXT, what each other layer has there, and what hides it.

    Symbolic links are not followed. Exit code 1: there is nothing at PATH.
    """
    full = normalize(os.fsencode(path))
    with contextlib.ExitStack() as stack:
        if kind == "overlay":
            layers = open_layers([host, *extensions], stack, limits=limits, control=run.control)
            return _tell(run, full, explain(merge(layers[::-1]), full), "")
        made = plan_of(run, host, extensions, kind, {**values, "limits": limits}, stack)
        merged = merge_plan(made)
        refused = "" if not made.blocked else "no extension is merged; `imgcore merge` says why"
        found = merged.at(full)
        if found is None:
            return _tell_host(run, full, made.root, refused)
        hierarchy, inside = found
        return _tell(run, full, explain(hierarchy.merged, inside, below=hierarchy.target), refused)


def _tell_host(run: Run, path: bytes, root: Any, note: str) -> int:
    """Tell of a path outside of what is merged."""
    found = chase(root, path, follow_last=False)
    kind = "" if found is None else type_name(found.node)
    if run.output.as_json:
        run.output.event(
            "summary", {**path_fields(path), "kind": kind, "layer": "host" if kind else "", "merged": False, "note": note}
        )
        return 0 if kind else 1
    said = f"a {kind} of the host; nothing is merged there" if kind else "nothing, and nothing is merged there"
    run.output.line(f"{show(path)}: {said}")
    if note:
        run.output.line(f"  {note}")
    if found is not None and isinstance(found.node, Dir) and found.path != path:
        run.output.line(f"  it leads to {show(join(b'/', found.path))}")
    return 0 if kind else 1


def _tell(run: Run, path: bytes, story: Story, note: str) -> int:
    code = 0 if story.kind and not story.error else 1
    if run.output.as_json:
        values: dict[str, object] = {**path_fields(path), "kind": story.kind, "layer": story.layer, "merged": True}
        values["content_layer"] = story.content_layer
        if story.error:
            values |= {"error": story.error, "message": story.message}
        values["parts"] = [
            {"layer": part.layer, "kind": part.kind, "role": part.role, "why": part.why, "by": part.by} for part in story.parts
        ]
        values["steps"] = [{"layer": layer, "path": at, "what": what} for layer, at, what in story.steps]
        run.output.event("summary", {**values, "note": note})
        return code
    if story.error:
        run.output.line(f"{show(path)}: {story.error}: {story.message}")
    elif story.kind:
        run.output.line(f"{show(path)}: a {story.kind} of `{story.layer}`")
        if story.content_layer and story.content_layer != story.layer:
            run.output.line(f"  its content is that of `{story.content_layer}`")
    else:
        run.output.line(f"{show(path)}: nothing")
    for part in story.parts:
        why = f": {part.why}" + (f" (in `{part.by}`)" if part.by else "") if part.why else ""
        run.output.line(f"  {part.role:<7} `{part.layer}`: a {part.kind}{why}")
    if run.output.verbose:
        for layer, at, what in story.steps:
            run.output.line(f"  met     `{layer}`: {at}: {what}")
    if note:
        run.output.line(f"  {note}")
    return code
