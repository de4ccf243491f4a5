"""What `merge`, `explain` and `sysext` share: the flags that say how systemd decides, and opening what they name."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from imgcore.build.extensions import open_extensions
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import Run
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.sysext.envfile import parse_env_file
from imgcore.sysext.mutable import MODES, parse_mode
from imgcore.sysext.plan import Options, Plan, plan, plan_extensions
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.version import KNOWN, NEWEST, SystemdVersion

__all__ = ["KIND", "decision_options", "open_host", "options_of", "plan_of", "plan_of_root", "say_decisions"]

KIND: Final = click.option(
    "--kind", type=click.Choice(["sysext", "confext"]), default="sysext", show_default=True, help="The class of extensions."
)

_OPTIONS: Final = (
    click.option(
        "--systemd",
        type=click.Choice([str(number) for number in KNOWN]),
        default=str(NEWEST.number),
        show_default=True,
        help="Whose version decides.",
    ),
    click.option("--force-match", "force", is_flag=True, help="Match nothing: systemd's --force."),
    click.option(
        "--mutable",
        metavar="MODE",
        help=f"What takes writes: {', '.join(MODES)}.  [default: what the host's configuration says]",
    ),
    click.option("--image-policy", metavar="POLICY", help="As systemd's --image-policy."),
    click.option(
        "--architecture",
        metavar="NAME",
        help="Of the host, as systemd calls it (x86-64, arm64).  [default: this machine's]",
    ),
    click.option("--os-release", type=click.Path(dir_okay=False), metavar="FILE", help="What if the host had this os-release."),
    click.option("--without", multiple=True, metavar="NAME", help="What if this extension were not there."),
    click.option(
        "--order", metavar="NAME,...", help="What if extensions lay in this order, the lowest first, above those not named."
    ),
)


def decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a verb."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of(values: dict[str, Any]) -> Options:
    """Return what the flags say. Raises UsageError."""
    try:
        os_release = None
        if values["os_release"] is not None:
            with open(values["os_release"], "rb") as stream:
                os_release = parse_env_file(stream.read())
        return Options(
            systemd=SystemdVersion(int(values["systemd"])),
            architecture=values["architecture"] or architecture_of_machine(platform.machine()),
            force=values["force"],
            mutable=None if values["mutable"] is None else parse_mode(values["mutable"]),
            image_policy=None if values["image_policy"] is None else ImagePolicy.parse(values["image_policy"]),
            os_release=os_release,
            leave_out=frozenset(os.fsencode(name) for name in values["without"]),
            order=tuple(os.fsencode(name) for name in (values["order"] or "").split(",") if name),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def open_host(run: Run, source: SourceSpec, limits: Limits, stack: contextlib.ExitStack) -> Tree:
    """Return the tree of the host; `stack` closes it."""
    return stack.enter_context(open_source(source, limits=limits, stdin=run.stdin(), control=run.control)).tree


def plan_of(
    run: Run, host: SourceSpec, extensions: Sequence[SourceSpec], kind: Any, values: dict[str, Any], stack: contextlib.ExitStack
) -> Plan:
    """Return what systemd decides about extensions that are not in the host. Raises UsageError."""
    options, limits = options_of(values), values["limits"]
    tree = open_host(run, host, limits, stack)
    try:
        opened = open_extensions(extensions, stack, kind=kind, systemd=options.systemd, limits=limits, control=run.control)
        opened = [one for one in opened if one.name not in options.leave_out]
        return plan_extensions(tree, opened, kind=kind, options=options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def plan_of_root(run: Run, root: SourceSpec, kind: Any, values: dict[str, Any], stack: contextlib.ExitStack) -> Plan:
    """Return what systemd decides about the extensions that are in a root. Raises UsageError."""
    options = options_of(values)
    tree = open_host(run, root, values["limits"], stack)
    try:
        return stack.enter_context(plan(tree, kind=kind, options=options, limits=values["limits"]))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def say_decisions(run: Run, made: Plan, *, on_stderr: bool = False) -> int:
    """Print the decision about each extension; return the exit code that follows: 0, 1, or 3 where one cannot be read."""
    output = run.output
    for one in made.decisions:
        if output.as_json:
            values = {"name": show(one.name), "outcome": one.outcome, "rule": one.rule, "path": show(one.extension.path)}
            more = {"found": show(one.found), "wanted": show(one.wanted), "fix": show(one.fix)}
            output.event("finding", {**values, **{key: text for key, text in more.items() if text}}, on_stderr=on_stderr)
            continue
        said = f"{one.outcome:<9} {show(one.name)} [{one.rule}]"
        said += f": {one.found}" if one.found else ""
        said += f"; wanted: {one.wanted}" if one.wanted and one.outcome != "accepted" else ""
        said += f"; fix: {one.fix}" if one.fix else ""
        _say(run, show(said), on_stderr)
        if one.outcome == "fatal":
            _say(run, f"          while `{show(one.name)}` is there, no extension is merged", on_stderr)
    for block in made.blocks:
        if output.as_json:
            values = {"rule": block.rule, "outcome": "fatal", "subject": show(block.subject), "found": show(block.found)}
            output.event("finding", {**values, "wanted": show(block.wanted), "fix": show(block.fix)}, on_stderr=on_stderr)
            continue
        _say(
            run, f"fatal     [{block.rule}] {show(block.subject)}: {show(block.found)}; wanted: {show(block.wanted)}", on_stderr
        )
    for skipped in made.skipped:
        if output.as_json:
            values = {"path": show(skipped.path), "outcome": "skipped", "rule": skipped.rule, "found": show(skipped.reason)}
            output.event("finding", values, on_stderr=on_stderr)
        elif skipped.rule != "suffix" or output.verbose:
            _say(run, f"skipped   {show(skipped.path)} [{skipped.rule}]: {show(skipped.reason)}", on_stderr)
    if made.unsupported:
        return 3
    return 1 if made.blocked or made.ignored else 0


def _say(run: Run, text: str, on_stderr: bool) -> None:
    if on_stderr:
        run.output.note(text)
    else:
        run.output.line(text)
