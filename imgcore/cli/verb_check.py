"""`imgcore check SRC`: everything in an image that breaks the rules of Linux or of its format."""

from __future__ import annotations

import contextlib
import itertools
import os

import click

from imgcore import formats
from imgcore.build.ddi_read import table_findings
from imgcore.build.source import open_blob, open_raw_blob
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import path_fields
from imgcore.errors import show
from imgcore.formats.base import Finding
from imgcore.limits import Limits

__all__ = ["command"]


@verb(
    "check",
    "find everything in an image that breaks the rules",
    examples=("imgcore check out.raw", "imgcore check --json out.raw | jq -r '[.rule, .path, .message] | @tsv'"),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@limits_option
def command(run: Run, source: SourceSpec, limits: Limits) -> int | None:
    """Read the whole image SRC and print a line for every finding. Of a disk both copies of the table are read too.

    Exit code 0: none; 1: some, but Linux would mount the image; 3: it would not, or a part of the image is missing.
    """
    if not source.is_stdin and not source.parts and os.path.isdir(source.path):
        raise click.UsageError(f"`{show(os.fsencode(source.path))}` is a directory; check reads images")
    count, fatal = 0, False
    with contextlib.ExitStack() as stack:
        of_table: list[Finding] = []
        if not source.is_stdin and not source.parts:
            raw = stack.enter_context(open_raw_blob(source, limits=limits, control=run.control))
            of_table = table_findings(raw) if formats.detect(raw) is None else []
        blob, kind = stack.enter_context(open_blob(source, limits=limits, stdin=run.stdin(), control=run.control))
        for finding in itertools.chain(of_table, kind.check_blob(blob, limits, run.control)):
            count += 1
            fatal = fatal or finding.fatal
            if run.output.as_json:
                run.output.event("finding", _values(finding))
            else:
                run.output.line(_text(finding))
    if not count:
        run.output.note(f"no findings in `{show(source.text)}`")
    return 3 if fatal else 1 if count else 0


def _values(finding: Finding) -> dict[str, object]:
    """Return a finding for JSON; keys without a value are left out."""
    values: dict[str, object] = {
        "rule": finding.rule,
        "severity": finding.severity,
        "message": finding.message,
        "fatal": finding.fatal,
    }
    values |= {} if finding.path is None else path_fields(finding.path)
    for name in ("offset", "structure", "field", "found", "allowed"):
        if getattr(finding, name) is not None:
            values[name] = getattr(finding, name)
    return values


def _text(finding: Finding) -> str:
    """Return a finding as a line: `error[rule] at offset, structure.field: message: found, allowed (path)`."""
    place = [] if finding.offset is None else [f"at {finding.offset:#010x}"]
    inside = ".".join(part for part in (finding.structure, finding.field) if part)
    place += [inside] if inside else []
    said = [] if finding.found is None else [f"found {finding.found}"]
    said += [] if finding.allowed is None else [f"allowed {finding.allowed}"]
    text = f"{'fatal ' if finding.fatal else ''}{finding.severity}[{finding.rule}]"
    text += f" {', '.join(place)}: " if place else ": "
    text += finding.message + (f": {', '.join(said)}" if said else "")
    return show(text) + ("" if finding.path is None else f" (path `{show(finding.path)}`)")
