"""In which order contents go into the image, and what each of them asks for.

Contents of a higher priority come first. Those of one priority are in walk order or, with the order `suffix`, in that of
their suffixes: files of one kind side by side share more within a fragment. Numbers of inodes do not depend on any of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from imgcore.engine import HostRun, Job
from imgcore.formats.squashfs.options import Options
from imgcore.formats.squashfs.plan import Plan
from imgcore.model import File, FileHints, Hints
from imgcore.values import value_class

__all__ = ["Order", "layout_order"]

_USUAL: Final = FileHints()
_RUN: Final = 1024  # files that are handed to the engine at once


@value_class
class Order:
    """The contents in the order in which they are written.

    Attributes:
        rows: of the files.
        places: for each of the files in walk order, its place in `rows`; None where the orders are the same.
        wishes: what each of `rows` asks for; None where none asks for anything.
    """

    rows: Sequence[int]
    places: Sequence[int] | None
    wishes: Sequence[FileHints] | None

    def align_of(self, job: int) -> int:
        """Return what the position of a content is a multiple of, as it asks."""
        return 1 if self.wishes is None else self.wishes[job].align

    def jobs(self, plan: Plan, holes: bool) -> Iterator[Job | HostRun]:
        """Yield the contents, for the engine."""
        table = plan.table
        if self.wishes is None and holes and table.host is not None:
            files = table.host_files()
            for at in range(0, len(self.rows), _RUN):
                yield HostRun(files, self.rows[at : at + _RUN])
            return
        path = table.shape.path
        for place, row in enumerate(self.rows):
            wish = _USUAL if self.wishes is None else self.wishes[place]
            yield Job(path(row), table.blob(row), wish.compress, wish.fragment, wish.dedup, wish.holes and holes)


def _suffix(name: bytes) -> bytes:
    """Return what follows the last dot of a name, b"" without one or when the name begins with it."""
    stem, dot, suffix = name.rpartition(b".")
    return suffix if dot and stem else b""


def _wish(hints: Hints, plan: Plan, row: int) -> FileHints:
    node = plan.table.node(row)
    assert isinstance(node, File)
    answers = [hints(path, node) for path in plan.paths_of(row)]  # of each name, for who counts them
    return next((answer for answer in answers if answer is not None), _USUAL)


def layout_order(plan: Plan, options: Options) -> Order:
    """Return the regular files of `plan` in the order in which their contents are written."""
    rows = plan.files()
    wishes = None if options.hints is None else [_wish(options.hints, plan, row) for row in rows]
    places = list(range(len(rows)))
    if options.order == "suffix":
        names = plan.table.shape.names
        places.sort(key=lambda place: _suffix(names[rows[place]]))
    if wishes is not None:
        found = wishes
        places.sort(key=lambda place: -found[place].priority)
        wishes = [wishes[place] for place in places]
    elif options.order != "suffix":
        return Order(rows, None, None)
    back = [0] * len(rows)
    for place, number in enumerate(places):
        back[number] = place
    return Order([rows[place] for place in places], back, wishes)
