"""An iterator of pieces that a thread runs ahead of whoever takes them, by a bounded number of bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import Final, Self

__all__ = ["Ahead"]

_MOST: Final = 8 << 20  # bytes that wait


class Ahead:
    """Iterates over `pieces`, which another thread takes; what they raise is raised here, in its place.

    One thread at a time may iterate; `close` ends the thread.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ready: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._changed = threading.Condition(threading.Lock())
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="imgcore-ahead", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for data in self._pieces:
                with self._changed:
                    self._ready.append(data)
                    self._waiting += len(data)
                    self._changed.notify()
                    while self._waiting >= _MOST and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        break
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            while not self._ready:
                if self._ended:
                    error, self._error = self._error, None
                    raise StopIteration if error is None else error
                self._changed.wait()
            data = self._ready.popleft()
            if self._waiting >= _MOST > self._waiting - len(data):
                self._changed.notify()
            self._waiting -= len(data)
            return data

    def close(self) -> None:
        """End the thread, after the piece that it works on; twice is fine."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._ready.clear()
