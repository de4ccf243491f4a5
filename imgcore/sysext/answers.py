"""What systemd's verbs would say: the arrays of `list` and `status`, and how `merge`, `refresh` and `unmerge` would end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from imgcore.errors import PathError
from imgcore.model import Dir, File, Tree, join
from imgcore.sysext.chase import chase
from imgcore.sysext.order import sorted_names
from imgcore.sysext.plan import Plan
from imgcore.values import value_class

__all__ = ["Answer", "Mounted", "list_entries", "merge_answer", "status_entries", "unmerge_answer"]

_MARKERS = 1 << 20  # bytes of a list of names that are read


@value_class
class Answer:
    """How a verb ends: its exit code (None: not known), whether anything is mounted, and what it says, a line each."""

    code: int | None
    merged: bool
    lines: tuple[str, ...]


def list_entries(plan: Plan, born: Callable[[bytes], int | None] = lambda path: None) -> list[dict[str, object]]:
    """Return what `list --json` prints: every extension that was found, whether it fits or not, by name.

    `time` is in microseconds: of an image its change, of a directory its birth, which `born` says of a path, None where
    it is not known.
    """
    found: list[dict[str, object]] = []
    for one in plan.found:
        path = one.place if plan.options.systemd.follows_links and one.place is not None else one.path
        time = born(path) if one.mtime_ns is None else one.mtime_ns // 1000
        kind = one.image_type
        found.append({"name": _text(one.name), "type": kind, "path": _text(path), "time": time})
    return sorted(found, key=lambda entry: str(entry["name"]).encode("utf-8", "surrogateescape"))


Mounted: TypeAlias = Callable[[bytes], bool]
"""Whether something is mounted at a path of the root, which the running system alone can say."""


def _nothing_mounted(path: bytes) -> bool:
    return False


def status_entries(plan: Plan, mounted: Mounted = _nothing_mounted) -> list[dict[str, object]]:
    """Return what `status --json` prints of a root: what is merged there now, by the marks that systemd leaves.

    A mark counts where something is mounted only. A hierarchy that the root does not have is left out.
    """
    nothing: object = [] if plan.options.systemd.empty_status_array else "none"
    entries: list[dict[str, object]] = []
    for path in sorted(plan.options.hierarchies or plan.kind.hierarchies):
        if _missing(plan.root, path):
            continue
        names, since = _merged_names(plan, path) if mounted(path) else ([], None)
        entries.append({"hierarchy": _text(path), "extensions": names or nothing, "since": since if names else None})
    return entries


def _missing(root: Tree, path: bytes) -> bool:
    try:
        return chase(root, path) is None
    except PathError:
        return False


def _merged_names(plan: Plan, path: bytes) -> tuple[list[str], int | None]:
    marker = join(join(path, plan.kind.marker), plan.kind.plural.encode())
    try:
        found = chase(plan.root, marker)
        host = chase(plan.root, path)
    except PathError:
        return [], None
    if found is None or not isinstance(found.node, File) or host is None:
        return [], None
    content = found.node.content
    names = content.read_at(0, min(content.size, _MARKERS)).split(b"\n")
    return [_text(name) for name in names if name], host.node.meta.mtime_ns // 1000


def already_merged(plan: Plan, mounted: Mounted) -> bytes | None:
    """Return a hierarchy of the root that is merged already, None where there is none."""
    for path in plan.options.hierarchies or plan.kind.hierarchies:
        try:
            found = chase(plan.root, join(path, plan.kind.marker)) if mounted(path) else None
        except PathError:
            continue
        if found is not None and isinstance(found.node, Dir):
            return path
    return None


def merge_answer(plan: Plan, mounted: Mounted = _nothing_mounted) -> Answer:
    """Return how `merge` would end.

    Where an image could not be read here (`plan.unsupported`), and nothing else stops the merge, the answer is not known:
    the code is None, and each such image has a line.
    """
    taken = already_merged(plan, mounted)
    if taken is not None:
        return Answer(1, True, (f"Hierarchy '{_text(taken)}' is already merged.",))
    if plan.blocked:
        reasons = [f"{_text(block.subject)}: {block.found}" for block in plan.blocks if block.early]
        reasons += [f"{_text(one.name)}: {one.found}" for one in plan.fatal]
        reasons += [f"{_text(block.subject)}: {block.found}" for block in plan.blocks if not block.early]
        return Answer(_failure(plan), False, tuple(reasons))
    if plan.unsupported:
        lines = [f"{_text(one.name)}: {one.found}, which cannot be read here" for one in plan.unsupported]
        return Answer(None, False, (*lines, "What systemd would do is therefore not known."))
    merged = [one for one in plan.hierarchies if one.merged]
    if not merged:
        if not plan.found:
            return Answer(0, False, ("No extensions found.",))
        count = len(plan.ignored)
        return Answer(0, False, (f"No suitable extensions found ({count} ignored due to incompatible image(s)).",))
    lines = []
    if plan.accepted:
        lines.append("Using extensions " + ", ".join(f"'{_text(name)}'" for name in _said(plan)) + ".")
    else:
        lines.append("No extensions found, proceeding in mutable mode.")
    lines += [f"Merged extensions into '{_text(one.target)}'." for one in merged]
    return Answer(0, True, tuple(lines))


def _failure(plan: Plan) -> int:
    """Return the exit code of a merge that is blocked."""
    if not plan.options.systemd.late_failures_are_silent:
        return 1
    early = any(block.early for block in plan.blocks) or any(one.rule in ("image", "release") for one in plan.fatal)
    return 1 if early else 0


def _said(plan: Plan) -> list[bytes]:
    """Return what `merge` calls the extensions that it uses."""
    if not plan.options.systemd.names_files:
        return [one.name for one in plan.accepted]
    follows = plan.options.systemd.follows_links
    paths = [one.extension.place if follows and one.extension.place else one.extension.path for one in plan.accepted]
    return sorted_names(path.rpartition(b"/")[2] for path in paths)


def unmerge_answer(plan: Plan, mounted: Mounted = _nothing_mounted) -> Answer:
    """Return how `unmerge` would end: well, also where there is nothing."""
    taken = already_merged(plan, mounted)
    lines = () if taken is None else (f"Unmerged '{_text(taken)}'.",)
    return Answer(0, False, lines)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
