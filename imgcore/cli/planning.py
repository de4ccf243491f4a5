"""What `merge`, `explain` and `sysext` share: the flags that say how systemd decides, and opening what they name."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from imgcore.blob import FileBlob
from imgcore.build.extensions import open_extensions
from imgcore.build.source import open_source
from imgcore.build.spec import SourceSpec
from imgcore.cli.command import Run
from imgcore.errors import context
from imgcore.hosts import look_at
from imgcore.limits import Limits
from imgcore.model import Tree
from imgcore.sysext.architecture import architecture_of_machine
from imgcore.sysext.mutable import MODES, parse_mode
from imgcore.sysext.plan import Options, Plan, plan, plan_extensions
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.release import read_assignments
from imgcore.sysext.version import KNOWN, NEWEST, SystemdVersion

__all__ = [
    "KIND",
    "decision_flags",
    "decision_options",
    "finding_options",
    "host_directory",
    "open_host",
    "options_of",
    "plan_of",
    "plan_of_root",
    "read_os_release",
    "version_option",
]

KIND: Final = click.option(
    "--kind", type=click.Choice(["sysext", "confext"]), default="sysext", show_default=True, help="The class of extensions."
)

_FINDING: Final = (
    click.option(
        "--systemd",
        type=click.Choice([str(number) for number in KNOWN]),
        default=str(NEWEST.number),
        show_default=True,
        help="Whose version decides.",
    ),
    click.option(
        "--architecture",
        metavar="NAME",
        help="Of the host, as systemd calls it (x86-64, arm64).  [default: this machine's]",
    ),
    click.option("--without", multiple=True, metavar="NAME", help="What if this extension were not there."),
)
_DECIDING: Final = (
    click.option("--force-match", "force", is_flag=True, help="Match nothing: systemd's --force."),
    click.option(
        "--mutable",
        metavar="MODE",
        help=f"What takes writes: {', '.join(MODES)}.  [default: what the host's configuration says]",
    ),
    click.option("--image-policy", metavar="POLICY", help="As systemd's --image-policy."),
    click.option("--os-release", type=click.Path(dir_okay=False), metavar="FILE", help="What if the host had this os-release."),
    click.option(
        "--order", metavar="NAME,...", help="What if extensions lay in this order, the lowest first, above those not named."
    ),
)


def _adding(options: Sequence[Callable[..., Any]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


version_option: Final = _adding(_FINDING[:1])
"""Adds the flag that says whose version it is."""
finding_options: Final = _adding(_FINDING)
"""Adds the flags that say which extensions are found."""
decision_options: Final = _adding((*_FINDING, *_DECIDING))
"""Adds the flags that say which extensions are found, and what is decided about them."""


def decision_flags() -> tuple[str, ...]:
    """Return the names of the parameters that `decision_options` adds."""

    @decision_options
    def command() -> None:
        """Hold the flags."""

    return tuple(option.name for option in command.__click_params__)  # type: ignore[attr-defined]


def options_of(values: dict[str, Any]) -> Options:
    """Return what the flags say; a verb need not have all of them. Raises UsageError."""
    try:
        os_release = None
        if values.get("os_release") is not None:
            os_release = read_os_release(values["os_release"])
        systemd, policy, mutable = SystemdVersion(int(values["systemd"])), values.get("image_policy"), values.get("mutable")
        return Options(
            systemd=systemd,
            architecture=values.get("architecture") or architecture_of_machine(platform.machine()),
            force=values.get("force", False),
            mutable=None if mutable is None else parse_mode(mutable),
            image_policy=None if policy is None else ImagePolicy.parse(policy, systemd),
            os_release=os_release,
            leave_out=frozenset(os.fsencode(name) for name in values.get("without", ())),
            order=tuple(os.fsencode(name) for name in (values.get("order") or "").split(",") if name),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def read_os_release(path: str) -> dict[str, str]:
    """Return the assignments in a file of this machine. Raises SourceUnreadable, Corrupt."""
    with FileBlob(os.fsencode(path)) as blob, context(path=os.fsencode(path)):
        return read_assignments(blob, NEWEST)


def host_directory(source: SourceSpec) -> bytes | None:
    """Return the directory of this machine that a source is, None where it is an image or in one."""
    plain = not source.parts and source.kind is None and source.partition is None
    return os.fsencode(source.path) if plain and os.path.isdir(source.path) else None


def open_host(run: Run, source: SourceSpec, limits: Limits, stack: contextlib.ExitStack) -> Tree:
    """Return the tree of the host; `stack` closes it."""
    return stack.enter_context(open_source(source, limits=limits, stdin=run.stdin(), control=run.control)).tree


def _looked_at(run: Run, source: SourceSpec, limits: Limits, stack: contextlib.ExitStack) -> Tree:
    """Return the tree of the host, of a directory only as far as somebody looks."""
    top = host_directory(source)
    return open_host(run, source, limits, stack) if top is None else look_at(top, limits=limits)


def plan_of(
    run: Run,
    host: SourceSpec,
    extensions: Sequence[SourceSpec],
    kind: Any,
    values: dict[str, Any],
    stack: contextlib.ExitStack,
    *,
    whole: bool = True,
) -> Plan:
    """Return what systemd decides about extensions that are not in the host. Raises UsageError.

    `whole`: all of the host will be read; else only what is looked at has to be readable.
    """
    options, limits = options_of(values), values["limits"]
    tree = open_host(run, host, limits, stack) if whole else _looked_at(run, host, limits, stack)
    try:
        opened = open_extensions(extensions, stack, kind=kind, systemd=options.systemd, limits=limits, control=run.control)
        return plan_extensions(tree, opened, kind=kind, options=options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def plan_of_root(run: Run, root: SourceSpec, kind: Any, values: dict[str, Any], stack: contextlib.ExitStack) -> Plan:
    """Return what systemd decides about the extensions that are in a root. Raises UsageError."""
    options = options_of(values)
    tree = _looked_at(run, root, values["limits"], stack)
    listing = None
    if (top := host_directory(root)) is not None:

        def listing(path: bytes) -> list[bytes]:
            return os.listdir(top + path)

    try:
        made = plan(tree, kind=kind, options=options, limits=values["limits"], listing=listing)
        return stack.enter_context(made)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
