"""`imgcore sysext lint EXT…`: what is wrong with extensions."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Sequence

import click

from imgcore.build.extensions import open_extensions
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import path_fields
from imgcore.cli.planning import KIND, open_host
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.sysext.image import TroubleKind
from imgcore.sysext.kinds import KindName
from imgcore.sysext.lint import lint, sarif
from imgcore.sysext.version import KNOWN, NEWEST, SystemdVersion

__all__ = ["lint_command"]


@verb(
    "lint",
    "find what is wrong with extensions",
    examples=("imgcore sysext lint hello.raw --host ./host", "imgcore sysext lint *.raw --sarif > findings.sarif"),
    codes=(1, 3, 5),
)
@click.argument("extensions", type=SOURCE, nargs=-1, required=True, metavar="EXT...")
@click.option("--host", type=SOURCE, metavar="HOST", help="What they are for: more can be found.")
@KIND
@click.option(
    "--systemd",
    type=click.Choice([str(one) for one in KNOWN]),
    default=str(NEWEST.number),
    help="Whose rules.  [default: the newest]",
)
@click.option("--sarif", "as_sarif", is_flag=True, help="Print a log in SARIF 2.1.0.")
@limits_option
def lint_command(
    run: Run,
    extensions: Sequence[SourceSpec],
    host: SourceSpec | None,
    kind: KindName,
    systemd: str,
    as_sarif: bool,
    limits: Limits,
) -> int | None:
    """Say what will go wrong with each EXT, and between them: severity, rule, place, reason, and what would help.

    Exit code 1: there is an error; 3: an EXT cannot be read.
    """
    version = SystemdVersion(int(systemd))
    if as_sarif and run.output.as_json:
        raise click.UsageError("--sarif and --json exclude each other")
    if kind == "confext" and not version.confext:
        raise click.UsageError(f"systemd {version.number} has no confext")
    with contextlib.ExitStack() as stack:
        tree = None if host is None else open_host(run, host, limits, stack)
        try:
            opened = open_extensions(extensions, stack, kind=kind, systemd=version, limits=limits, control=run.control)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        architecture = architecture_of_machine(platform.machine())
        found = lint(opened, host=tree, kind=kind, systemd=version, architecture=architecture)
        unread = any(one.trouble is not None and one.trouble.kind is TroubleKind.UNSUPPORTED for one in opened)
    if as_sarif:
        run.output.line(json.dumps(sarif(found), indent=2))
    for one in () if as_sarif else found:
        if run.output.as_json:
            values = {"rule": one.rule, "name": one.name, "severity": one.severity, "extension": show(one.extension)}
            run.output.event(
                "finding", {**values, **path_fields(one.path), "message": one.message, "why": one.why, "fix": one.fix}
            )
        else:
            run.output.line(f"{one.severity}[{one.rule} {one.name}] {show(one.extension)}: {show(one.path)}: {one.message}")
            run.output.line(f"    {one.why}; {one.fix}")
    if not found:
        run.output.note("no findings")
    return 3 if unread else 1 if any(one.severity == "error" for one in found) else 0
