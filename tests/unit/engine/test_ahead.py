"""A thread that runs ahead of an iterator: order, errors in their place, bounds, and an early end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from imgcore.engine.ahead import Ahead


def test_order_and_end() -> None:
    ahead = Ahead(iter([b"%d" % number for number in range(10_000)]))
    assert [int(data) for data in ahead] == list(range(10_000))
    assert list(ahead) == []
    ahead.close()
    ahead.close()


def test_an_error_comes_in_its_place_and_once() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("b")

    ahead = Ahead(pieces())
    assert next(ahead) == b"a"
    with pytest.raises(KeyError):
        next(ahead)
    assert list(ahead) == []
    ahead.close()


def test_it_waits_and_ends_when_it_is_closed() -> None:
    given = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield bytes(1 << 20)

    before = threading.active_count()
    ahead = Ahead(pieces())
    for _ in range(20):
        next(ahead)
    end = time.monotonic() + 10
    while given < 28 and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.05)
    assert given == 28
    ahead.close()
    assert threading.active_count() == before
