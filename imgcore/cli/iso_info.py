"""`imgcore iso info SRC`: an image explained."""

from __future__ import annotations

from typing import Any

import click

from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import human, table
from imgcore.errors import Unsupported, show
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits

__all__ = ["info_command"]


@verb(
    "info",
    "explain an image: descriptors, boot entries, partitions, digests",
    examples=("imgcore iso info out.iso", "imgcore iso info --json out.iso | jq .boot"),
    codes=(3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@limits_option
def info_command(run: Run, source: SourceSpec, limits: Limits) -> int | None:
    """Explain the ISO 9660 image SRC: who it is, what boots of it, which partitions a disk's firmware sees."""
    with open_source(source, limits=limits, stdin=run.stdin(), control=run.control) as opened:
        if not isinstance(opened.image, IsoImage):
            raise Unsupported("not an ISO 9660 image", image=opened.name)
        values: dict[str, Any] = {"source": show(opened.name), **opened.image.info()}
    if run.output.as_json:
        run.output.event("summary", {"verb": "iso info", **values})
        return None
    lists = {key: value for key, value in values.items() if isinstance(value, (list, dict))}
    for line in table([(key, str(value)) for key, value in values.items() if key not in lists]):
        run.output.line(line)
    run.output.line(f"descriptors  {', '.join(values['descriptors'])}")
    for number, entry in enumerate(values.get("boot", ()), 1):
        flag = entry["media"] + ("" if entry["bootable"] else ", not bootable")
        run.output.line(f"boot {number}       {entry['platform']}: block {entry['block']}, {entry['sectors']} sectors, {flag}")
    for one in values.get("mbr", ()):
        active = ", active" if one["active"] else ""
        run.output.line(
            f"MBR {one['number']}        type {one['type']}, sector {one['start']}, {_sectors(one['sectors'])}{active}"
        )
    gpt = values.get("gpt")
    if gpt is not None:
        run.output.line(f"GPT          {gpt['guid']}")
        for one in gpt["partitions"]:
            place = f"sector {one['start']}, {_sectors(one['sectors'])}"
            run.output.line(f"GPT {one['number']}        {one['name']}: type {one['type']}, {place}")
    if "digest" in values:
        run.output.line(f"digest       {values['digest']['kind']} {values['digest']['value']}")
    for key in ("boot_problems", "gpt_problems"):
        for text in values.get(key, ()):
            run.output.line(f"problem      {text}")
    return None


def _sectors(count: int) -> str:
    return f"{count} sectors ({human(count * 512)})"
