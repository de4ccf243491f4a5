"""`imgcore unpack SRC DIR`: safe extraction."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from typing import Any

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.build.unpack import unpack
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import human
from imgcore.cli.system import allowed_cpus
from imgcore.errors import show

__all__ = ["command"]


@verb(
    "unpack",
    "write what is in SRC into a directory, safely",
    examples=(
        "imgcore unpack out.raw ./tree",
        "imgcore unpack out.raw ./tree --only /usr/bin --only '*.conf'",
        "imgcore unpack outer.raw@/images/inner.squashfs@/etc ./etc",
    ),
    codes=(1, 3, 4, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@click.argument("directory", type=click.Path(readable=False), metavar="DIR")
@click.option("--only", multiple=True, metavar="GLOB", help="Unpack what GLOB matches, as in a .gitignore, and what is in it.")
@click.option("--owner", type=click.Choice(["keep", "me"]), help="Whose the files will be.  [default: keep for root, else me]")
@click.option(
    "--devices/--no-devices", default=None, help="Make device nodes, or leave them out.  [default: made by root only]"
)
@click.option("--no-xattrs", is_flag=True, help="Set no extended attributes.")
@click.option("--force", is_flag=True, help="Replace files that exist, and set the metadata of directories that do.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: the CPUs allowed]")
@click.option(
    "--engine",
    type=click.Choice(["auto", "native", "pure"]),
    default="auto",
    help="Who writes an image's files.  [default: auto]",
)
@limits_option
def command(run: Run, source: SourceSpec, directory: str, only: Sequence[str], **values: Any) -> int | None:
    """Write what is in SRC into the directory DIR, which is made where it is missing.

    Nothing outside of DIR is touched, whatever SRC and DIR hold: no link is followed, nothing that exists is written to.
    Without ownership kept, setuid and setgid are dropped.
    """
    started = time.monotonic()
    with run.work() as control:
        try:
            opened = open_source(source, limits=values["limits"], stdin=run.stdin(), control=control)
            with opened:
                report = unpack(
                    opened,
                    directory,
                    only=only,
                    owner=values["owner"],
                    devices=values["devices"],
                    xattrs=not values["no_xattrs"],
                    force=values["force"],
                    jobs=values["jobs"] or allowed_cpus(),
                    limits=values["limits"],
                    control=control,
                    engine=values["engine"],
                )
        except ValueError as error:
            raise click.UsageError(str(error)) from None
    seconds = round(time.monotonic() - started, 3)
    run.output.flush_warnings()
    if run.output.as_json:
        run.output.event("summary", {"verb": "unpack", "dest": directory, **dataclasses.asdict(report), "seconds": seconds})
        return None
    left_out = f", {report.skipped} devices left out" if report.skipped else ""
    run.output.note(
        f"unpacked into `{show(os.fsencode(directory))}`: {report.files} files ({human(report.bytes)}), {report.dirs}"
        f" directories, {report.symlinks} symbolic links, {report.others} others, {report.hard_links} hard links{left_out},"
        f" in {seconds:.2f} s"
    )
    return None
