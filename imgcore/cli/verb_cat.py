"""`imgcore cat SRC PATH…`: the bytes of files."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from imgcore.blob import read_chunks
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.errors import PathError, context
from imgcore.limits import Limits
from imgcore.model import File, normalize, type_name

__all__ = ["command"]


@verb(
    "cat",
    "print a file of SRC",
    examples=("imgcore cat out.raw /etc/os-release", "imgcore cat a.raw@/images/b.raw /etc/os-release"),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@limits_option
def command(run: Run, source: SourceSpec, paths: Sequence[str], limits: Limits) -> int | None:
    """Print the file PATH of SRC; symbolic links are followed inside of SRC."""
    with open_source(source, limits=limits, stdin=run.stdin(), control=run.control) as opened:
        for text in paths:
            path = normalize(os.fsencode(text))
            node = opened.tree.lookup(path, follow=True)
            if not isinstance(node, File):
                raise PathError(f"not a file but a {type_name(node)}", path=path)
            with context(path=path):
                limits.require("max_file_size", node.content.size)
                for data in read_chunks(node.content):
                    run.output.raw(data)
    return None
