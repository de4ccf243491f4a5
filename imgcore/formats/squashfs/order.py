"""In which order contents go into the image, and what each of them asks for.

Contents of a higher priority come first. Those of one priority are in walk order or, with the order `suffix`, in that of
their suffixes: files of one kind side by side share more within a fragment. Numbers of inodes do not depend on any of it.
"""

from __future__ import annotations

from typing import NamedTuple

from imgcore.formats.squashfs.options import Options
from imgcore.formats.squashfs.plan import Item, Plan
from imgcore.model import File, FileHints, Hints

__all__ = ["OrderedFile", "layout_order"]

_USUAL = FileHints()


class OrderedFile(NamedTuple):
    """One content: `number` counts the files in walk order."""

    number: int
    path: bytes
    node: File
    hints: FileHints


def _suffix(path: bytes) -> bytes:
    """Return what follows the last dot of a name, b"" without one or when the name begins with it."""
    stem, dot, suffix = path.rpartition(b"/")[2].rpartition(b".")
    return suffix if dot and stem else b""


def _wish(hints: Hints, item: Item, node: File) -> FileHints:
    answers = [hints(path, node) for path in (item.path, *(item.further_paths or ()))]  # of each name, for who counts them
    return next((answer for answer in answers if answer is not None), _USUAL)


def layout_order(plan: Plan, options: Options) -> list[OrderedFile]:
    """Return the regular files of `plan` in the order in which their contents are written."""
    hints = options.hints
    files: list[OrderedFile] = []
    for item in plan.items:
        if isinstance(item.node, File):
            wish = _USUAL if hints is None else _wish(hints, item, item.node)
            files.append(OrderedFile(len(files), item.path, item.node, wish))
    if options.order == "suffix":
        files.sort(key=lambda file: _suffix(file.path))
    if hints is not None:
        files.sort(key=lambda file: -file.hints.priority)
    return files
