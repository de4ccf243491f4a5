"""Progress and cancellation, as values that a caller hands in.

Long work takes a `Control`. It calls `control.emit(event)` with one of the frozen events below, from the thread that
called it, and `control.check()` often enough that a cancelled call ends within a tenth of a second. `cancel()` may be
called from any thread or from a signal handler.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TypeAlias

from imgcore.errors import Cancelled
from imgcore.values import value_class

__all__ = ["Advanced", "Control", "Event", "Finished", "Planned", "Warned"]


@value_class
class Planned:
    """What is going to be done: `files` and `bytes` are totals, known before the work starts."""

    verb: str
    files: int
    bytes: int


@value_class
class Advanced:
    """How far it is: all numbers are totals since the start. `path` is the last one worked on."""

    files: int
    bytes: int
    stored: int
    path: builtins.bytes = b""


@value_class
class Warned:
    """Something the caller ought to know that does not stop the work."""

    message: str
    path: bytes | None = None


@value_class
class Finished:
    """The work is done; `summary` is what the returned report says, as plain values."""

    verb: str
    summary: dict[str, object]


Event: TypeAlias = Planned | Advanced | Warned | Finished


class Control:
    """Carries events out of, and cancellation into, one call. Thread-safe."""

    __slots__ = ("_cancelled", "_on_event")

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        self._cancelled = False

    def emit(self, event: Event) -> None:
        """Give `event` to the caller."""
        if self._on_event is not None:
            self._on_event(event)

    def cancel(self) -> None:
        """Ask the call that uses this control to stop; returns at once."""
        self._cancelled = True

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self._cancelled

    def check(self) -> None:
        """Raise Cancelled if `cancel` was called."""
        if self._cancelled:
            raise Cancelled
