"""A call for each of many things, on several threads, without concurrent.futures, which takes long to import.

And calls in order on one thread, behind the caller: what needs no answer, such as writing or digesting what was made.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

__all__ = ["Behind", "on_threads"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def on_threads(call: Callable[[_T], _R], things: Sequence[_T], jobs: int) -> list[_R]:
    """Return what `call` gives for each thing, in order; the caller's thread is one of at most `jobs`.

    After an error no further call begins; it is raised once all threads have ended.
    """
    found: list[Any] = [None] * len(things)
    failures: list[BaseException] = []
    todo = iter(range(len(things)))  # the threads take from it in turn

    def work() -> None:
        try:
            for number in todo:
                if failures:
                    return
                found[number] = call(things[number])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name=f"imgcore-{number}") for number in range(min(jobs, len(things)) - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return found


class Behind:
    """Does calls in order on a thread of its own, while the caller goes on; leaving its `with` block waits for them.

    What a call raised is raised by the next `do`, or at the end; then no further call is done. At most `depth` calls wait.
    """

    def __init__(self, depth: int = 16) -> None:
        self._calls: queue.Queue[tuple[Callable[[bytes], object], bytes] | None] = queue.Queue(depth)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="imgcore-behind")

    def _work(self) -> None:
        while (one := self._calls.get()) is not None:
            if self._failure is None:
                try:
                    one[0](one[1])
                except BaseException as error:
                    self._failure = error

    def do(self, call: Callable[[bytes], object], data: bytes) -> None:
        """Have `call` called with `data`, after all that was asked for before."""
        if self._failure is not None:
            raise self._failure
        self._calls.put((call, data))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._calls.put(None)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure
