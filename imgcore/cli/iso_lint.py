"""`imgcore iso lint SRC`: where an image boots, and what is wrong with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import click

from imgcore.build.iso_lint import TARGETS, lint_iso
from imgcore.build.source import open_blob
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.limits import Limits

__all__ = ["lint_command"]


@verb(
    "lint",
    "say where an image boots, and why not elsewhere",
    examples=(
        "imgcore iso lint out.iso",
        "imgcore iso lint out.iso --require uefi-usb --require bios-cd",
        "imgcore iso lint --json out.iso | jq 'select(.event==\"finding\")'",
    ),
    codes=(1, 3, 5),
)
@click.argument("source", type=SOURCE, metavar="SRC")
@click.option("--require", "required", multiple=True, type=click.Choice(TARGETS), help="Exit 1 unless it boots there.")
@limits_option
def lint_command(run: Run, source: SourceSpec, required: Sequence[str], limits: Limits) -> int | None:
    """Say for a BIOS and for UEFI, from a CD and from a USB disk, whether the image boots, and why.

    The rules are those of SeaBIOS and EDK2, applied to the bytes; nothing is run. With `check` come the faults of the file
    system itself. Exit 1 for an error, and where a target that is required does not boot.
    """
    bad = False
    with open_blob(source, limits=limits, stdin=run.stdin(), control=run.control) as (blob, kind):
        targets = lint_iso(blob, limits=limits)
        findings = list(kind.check_blob(blob, limits, run.control))
    for target in targets:
        bad |= target.name in required and not target.boots
        if run.output.as_json:
            run.output.event("finding", {"target": target.name, **dataclasses.asdict(target)})
            continue
        run.output.line(f"{target.name:9} {'boots' if target.boots else 'does not boot'}: {'; '.join(target.reasons)}")
        for warning in target.warnings:
            run.output.line(f"{'':9} warning: {warning}")
    for finding in findings:
        bad |= finding.severity == "error"
        if run.output.as_json:
            values = {field.name: getattr(finding, field.name) for field in dataclasses.fields(finding)}
            shown = {
                key: value.decode("utf-8", "replace") if isinstance(value, bytes) else value for key, value in values.items()
            }
            run.output.event("finding", {key: value for key, value in shown.items() if value is not None})
        else:
            where = f" ({finding.path.decode('utf-8', 'replace')})" if finding.path else ""
            run.output.line(f"{finding.severity}[{finding.rule}]: {finding.message}{where}")
    return 1 if bad else None
