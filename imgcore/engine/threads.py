"""A call for each of many things, on several threads, without concurrent.futures, which takes long to import."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["on_threads"]

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
