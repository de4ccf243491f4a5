"""`imgcore ddi info IMAGE`: partitions, and what verity says."""

from __future__ import annotations

from typing import Any

import click

from imgcore.build.ddi_read import read_ddi
from imgcore.build.source import open_raw_blob
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import human, table
from imgcore.errors import show
from imgcore.limits import Limits

__all__ = ["info_command"]


@verb(
    "info",
    "show the partitions of a disk, and what verity says",
    examples=("imgcore ddi info x.raw", "imgcore ddi info --json x.raw | jq -r '.verity[].root'"),
    codes=(3, 5),
)
@click.argument("source", type=SOURCE, metavar="IMAGE")
@limits_option
def info_command(run: Run, source: SourceSpec, limits: Limits) -> int | None:
    """Show the GUID partition table of IMAGE, what its partitions are for, and what their hash trees and signatures say."""
    with open_raw_blob(source, limits=limits, stdin=run.stdin(), control=run.control) as blob:
        values: dict[str, Any] = {"source": show(source.text), **read_ddi(blob).info()}
    if run.output.as_json:
        run.output.event("summary", {"verb": "ddi info", **values})
        return None
    run.output.line(f"disk       {values['guid']}, sectors of {values['sector']}")
    rows = [("", "type", "offset", "size", "label", "uuid", "attributes", "holds")]
    for one in values["partitions"]:
        words = (str(one["number"]), one["type"], str(one["offset"]), human(one["size"]), one["label"], one["guid"])
        rows.append((*words, ",".join(one["attributes"]), one["format"] or ""))
    for line in table(rows):
        run.output.line(line)
    for one in values["verity"]:
        run.output.line(f"root hash  {one['root']} (partitions {one['data']} and {one['tree']})")
        if "data_blocks" in one:
            run.output.line(
                f"  {one['algorithm']}, {one['data_blocks']} blocks of {one['data_block']}, salt {one['salt'] or 'none'}"
            )
        if "signature" in one:
            signed = one["signature"]
            run.output.line(
                f"  signature of {signed['root']} by the certificate {signed['certificate'] or 'that is not named'}"
            )
        if "problem" in one:
            run.output.line(f"  problem: {one['problem']}")
    for text in values["problems"]:
        run.output.line(f"problem    {text}")
    return None
