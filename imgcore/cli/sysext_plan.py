"""The actions of `imgcore sysext` that look at a root: what is there, what is merged, what systemd would decide."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Final

import click

from imgcore.build.spec import SourceSpec
from imgcore.cli.command import SOURCE, Run, limits_option, verb
from imgcore.cli.output import table
from imgcore.cli.planning import KIND, decision_options, plan_of_root, say_decisions
from imgcore.cli.system import birth_time
from imgcore.errors import show
from imgcore.limits import Limits
from imgcore.sysext.answers import Answer, list_entries, merge_answer, status_entries, unmerge_answer

__all__ = ["list_command", "merge_command", "plan_command", "refresh_command", "status_command", "unmerge_command"]

_ROOT: Final = click.option("--root", type=SOURCE, required=True, metavar="ROOT", help="The host: a directory or any SRC.")


def _outer(root: SourceSpec, path: str) -> str:
    """Return a path in the root as systemd prints it: with the root in front, where that is a directory of the host."""
    top = os.path.realpath(root.path)
    return path if root.parts or not os.path.isdir(root.path) or top == "/" else top + path


@verb("list", "list the extensions in a root", examples=("imgcore sysext list --root ROOT --json",), codes=(3, 5))
@_ROOT
@KIND
@decision_options
@limits_option
def list_command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
    """List all extensions that are found, whether they fit or not. With --json the array that systemd prints."""
    with contextlib.ExitStack() as stack:
        made = plan_of_root(run, root, kind, {**values, "limits": limits}, stack)

        def born(path: bytes) -> int | None:
            return birth_time(os.fsencode(root.path) + path) if os.path.isdir(root.path) else None

        entries = [{**one, "path": _outer(root, str(one["path"]))} for one in list_entries(made, born)]
        code = 3 if made.unsupported else 0
    if run.output.as_json:
        run.output.line(json.dumps(entries, separators=(",", ":")))
    else:
        rows = [(str(one["name"]), str(one["type"]), show(str(one["path"]))) for one in entries]
        for line in table([("NAME", "TYPE", "PATH"), *rows]) if rows else ["no extensions"]:
            run.output.line(line)
    return code


@verb("status", "show what is merged in a root", examples=("imgcore sysext status --root / --json",), codes=(5,))
@_ROOT
@KIND
@decision_options
@limits_option
def status_command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
    """Show which extensions are merged, by the marks that systemd leaves. With --json the array that systemd prints."""
    with contextlib.ExitStack() as stack:
        entries = status_entries(plan_of_root(run, root, kind, {**values, "limits": limits}, stack))
    if run.output.as_json:
        run.output.line(json.dumps(entries, separators=(",", ":")))
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
        if not made.decisions and not run.output.as_json:
            run.output.line("no extensions")
    return code


def _verb(name: str, summary: str, text: str, answer: Any) -> Any:
    @verb(name, summary, examples=(f"imgcore sysext {name} --root ROOT",), codes=(1, 3, 5))
    @_ROOT
    @KIND
    @decision_options
    @limits_option
    def command(run: Run, root: SourceSpec, kind: str, limits: Limits, **values: Any) -> int | None:
        with contextlib.ExitStack() as stack:
            made = plan_of_root(run, root, kind, {**values, "limits": limits}, stack)
            found: Answer = answer(made)
            unsupported = bool(made.unsupported)
        if run.output.as_json:
            run.output.event("summary", {"verb": name, "exit": found.code, "merged": found.merged, "lines": list(found.lines)})
        else:
            for line in found.lines:
                run.output.line(line)
        return 3 if unsupported else found.code

    command.help = text
    return command


merge_command = _verb(
    "merge",
    "say how systemd's `merge` would end",
    "Say what `systemd-sysext merge` would say of ROOT, and end as it would. Nothing is mounted.",
    merge_answer,
)
refresh_command = _verb(
    "refresh",
    "say how systemd's `refresh` would end",
    "Say what `systemd-sysext refresh` would say of ROOT, and end as it would, where nothing is merged yet.",
    merge_answer,
)
unmerge_command = _verb(
    "unmerge",
    "say how systemd's `unmerge` would end",
    "Say what `systemd-sysext unmerge` would say of ROOT, and end as it would.",
    unmerge_answer,
)
