"""`imgcore pack SRC… DEST`: any tree to an image of any format."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, BinaryIO

import click

from imgcore.build.pack import choose_format, pack, plan_pack
from imgcore.build.source import open_source
from imgcore.build.spec import parse_source
from imgcore.cli.caching import open_caches
from imgcore.cli.changing import changes, tree_options
from imgcore.cli.command import SIZE, SOURCE, Run, limits_option, verb
from imgcore.cli.laying import Layout, layout_options, read_layout
from imgcore.cli.output import human
from imgcore.cli.packing import Compression, parse_compression, parse_losses, parse_settings
from imgcore.cli.system import allowed_cpus, source_date_epoch
from imgcore.engine.protocol import minimum_memory
from imgcore.errors import show
from imgcore.formats.base import Format, Options, Report
from imgcore.model import Loss
from imgcore.transforms import Clock, Policy

__all__ = ["command", "format_options", "show_report", "target"]

_NS = 10**9


@verb(
    "pack",
    "write trees into an image",
    examples=(
        "imgcore pack ./tree out.raw",
        "imgcore pack -c xz -b 1M --owner root --clock clamp:1700000000 ./tree out.squashfs",
        "imgcore pack /opt/app=./build ./base --exclude '*.pyc' --exclude /var/cache/ out.raw",
        "imgcore pack other.squashfs -c lz4:12 --force out.raw",
        "imgcore pack out.raw out.tar.zst",
        "imgcore pack ./tree --format squashfs - | ssh host 'cat > out.raw'",
    ),
    codes=(1, 3, 4, 5, 7),
)
@click.argument("paths", nargs=-1, required=True, metavar="SRC... DEST", type=click.Path(readable=False))
@click.option("--format", "format_name", metavar="NAME", help="The format; by default what DEST's suffix says.")
@click.option(
    "-c",
    "--compression",
    callback=parse_compression,
    metavar="NAME[:LEVEL]",
    help="squashfs: zstd (1-22, 15; below 0: fast), gzip (1-12, 6), xz (0-9, 6), lz4 (fast; 3-12: HC), lzo, none; tar and"
    " cpio: zstd (9), gzip, xz, bzip2 (1-9, 9), none.  [default: zstd; of tar and cpio what DEST's suffix says]",
)
@click.option("-b", "--block-size", type=SIZE, metavar="SIZE", help="Bytes of a block.  [default: 128K]")
@tree_options
@layout_options
@click.option(
    "--allow-loss",
    callback=parse_losses,
    metavar="KIND,...",
    help="Accept what the format cannot hold: link xattr device time name sparse.",
)
@click.option(
    "-O",
    "settings",
    multiple=True,
    callback=parse_settings,
    metavar="KEY=VALUE",
    help="An option of the format; `imgcore formats` lists them.",
)
@click.option("--contents", type=SOURCE, metavar="SRC", help="Where the files of a SRC that is a manifest are, by path.")
@click.option("--overwrite", is_flag=True, help="Where two SRC have the same path, let the later win.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "pure"]),
    default="auto",
    show_default=True,
    help="Who does the work; the image is the same.",
)
@click.option("--memory", type=SIZE, metavar="SIZE", help="Bytes of content in flight at most.  [default: 128M]")
@click.option(
    "--cache",
    "caches",
    multiple=True,
    type=click.Path(file_okay=False),
    metavar="DIR|URL",
    help="Take compressed blocks from there, and add what is new: a rebuild compresses only what changed. A URL is any that"
    " fsspec knows (s3://bucket/path); in front of it is the DIR of another --cache, or one in the user's cache directory.",
)
@click.option(
    "--cache-size",
    type=SIZE,
    metavar="SIZE",
    help="Bytes that the DIR keeps; what was not used for longest goes.  [default: 5G]",
)
@click.option(
    "--base",
    type=click.Path(dir_okay=False),
    metavar="IMAGE",
    help="Take compressed blocks over from an older image of the same settings.",
)
@limits_option
@click.option(
    "--offset",
    type=SIZE,
    metavar="SIZE",
    help="Write into the file DEST: what is before this byte stays, the file ends with the image.",
)
@click.option("--force", is_flag=True, help="Replace DEST.")
@click.option("--no-sync", is_flag=True, help="Do not force the image to disk before it appears.")
@click.option("--verify", is_flag=True, help="Read the image back and compare, before it appears.")
@click.option("--dry-run", is_flag=True, help="Say what would be written; with -v each entry.")
def command(run: Run, paths: Sequence[str], **values: Any) -> int | None:
    """Write the trees of all SRC into the image DEST.

    DEST appears whole or not at all. `-` as DEST is standard output, and needs --format. The same tree and options give
    the same bytes, on any machine and with any number of jobs.
    """
    if len(paths) < 2:
        raise click.UsageError("a SRC and a DEST are needed")
    *texts, dest_text = paths
    try:
        sources = [parse_source(text) for text in texts]
        dest = target(dest_text)
        kind = choose_format(dest, values["format_name"])
        layout = read_layout(values["sort"], values["layout"], sources[0].path)
        options = format_options(kind, values, None if dest_text == "-" else dest_text, layout)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    started = time.monotonic()
    with run.work() as control, contextlib.ExitStack() as stack:
        try:
            lost: list[Loss] = []
            contents = values["contents"]
            if contents is not None:
                contents = stack.enter_context(open_source(contents, limits=values["limits"], control=control))
            common: dict[str, Any] = {
                "format": kind.name,
                "options": options,
                "policy": Policy(xattrs="all"),
                "transforms": changes(values, _clock(values["clock"]), values["limits"], control, lost),
                "overwrite": values["overwrite"],
                "contents": contents,
                "mounts": "empty" if values["one_file_system"] else "cross",
                "dereference": values["dereference"],
                "limits": values["limits"],
                "stdin": run.stdin(),
                "control": control,
            }
            if values["dry_run"]:
                from imgcore.cli.planned import show_plan  # late: few want it

                plan = stack.enter_context(plan_pack(sources, **common))
                show_plan(run, dataclasses.replace(plan, losses=(*lost, *plan.losses)), dest_text)
                return None
            cache = stack.enter_context(open_caches(run, values["caches"], values["cache_size"]))
            report = pack(
                sources,
                dest,
                **common,
                cache=cache,
                base=values["base"],
                offset=values["offset"],
                engine=values["engine"],
                force=values["force"],
                sync=not values["no_sync"],
                verify=values["verify"],
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    seconds = round(time.monotonic() - started, 3)
    report = dataclasses.replace(report, seconds=seconds, losses=(*lost, *report.losses))
    for warning in layout.warnings() if layout is not None else ():
        run.output.warn(warning)
    run.output.flush_warnings()
    show_report(run, report, dest_text, values["base"])
    return None


def target(text: str) -> str | BinaryIO:
    """Return DEST: a path, or standard output, which must not be a terminal."""
    if text != "-":
        return text
    if sys.stdout is None:
        raise ValueError("standard output is closed")
    if sys.stdout.isatty():
        raise ValueError("an image is not written to a terminal")
    return sys.stdout.buffer


def _clock(clock: Clock | None) -> Clock:
    """Return the clock that was asked for, or what the environment asks for."""
    if clock is not None:
        return clock
    epoch = source_date_epoch()
    return Clock() if epoch is None else Clock.clamp(epoch * _NS)


def format_options(kind: Format, values: dict[str, Any], dest: str | None, hints: Layout | None) -> Options:
    """Return the format's options under the flags; what these leave open is what DEST's suffix says. Raises ValueError."""
    stated = _stated(values)
    options = kind.options_for(dest)
    for name in stated:
        if not hasattr(options, name):
            raise ValueError(f"{kind.name} has no {name.replace('_', ' ')}")
    if values["format_name"] is None and dest is not None:
        _require_no_contradiction(kind, stated, dest)
    # All at once: what one setting may be depends on others.
    options = options.with_settings({**stated, **values["settings"]})
    known = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    wanted: dict[str, object] = {}
    if values["memory"] is not None:
        wanted["memory"] = values["memory"]
    if values["allow_loss"]:
        wanted["allow_loss"] = values["allow_loss"]
    if hints is not None:
        wanted["hints"] = hints
    if "time" in known and "time" not in values["settings"] and (epoch := source_date_epoch()) is not None:
        wanted["time"] = epoch
    for name in wanted:
        if name not in known:
            what = "layout of files" if name == "hints" else name.replace("_", " ")
            raise ValueError(f"{kind.name} has no {what}")
    if "jobs" in known:
        wanted["jobs"] = values["jobs"] or _default_jobs({**known, **wanted})
    return dataclasses.replace(options, **wanted)  # type: ignore[type-var]


def _stated(values: dict[str, Any]) -> dict[str, str]:
    """Return what flags say of settings that `-O` could say too. Raises ValueError where both do."""
    stated: dict[str, str] = {}
    compression: Compression | None = values["compression"]
    if compression is not None:
        stated["compression"] = compression.name
        if compression.level is not None:
            stated["level"] = str(compression.level)
    if values["block_size"] is not None:
        stated["block_size"] = str(values["block_size"])
    for name in values["settings"]:
        if name.replace("-", "_") in stated:
            raise ValueError(f"`-O {name}=…` and a flag say two things")
    return stated


def _require_no_contradiction(kind: Format, stated: dict[str, str], dest: str) -> None:
    """Raise ValueError where a name such as `x.tar.gz` says another compression than a flag."""
    said = kind.suffix_settings.get(kind.suffix_of(dest) or "", {}).get("compression")
    wanted = stated.get("compression")
    if said not in (None, "none") and wanted is not None and said != wanted:
        raise ValueError(f"`-c {wanted}` and the name `{dest}` say two things; --format {kind.name} takes both")


def _default_jobs(options: dict[str, Any]) -> int:
    """Return as many jobs as there are CPUs allowed, but no more than the memory is enough for, where blocks take some."""
    jobs = allowed_cpus()
    if "block_size" not in options or "memory" not in options:
        return jobs
    while jobs > 1 and minimum_memory(options["block_size"], jobs) > options["memory"]:
        jobs -= 1
    return jobs


def show_report(run: Run, report: Report, dest: str, base: str | None) -> None:
    """Print the summary."""
    ratio = report.size / report.bytes_in if report.bytes_in else None
    if run.output.as_json:
        values = {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
        values["losses"] = len(report.losses)
        values = {"verb": "pack", "dest": dest, **values, "ratio": None if ratio is None else round(ratio, 4)}
        run.output.event("summary", values, on_stderr=dest == "-")
        return
    share = "" if ratio is None else f", {100 * ratio:.1f} % of {human(report.bytes_in)}"
    rate = f", {human(int(report.bytes_in / report.seconds))}/s" if report.seconds and report.bytes_in else ""
    time_taken = "" if report.seconds is None else f", in {report.seconds:.2f} s{rate}"
    run.output.note(f"packed `{show(os.fsencode(dest))}`: {human(report.size)}{share}{time_taken}")
    run.output.note(
        f"  {report.files} files, {report.dirs} directories, {report.symlinks} symbolic links, {report.others} others,"
        f" {report.hard_links} hard links"
    )
    run.output.note(
        f"  duplicates {report.duplicate_blocks} blocks and {report.duplicate_tails} tails"
        f" ({human(report.duplicate_bytes)}), holes {human(report.hole_bytes)}, {report.fragments} fragments"
    )
    if report.recalled:
        run.output.note(
            f"  {report.recalled} blocks and fragments from {'the cache' if base is None else 'the base or the cache'}"
        )
    run.output.note(f"  {report.format}, {report.codec}, {report.engine} engine")
