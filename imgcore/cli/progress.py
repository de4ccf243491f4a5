"""Progress of long work: a bar on a terminal, lines, JSON events, or nothing.

A view takes the events of a `Control`. rich is imported only where there is a terminal to draw on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from imgcore.cli.output import Output, human, path_fields
from imgcore.events import Advanced, Event, Planned

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Mode", "View", "choose_view"]

Mode: TypeAlias = Literal["auto", "plain", "json", "none"]


class View(Protocol):
    """Shows events until it is closed."""

    def show(self, event: Event) -> None:
        """Show what happened."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was; twice is fine."""
        ...


class Silent:
    """Shows nothing."""

    def show(self, event: Event) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class _Paced:
    """Base of the views that print: the plan, and how far it is, at most once in `pause` seconds."""

    pause = 1.0

    def __init__(self, output: Output, clock: Callable[[], float] = time.monotonic) -> None:
        self.output = output
        self.clock = clock
        self.plan = Planned("work", 0, 0)
        self.started = self.last = clock()

    def show(self, event: Event) -> None:
        """Print the event, if it is time for one."""
        if isinstance(event, Planned):
            self.plan = event
            self.started = self.last = self.clock()
            self.planned(event)
        elif isinstance(event, Advanced):
            now = self.clock()
            if now - self.last >= self.pause or (event.files == self.plan.files and event.files):
                self.last = now
                self.advanced(event, self.left(event, now))

    def left(self, event: Advanced, now: float) -> float | None:
        """Return the seconds that are probably left, None as long as nobody can know."""
        if event.bytes <= 0 or now <= self.started:
            return None
        return (now - self.started) * max(0, self.plan.bytes - event.bytes) / event.bytes

    def planned(self, event: Planned) -> None:
        """Print the plan."""

    def advanced(self, event: Advanced, left: float | None) -> None:
        """Print how far it is."""

    def close(self) -> None:
        """Do nothing."""


class Plain(_Paced):
    """One line a second, for logs."""

    def advanced(self, event: Advanced, left: float | None) -> None:
        """Print how far it is."""
        plan = self.plan
        text = f"{plan.verb}: {event.files}/{plan.files} files, {human(event.bytes)} of {human(plan.bytes)}"
        if event.bytes:
            text += f", ratio {event.stored / event.bytes:.3f}"
        if left is not None:
            text += f", {left:.0f} s left"
        self.output.note(text)


class Json(_Paced):
    """Events for programs, on stderr."""

    pause = 0.2

    def planned(self, event: Planned) -> None:
        """Print the plan."""
        values = {"verb": event.verb, "files": event.files, "bytes": event.bytes}
        self.output.event("plan", values, on_stderr=True)

    def advanced(self, event: Advanced, left: float | None) -> None:
        """Print how far it is."""
        values: dict[str, object] = {"files": event.files, "bytes": event.bytes, "stored": event.stored}
        values |= {"files_total": self.plan.files, "bytes_total": self.plan.bytes}
        values |= {} if left is None else {"seconds_left": round(left, 1)}
        self.output.event("progress", values | path_fields(event.path), on_stderr=True)


class Bar:
    """A bar on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[files]} files"),
            DownloadColumn(binary_units=True),
            TextColumn("ratio {task.fields[ratio]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID | None = None
        self._files = 0

    def show(self, event: Event) -> None:
        """Draw the event."""
        if isinstance(event, Planned):
            self._files = event.files
            self._progress.start()
            self._task = self._progress.add_task(event.verb, total=event.bytes, files=f"0/{event.files}", ratio="-")
        elif isinstance(event, Advanced) and self._task is not None:
            ratio = f"{event.stored / event.bytes:.3f}" if event.bytes else "-"
            self._progress.update(self._task, completed=event.bytes, files=f"{event.files}/{self._files}", ratio=ratio)

    def close(self) -> None:
        """Remove the bar."""
        self._progress.stop()


def choose_view(mode: Mode, output: Output) -> View:
    """Return the view for `--progress`; "auto" is a bar on a terminal, and nothing elsewhere."""
    if mode == "plain":
        return Plain(output)
    if mode == "json":
        return Json(output)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    if mode == "auto" and terminal and not output.quiet and not output.as_json:
        return Bar()
    return Silent()
