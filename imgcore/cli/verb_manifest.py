"""`imgcore manifest SRC`: the canonical manifest, one JSON object a line."""

from __future__ import annotations

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.limits import Limits
from imgcore.model import manifest_lines

__all__ = ["command"]


@verb(
    "manifest",
    "print the canonical manifest of SRC",
    examples=("imgcore manifest out.raw > out.manifest", "imgcore manifest ./tree | sha256sum"),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@limits_option
def command(run: Run, source: SourceSpec, limits: Limits) -> int | None:
    """Print one JSON object for each path of SRC, in bytewise order of the paths: equal trees, equal lines.

    Keys: path type mode uid gid mtime_ns size sha256 target major minor link xattrs (values base64) opaque; path_b64,
    target_b64 and link_b64 where the bytes are not UTF-8.
    """
    with open_source(source, limits=limits, stdin=run.stdin(), control=run.control) as opened:
        for line in manifest_lines(opened.tree, run.control):
            run.output.line(line)
    return None
