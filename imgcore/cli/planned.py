"""What `pack --dry-run` prints: what would be written, how, and what would be lost."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterator, Sequence

from imgcore.build.pack import PackPlan
from imgcore.cli.command import Run
from imgcore.cli.output import human, path_fields
from imgcore.cli.verb_ls import long_line
from imgcore.errors import show
from imgcore.model import Loss, manifest_lines, type_name

__all__ = ["show_plan"]


def show_plan(run: Run, plan: PackPlan, dest: str) -> None:
    """Print the plan: one object as JSON, lines else; with -v every entry too."""
    counts = Counter(type_name(node) for node in {id(node): node for _, node in plan.tree.walk()}.values())
    names = sum(1 for _ in plan.tree.walk())
    options = {
        field.name: getattr(plan.options, field.name)
        for field in dataclasses.fields(plan.options)  # type: ignore[arg-type]
        if isinstance(getattr(plan.options, field.name), (str, int, bool, tuple, type(None)))
    }
    losses = [{"kind": loss.kind, **path_fields(loss.path), "message": loss.message} for loss in plan.losses]
    if run.output.as_json:
        values: dict[str, object] = {
            "verb": "pack",
            "dest": dest,
            "format": plan.format,
            "options": options,
            "names": names,
            "types": dict(sorted(counts.items())),
            "files": plan.files,
            "bytes": plan.bytes,
            "losses": losses,
        }
        run.output.event("plan", values)
    else:
        run.output.line(f"would pack `{show(os.fsencode(dest))}`: {plan.format}, {human(plan.bytes)} in {plan.files} files")
        run.output.line("  " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) + f"; {names} names")
        run.output.line("  " + " ".join(f"{key}={_text(value)}" for key, value in options.items() if value not in (None, ())))
        for line in _lost(plan.losses):
            run.output.line(f"  lost: {line}")
    if run.output.verbose and run.output.as_json:
        for line in manifest_lines(plan.tree, contents=False):
            run.output.line(line)
    elif run.output.verbose:
        for path, node in plan.tree.sorted_entries():
            run.output.line(long_line(show(path), node))


def _lost(losses: Sequence[Loss]) -> Iterator[str]:
    """Yield a line for each kind of loss: every file of a host has a fraction of a second in its time."""
    same: dict[str, list[Loss]] = {}
    for loss in losses:
        same.setdefault(loss.message, []).append(loss)
    for message, them in same.items():
        yield f"{message}: `{show(them[0].path)}`" + (f" and {len(them) - 1} more" if len(them) > 1 else "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
