"""What is in a store, as `imgcore cache info` tells it, and which objects have to go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

from imgcore.values import value_class

__all__ = ["CacheInfo", "Stored", "beyond"]


class Stored(NamedTuple):
    """A file or object of a store: when it was last used (or made, where that is not known), its bytes, where it is."""

    time: float
    size: int
    path: bytes


@value_class
class CacheInfo:
    """What is in a store.

    Attributes:
        objects, bytes: finished objects.
        unfinished: files of builds that were killed, or are under way.
        oldest, newest: when objects were last used (in a directory) or made (at a URL), seconds since 1970; None without
            objects.
    """

    objects: int
    bytes: int
    unfinished: int
    oldest: float | None
    newest: float | None

    @classmethod
    def of(cls, objects: Sequence[Stored], unfinished: Sequence[Stored]) -> Self:
        """Return what these are, taken together."""
        times = [one.time for one in objects]
        size = sum(one.size for one in objects)
        return cls(len(objects), size, len(unfinished), min(times, default=None), max(times, default=None))


def beyond(objects: Iterable[Stored], limit: int) -> list[Stored]:
    """Return the oldest objects, so many that at most `limit` bytes remain."""
    objects = sorted(objects)
    excess = sum(one.size for one in objects) - limit
    doomed = []
    for one in objects:
        if excess <= 0:
            break
        doomed.append(one)
        excess -= one.size
    return doomed
