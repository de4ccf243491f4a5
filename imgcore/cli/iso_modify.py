"""`imgcore iso modify IN [OUT]`: an image with changes, and all else as it was."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import click

from imgcore.blob import open_sink
from imgcore.build.half_changed import is_half_changed
from imgcore.build.in_place import hold
from imgcore.build.iso_modify import Add, Edit, EspAdd, EspRemove, Remove, VolumeId, modify
from imgcore.build.source import open_source
from imgcore.cli.command import Run, limits_option, verb
from imgcore.cli.output import human
from imgcore.cli.packing import parse_clock, parse_losses, parse_owner
from imgcore.cli.system import source_date_epoch
from imgcore.errors import PathError, SourceUnreadable, TargetExists, show
from imgcore.hosts import node_at
from imgcore.model import Dir, File, Tree
from imgcore.transforms import Clock, Policy

__all__ = ["modify_command"]


@verb(
    "modify",
    "change an image, and keep everything else as it is",
    examples=(
        "imgcore iso modify in.iso out.iso --add site.yaml:/config/site.yaml",
        "imgcore iso modify in.iso out.iso --remove /casper/filesystem.manifest --volume-id CUSTOM",
        "imgcore iso modify image.iso --in-place --add ks.cfg:/ks.cfg --esp-add grub.cfg:/EFI/BOOT/grub.cfg",
    ),
    codes=(1, 3, 4, 5),
)
@click.argument("source", metavar="IN", type=click.Path(dir_okay=False))
@click.argument("dest", metavar="[OUT]", required=False, type=click.Path(dir_okay=False))
@click.option("--add", "added", multiple=True, metavar="SRC:DST", help="Put a file or directory of the host at a path.")
@click.option("--remove", "removed", multiple=True, metavar="PATH", help="Remove a file or a directory.")
@click.option("--esp-add", multiple=True, metavar="SRC:DST", help="Put a file into the EFI system partition.")
@click.option("--esp-remove", multiple=True, metavar="PATH", help="Remove a path of the EFI system partition.")
@click.option("--volume-id", metavar="TEXT", help="Another label.")
@click.option("--in-place", is_flag=True, help="Change IN itself, by a journal beside it.")
@click.option("--owner", default="root", callback=parse_owner, metavar="WHO", help="Of what is added: keep, root, UID:GID.")
@click.option("--clock", callback=parse_clock, metavar="WHEN", help="Of what is added, as for pack.")
@click.option("--allow-loss", callback=parse_losses, metavar="KIND,...", help="Accept what the image cannot hold of it.")
@click.option("--dry-run", is_flag=True, help="Say what would be kept, moved and rewritten.")
@limits_option
@click.option("--force", is_flag=True, help="Replace OUT.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk.")
def modify_command(run: Run, source: str, dest: str | None, **values: Any) -> int | None:
    """Write the image IN with changes to OUT, or into IN itself.

    What was not asked for stays as it was, to the byte: system area, GUIDs, partitions, names, order, places. Without any
    change OUT is IN. What is removed goes first, whatever the order of the flags. A change that was stopped (--in-place) is
    finished or undone by the next call.
    """
    if dest is None and not values["in_place"] and not values["dry_run"]:
        raise click.UsageError("OUT is needed, or --in-place")
    if dest is not None and values["in_place"]:
        raise click.UsageError("OUT and --in-place exclude each other")
    with run.work() as control, contextlib.ExitStack() as stack:
        if dest is not None and not values["dry_run"] and os.path.exists(dest) and not values["force"]:
            raise TargetExists("target exists", path=os.fsencode(dest), hint="--force replaces it")
        if values["dry_run"] and is_half_changed(source):
            hint = "without --dry-run it is finished or undone"
            raise SourceUnreadable("a change of this image was stopped, or is under way", path=os.fsencode(source), hint=hint)
        held = stack.enter_context(hold(source, change=values["in_place"], sync=not values["no_sync"]))
        if held.recovered is not None:
            run.output.note(f"a change of `{show(source)}` that was stopped is {held.recovered}")
        edits = _edits(values, stack)
        result = modify(held.blob, edits, allow_loss=values["allow_loss"] or (), limits=values["limits"], control=control)
        if values["dry_run"]:
            pass
        elif dest is None:
            if result.patches:
                held.apply(result.size, result.patches, sync=not values["no_sync"])
        else:
            with open_sink(dest, replace=values["force"], sync=not values["no_sync"]) as sink:
                result.write(sink, control)
    report = result.report
    if run.output.as_json:
        run.output.event(
            "summary", {"verb": "iso modify", "source": source, "dest": dest or source, **dataclasses.asdict(report)}
        )
        return None
    run.output.note(
        f"kept {human(report.kept)}, moved {human(report.moved)}, rewrote {human(report.rewritten)},"
        f" added {human(report.added)}"
    )
    for note in report.notes:
        run.output.note(f"  {note}")
    return None


def _pair(text: str) -> tuple[str, bytes]:
    """Return SRC and DST of `SRC:DST`; the last colon that a path stands behind counts."""
    source, colon, path = text.rpartition(":/")
    if not colon or not source:
        raise click.UsageError(f"`{text}` is not SRC:/DST")
    return source, b"/" + os.fsencode(path)


def _edits(values: dict[str, Any], stack: contextlib.ExitStack) -> Sequence[Edit]:
    epoch = source_date_epoch()
    clock = values["clock"] or (Clock() if epoch is None else Clock.clamp(epoch * 10**9))
    policy = Policy(owners=values["owner"], clock=clock, xattrs="none")
    edits: list[Edit] = [Remove(os.fsencode(path)) for path in values["removed"]]
    for text in values["added"]:
        source, path = _pair(text)
        if os.path.isdir(source) and not os.path.islink(source):
            tree = policy.apply(stack.enter_context(open_source(source, xattrs=False)).tree)
            edits.append(Add(path, tree.root))
        else:
            whole = policy.apply(Tree(Dir(children={b"x": node_at(source)})))
            edits.append(Add(path, whole.lookup(b"/x")))
    for text in values["esp_add"]:
        source, path = _pair(text)
        node = node_at(source)
        if not isinstance(node, File):
            raise PathError("not a regular file", path=os.fsencode(source))
        edits.append(EspAdd(path, node.content))
    edits += [EspRemove(os.fsencode(path)) for path in values["esp_remove"]]
    if values["volume_id"] is not None:
        edits.append(VolumeId(values["volume_id"]))
    return edits
