"""The actions of `imgcore sysext` that look at a root: what is there, what is merged, what systemd would decide."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any, Final

import click

from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.deciding import say_decisions
from imgcore.cli.output import table
from imgcore.cli.planning import KIND, decision_options, finding_options, host_directory, plan_of_root, version_option
from imgcore.cli.system import birth_time
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.sysext.answers import Answer, Mounted, list_entries, merge_answer, status_entries, unmerge_answer
from imgcore.sysext.plan import Plan

__all__ = ["list_command", "merge_command", "plan_command", "refresh_command", "status_command", "unmerge_command"]

_ROOT: Final = click.option("--root", type=SOURCE, required=True, metavar="ROOT", help="The host: a directory or any SRC.")


def _outer(root: SourceSpec, path: str) -> str:
    """Return a path in the root as systemd prints it: with the root in front, where that is a directory of the host."""
    top = os.path.realpath(root.path)
    return path if root.parts or not os.path.isdir(root.path) or top == "/" else top + path


def _mounted(root: SourceSpec) -> Callable[[bytes], bool]:
    """Return whether something is mounted at a path of the root: on this machine alone that can be."""
    top = host_directory(root)
    return lambda path: top is not None and os.path.ismount(top.rstrip(b"/") + path)


@verb("list", "list the extensions in a root", examples=("imgcore sysext list --root ROOT --json",), codes=(1, 5))
@_ROOT
@KIND
@finding_options
@limits_option
def list_command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
    """List all extensions that are found, whether they fit or not. With --json the array that systemd prints.

    Exit code 1: systemd cannot look for them, as where a search directory is a file.
    """
    with contextlib.ExitStack() as stack:
        made = plan_of_root(run, root, kind, {**values, "limits": limits}, stack)

        def born(path: bytes) -> int | None:
            return birth_time(os.fsencode(root.path) + path) if os.path.isdir(root.path) else None

        if (stop := made.undiscovered) is not None:
            run.output.note(f"{show(stop.subject)}: {show(stop.found)}; {stop.fix}")
            return 1
        entries = [{**one, "path": _outer(root, str(one["path"]))} for one in list_entries(made, born)]
    if run.output.as_json:
        run.output.line(json.dumps(entries, ensure_ascii=False, separators=(",", ":")))
    else:
        rows = [(str(one["name"]), str(one["type"]), show(str(one["path"]))) for one in entries]
        for line in table([("NAME", "TYPE", "PATH"), *rows]) if rows else ["no extensions"]:
            run.output.line(line)
    return 0


@verb("status", "show what is merged in a root", examples=("imgcore sysext status --root / --json",), codes=(5,))
@_ROOT
@KIND
@version_option
@limits_option
def status_command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
    """Show which extensions are merged, by the marks that systemd leaves in what is mounted on this machine.

    With --json the array that systemd prints.
    """
    with contextlib.ExitStack() as stack:
        entries = status_entries(plan_of_root(run, root, kind, {**values, "limits": limits}, stack), _mounted(root))
    if run.output.as_json:
        run.output.line(json.dumps(entries, ensure_ascii=False, separators=(",", ":")))
        return 0
    for one in entries:
        names = one["extensions"]
        run.output.line(f"{one['hierarchy']}: {', '.join(names) if isinstance(names, list) and names else 'none'}")
    return 0


@verb(
    "plan",
    "show what systemd would decide about each extension",
    examples=("imgcore sysext plan --root ROOT --systemd 257", "imgcore sysext plan --root ROOT --os-release next/os-release"),
    codes=(1, 3, 5),
)
@_ROOT
@KIND
@decision_options
@limits_option
def plan_command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
    """Say of each extension in ROOT whether systemd takes it: the rule, what was found, what is wanted, what would help.

    `ignored` concerns one extension, `fatal` blocks all; `unsupported` is an image that cannot be read here (exit code 3).
    """
    with contextlib.ExitStack() as stack:
        made = plan_of_root(run, root, kind, {**values, "limits": limits}, stack)
        code = say_decisions(run, made)
        for one in made.hierarchies if not made.blocked else ():
            names = [layer.name.decode("utf-8", "backslashreplace") if layer.name else layer.origin for layer in one.layers]
            upper = {"none": "read-only", "directory": f"writes go to {show(one.writes.path or b'')}"}
            writes = upper.get(one.writes.upper, f"writes go to the {one.writes.upper}")
            if run.output.as_json:
                values_ = {"hierarchy": show(one.path), "merged": one.merged, "layers": names, "writes": one.writes.upper}
                run.output.event("plan", {**values_, "options": one.options})
            elif one.merged:
                run.output.line(
                    f"{show(one.path)}: {' over '.join(map(show, names))}; {writes}; {one.options} bytes of mount options"
                )
            else:
                run.output.line(f"{show(one.path)}: stays as it is")
        if not made.decisions and not made.blocked and not run.output.as_json:
            run.output.line("no extensions")
    return code


def _verb(
    name: str, summary: str, text: str, answer: Callable[[Plan, Mounted], Answer], options: Callable[..., Callable[..., Any]]
) -> Any:
    @verb(name, summary, examples=(f"imgcore sysext {name} --root ROOT",), codes=(1, 3, 5))
    @_ROOT
    @KIND
    @options
    @limits_option
    def command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
        with contextlib.ExitStack() as stack:
            made = plan_of_root(run, root, kind, {**values, "limits": limits}, stack)
            found = answer(made, _mounted(root))
            unread = [] if made.blocked else [show(one.name) for one in made.unsupported]
        if run.output.as_json:
            values_ = {"verb": name, "exit": found.code, "merged": found.merged, "lines": [show(line) for line in found.lines]}
            run.output.event("summary", {**values_, "unsupported": unread} if unread else values_)
        else:
            for line in found.lines:
                run.output.line(show(line))
        return 3 if found.code is None else found.code

    command.help = text
    return command


merge_command = _verb(
    "merge",
    "say how systemd's `merge` would end",
    "Say what `systemd-sysext merge` would say of ROOT, and end as it would. Nothing is mounted.\n\n"
    "Exit code 3: an image cannot be read here, so that the end is not known.",
    merge_answer,
    decision_options,
)
refresh_command = _verb(
    "refresh",
    "say how systemd's `refresh` would end",
    "Say what `systemd-sysext refresh` would say of ROOT, and end as it would, where nothing is merged yet.",
    merge_answer,
    decision_options,
)
unmerge_command = _verb(
    "unmerge",
    "say how systemd's `unmerge` would end",
    "Say what `systemd-sysext unmerge` would say of ROOT, and end as it would.",
    unmerge_answer,
    version_option,
)
