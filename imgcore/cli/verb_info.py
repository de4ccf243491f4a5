"""`imgcore info SRC`: the parameters of an image, and with `--layout` every byte of its metadata."""

from __future__ import annotations

import dataclasses

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import table
from imgcore.errors import show
from imgcore.formats.base import Image
from imgcore.limits import Limits
from imgcore.model import Tree, type_name

__all__ = ["command"]


@verb(
    "info",
    "show the parameters of an image",
    examples=("imgcore info out.raw", "imgcore info --layout out.raw | less", "imgcore info --json out.raw | jq .block_size"),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@click.option("--layout", is_flag=True, help="What the bytes of the image mean, by offset.")
@limits_option
def command(run: Run, source: SourceSpec, layout: bool, limits: Limits) -> int | None:
    """Show the parameters of the image SRC; of a directory, what is in it."""
    with open_source(source, limits=limits, stdin=run.stdin(), control=run.control) as opened:
        if opened.image is None or opened.format is None:
            values: dict[str, object] = {"source": show(opened.name), "format": opened.listing or "dir", **_count(opened.tree)}
        else:
            stream = {} if opened.stream is None else {"stream": opened.stream}
            values = {"source": show(opened.name), "format": opened.format.name, **stream, **opened.image.info()}
        if run.output.as_json:
            if layout and opened.image is not None:
                values["layout"] = [dataclasses.asdict(item) for item in opened.image.layout()]
            run.output.event("summary", {"verb": "info", **values})
            return None
        for line in table(_flat(values)):
            run.output.line(line)
        if layout and opened.image is not None:
            _print_layout(run, opened.image)
    return None


def _print_layout(run: Run, image: Image) -> None:
    run.output.line("")
    for item in image.layout():
        run.output.line(f"{item.offset:#012x}  {item.size:>10}  {item.name}  {show(item.value)}".rstrip())


def _count(tree: Tree) -> dict[str, object]:
    """Return how many nodes of each type a tree has."""
    counts: dict[str, object] = {}
    for _, node in tree.walk():
        name = type_name(node)
        counts[name] = int(str(counts.get(name, 0))) + 1
    files, total = tree.file_bytes()
    return {"entries": counts, "distinct_files": files, "bytes": total}


def _flat(values: dict[str, object], prefix: str = "") -> list[tuple[str, ...]]:
    """Return the rows of nested values, named `outer.inner`."""
    rows: list[tuple[str, ...]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, (list, tuple)):
            rows.append((prefix + key, ", ".join(map(str, value))))
        elif value is not None:
            rows.append((prefix + key, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)))
    return rows
