"""How decisions about extensions are told: a line each, with the rule, what was found, what is wanted, and the fix."""

from __future__ import annotations

from imgcore.cli.command import Run
from imgcore.errors import show
from imgcore.sysext.decide import Decision
from imgcore.sysext.layers import Block
from imgcore.sysext.plan import Plan

__all__ = ["left_out", "say_decisions"]


def say_decisions(run: Run, made: Plan, *, on_stderr: bool = False) -> int:
    """Print what is decided about each extension; return the exit code that follows: 0, 1, or 3 where one cannot be read."""
    unmountable = {block.subject for block in made.blocks if block.of_extension}
    for one in made.decisions:
        if one.outcome != "accepted" or one.name not in unmountable:
            _decision(run, one, on_stderr)
    for block in made.blocks:
        _block(run, block, on_stderr)
    for names in made.tied:
        _tie(run, names)
    for skipped in made.skipped:
        if run.output.as_json:
            values = {"path": show(skipped.path), "outcome": "skipped", "rule": skipped.rule, "found": show(skipped.reason)}
            run.output.event("finding", values, on_stderr=on_stderr)
        elif skipped.rule != "suffix" or run.output.verbose:
            _say(run, f"skipped   {show(skipped.path)} [{skipped.rule}]: {show(skipped.reason)}", on_stderr)
    if made.unsupported:
        return 3
    return 1 if made.blocked or made.ignored else 0


def left_out(made: Plan) -> list[str]:
    """Return a line for each extension that is not merged, and why; for people who asked about something else."""
    lines = [f"`{show(one.name)}` is left out [{one.rule}]: {show(one.found)}; fix: {show(one.fix)}" for one in made.ignored]
    for one in made.fatal:
        lines.append(f"nothing is merged: `{show(one.name)}` [{one.rule}]: {show(one.found)}; fix: {show(one.fix)}")
    for block in made.blocks:
        lines.append(f"nothing is merged: `{show(block.subject)}` [{block.rule}]: {show(block.found)}; fix: {show(block.fix)}")
    lines += [f"`{show(one.path)}` is passed over [{one.rule}]: {show(one.reason)}" for one in made.skipped]
    for one in made.unsupported:
        lines.append(f"`{show(one.name)}` cannot be read here, so what it does is not known: {show(one.found)}")
    return lines


def _decision(run: Run, one: Decision, on_stderr: bool) -> None:
    if run.output.as_json:
        values = {"name": show(one.name), "outcome": one.outcome, "rule": one.rule, "path": show(one.extension.path)}
        more = {"found": show(one.found), "wanted": show(one.wanted), "fix": show(one.fix)}
        run.output.event("finding", {**values, **{key: text for key, text in more.items() if text}}, on_stderr=on_stderr)
        return
    said = f"{one.outcome:<9} {show(one.name)} [{one.rule}]"
    said += f": {one.found}" if one.found else ""
    said += f"; wanted: {one.wanted}" if one.wanted and one.outcome != "accepted" else ""
    said += f"; fix: {one.fix}" if one.fix else ""
    _say(run, show(said), on_stderr)
    if one.outcome == "fatal":
        _say(run, f"          while `{show(one.name)}` is there, no extension is merged", on_stderr)


def _block(run: Run, block: Block, on_stderr: bool) -> None:
    found, wanted, fix = show(block.found), show(block.wanted), show(block.fix)
    if run.output.as_json:
        values = {"rule": block.rule, "outcome": "fatal", "subject": show(block.subject)}
        name = {"name": show(block.subject)} if block.of_extension else {}
        run.output.event("finding", {**name, **values, "found": found, "wanted": wanted, "fix": fix}, on_stderr=on_stderr)
        return
    _say(run, f"fatal     {show(block.subject)} [{block.rule}]: {found}; wanted: {wanted}; fix: {fix}", on_stderr)


def _tie(run: Run, names: tuple[bytes, ...]) -> None:
    """Warn of names that have no order: what is said of them is one of several possible answers."""
    shown = [show(name) for name in names]
    message = f"systemd holds {', '.join(f'`{name}`' for name in shown)} for equal, and their order changes from run to run"
    if run.output.as_json:
        values = {"rule": "order", "names": shown, "message": message, "fix": "rename one of them"}
        run.output.event("warning", values, on_stderr=True)
    else:
        run.output.note(f"warning[order]: {message}; fix: rename one of them")


def _say(run: Run, text: str, on_stderr: bool) -> None:
    if on_stderr:
        run.output.note(text)
    else:
        run.output.line(text)
