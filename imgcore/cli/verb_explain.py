"""`imgcore explain PATH HOST EXT…`: why a path of a merged host is as it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import click

from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.deciding import left_out
from imgcore.cli.output import path_fields
from imgcore.cli.planning import decision_options, plan_of
from imgcore.cli.stacking import KIND, overlay_flags, require_of_kind, stack_of
from imgcore.errors import PathError, show
from imgcore.limits import Limits
from imgcore.model import Dir, Tree, join, normalize, type_name
from imgcore.sysext.chase import chase
from imgcore.sysext.merging import merge_plan
from imgcore.sysext.plan import Plan
from imgcore.transforms.overlay import Story, explain

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
@KIND
@decision_options
@overlay_flags
@limits_option
def command(
    run: Run, path: str, host: SourceSpec, extensions: Sequence[SourceSpec], kind: str, limits: Limits, **values: Any
) -> int | None:
    """Say who has PATH in the merged tree of HOST and all EXT, what each other layer has there, and what hides it.

    Symbolic links are not followed. An extension that is left out is named, and whether it has PATH. Exit code 1: there is
    nothing at PATH; 3: an extension cannot be read here.
    """
    require_of_kind(kind)
    full = normalize(os.fsencode(path))
    with contextlib.ExitStack() as stack:
        if kind == "overlay":
            return _tell(run, full, explain(stack_of(run, [host, *extensions], values, limits, stack), full), ())
        made = plan_of(run, host, extensions, kind, {**values, "limits": limits}, stack, whole=False)
        merged = merge_plan(made)
        notes = [*left_out(made), *_holders(made, full)]
        found = merged.at(full)
        if found is None:
            code = _tell_host(run, full, made.root, notes)
        else:
            hierarchy, inside = found
            code = _tell(run, full, explain(hierarchy.merged, inside, below=hierarchy.target), notes)
        return 3 if made.unsupported else code


def _holders(made: Plan, path: bytes) -> list[str]:
    """Return a line for each extension that has the path, and is not merged."""
    lines = []
    for one in made.decisions:
        if one.extension.tree is None or (one.outcome == "accepted" and not made.blocked):
            continue
        with contextlib.suppress(PathError):
            found = chase(one.extension.tree, path, follow_last=False)
            if found is not None:
                lines.append(f"`{show(one.name)}`, which is not merged, has a {type_name(found.node)} there")
    return lines


def _tell_host(run: Run, path: bytes, root: Tree, notes: Sequence[str]) -> int:
    """Tell of a path outside of what is merged."""
    found = chase(root, path, follow_last=False)
    kind = "" if found is None else type_name(found.node)
    if run.output.as_json:
        run.output.event(
            "summary",
            {**path_fields(path), "kind": kind, "layer": "host" if kind else "", "merged": False, "notes": list(notes)},
        )
        return 0 if kind else 1
    said = f"a {kind} of the host; nothing is merged there" if kind else "nothing, and nothing is merged there"
    run.output.line(f"{show(path)}: {said}")
    for note in notes:
        run.output.line(f"  {note}")
    if found is not None and isinstance(found.node, Dir) and found.path != path:
        run.output.line(f"  it leads to {show(join(b'/', found.path))}")
    return 0 if kind else 1


def _tell(run: Run, path: bytes, story: Story, notes: Sequence[str]) -> int:
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
        run.output.event("summary", {**values, "notes": list(notes)})
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
    for note in notes:
        run.output.line(f"  {note}")
    return code
