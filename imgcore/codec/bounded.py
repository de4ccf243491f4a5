"""A compressed stream undone within the limits: its window, and how long it becomes for what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from imgcore.errors import context
from imgcore.limits import Limits

__all__ = ["bounded_stream"]

_SMALL: Final = 1 << 30  # up to here, what a compressed stream becomes is no bomb
_LEAST_MEMORY: Final = 64 << 20  # for the window or dictionary


def bounded_stream(
    name: str,
    chunks: Iterable[bytes],
    limits: Limits,
    *,
    start: int = 0,
    strict: bool = True,
    checked: bool = True,
    ended: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """Yield what a compressed stream gives; `start`, `strict` and `checked` are as of StreamDecoder.

    One that becomes absurdly long is LimitExceeded, at its offset. `ended` is told where the stream ended, from `start` on.
    """
    from imgcore.codec.stream import StreamDecoder  # late: with it come all the libraries

    memory = max(_LEAST_MEMORY, limits.max_metadata // 8)
    decoder = StreamDecoder(name, chunks, memory=memory, start=start, strict=strict, checked=checked)
    size = 0
    for data in decoder:
        size += len(data)
        if size > _SMALL:
            with context(offset=start + decoder.position):
                limits.require("max_ratio", size // max(decoder.position, 1))
                limits.require("max_stream", size)
        yield data
    if ended is not None:
        ended(decoder.position)
