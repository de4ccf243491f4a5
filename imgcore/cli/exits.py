"""How a command ends: one table from errors to exit codes, signals, and a reader that went away.

0    done
1    a negative answer: `diff` differs, `check` has findings but Linux would mount the image, no such path in SRC
2    usage, or DEST exists
3    bad or unsupported image; for `check`: Linux would not mount it, or it is cut
4    the tree cannot be represented, or sources conflict
5    a limit was exceeded
6    source or I/O
7    verification failed
130  SIGINT      143  SIGTERM      141  stdout was closed (nothing is said)
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from imgcore import errors
from imgcore.events import Control

__all__ = ["CLOSED_STDOUT", "EXIT_TEXTS", "INTERRUPTED", "TERMINATED", "USAGE", "Stopped", "code_of", "stoppable"]

DONE: Final = 0
NEGATIVE: Final = 1
USAGE: Final = 2
BAD_IMAGE: Final = 3
SOURCE: Final = 6
INTERRUPTED: Final = 130
CLOSED_STDOUT: Final = 141
TERMINATED: Final = 143

EXIT_TEXTS: Final = {
    0: "done",
    1: "a negative answer, or no such path in SRC",
    2: "usage, or DEST exists",
    3: "bad or unsupported image",
    4: "the tree cannot be represented, or sources conflict",
    5: "a limit was exceeded",
    6: "a source cannot be read, or a target not written",
    7: "verification failed",
    130: "interrupted (143: terminated, 141: stdout was closed)",
}

# The first class that an error is an instance of decides; so subclasses come before their bases.
_CODES: Final[tuple[tuple[type[errors.ImgcoreError], int], ...]] = (
    (errors.FormatError, BAD_IMAGE),
    (errors.LimitExceeded, 5),
    (errors.PathError, NEGATIVE),
    (errors.TreeError, 4),
    (errors.TargetExists, USAGE),
    (errors.SourceError, SOURCE),
    (errors.OutputError, SOURCE),
    (errors.VerificationFailed, 7),
    (errors.ConfigError, USAGE),
    (errors.Cancelled, INTERRUPTED),
)
_PATIENCE = 2.0  # seconds until a command that was asked to stop is made to


def code_of(error: BaseException) -> int:
    """Return the exit code for an error that ended a command."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return CLOSED_STDOUT
    if isinstance(error, OSError):
        return SOURCE
    raise error


class Stopped(KeyboardInterrupt):
    """A signal ended the command; `code` is the exit code, `hint` what the work said of what it left."""

    def __init__(self, code: int, hint: str | None = None) -> None:
        super().__init__()
        self.code = code
        self.hint = hint


@contextmanager
def stoppable(control: Control) -> Iterator[None]:
    """Turn SIGINT and SIGTERM inside the block into `control.cancel()`, and the Cancelled that follows into Stopped.

    Work that looks at the control ends at once and cleans up. What does not (a read from a pipe that nobody writes to)
    is interrupted after a moment, or by a second signal.
    """
    asked: list[int] = []
    replaced: dict[int, object] = {}

    def force(number: int, frame: FrameType | None) -> None:
        raise Stopped(asked[0])

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(INTERRUPTED if number == signal.SIGINT else TERMINATED)
        control.cancel()
        if len(asked) > 1:
            raise Stopped(asked[0])
        replaced[signal.SIGALRM] = signal.signal(signal.SIGALRM, force)
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)

    if threading.current_thread() is not threading.main_thread():
        yield  # Python gives signals to the main thread only
        return
    for one in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(one) is not signal.SIG_IGN:  # ignored by `nohup` or a background job: it stays so
            replaced[one] = signal.signal(one, stop)
    try:
        yield
    except errors.Cancelled as error:
        raise Stopped(asked[0] if asked else INTERRUPTED, error.hint) from None
    finally:
        if asked:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in replaced.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
