"""Where partitions lie on a new disk: systemd-repart's algorithm, for a disk without a partition on it.

The disk has one free area, between the head of the table and its copy, cut to whole grains of 4 KiB. Partitions go into it
one behind the other, each with its padding behind it. What is left beyond the least sizes is shared by weight, in rounds
like systemd's phases:

    overcharge    who needs more than its share gets what it needs, and the shares are counted anew
    undercharge   who may not take its share gets the most that it may, and the shares are counted anew
    distribute    all others get their shares, in order

What remains after that goes to the first partitions that may still grow. Where the least sizes do not fit, the partitions
of the highest priority number are dropped, as long as that is positive.

Sources: systemd, src/repart/repart.c: context_allocate_partitions, context_grow_partitions, context_place_partitions;
libfdisk for the first usable sector: 34 or 6 on disks of at most 4 MiB, else what is at 1 MiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imgcore.disk.gpt import ARRAY_BYTES
from imgcore.values import value_class

__all__ = ["ALIGNMENT", "GRAIN", "SMALL_DISK", "Placed", "Wanted", "auto_size", "first_usable", "place"]

GRAIN: Final = 4096
SMALL_DISK: Final = 4 << 20
ALIGNMENT: Final = 1 << 20
_OLD_METADATA: Final = 1044 << 10  # systemd before 262 keeps this for the table, its copy and what is before partitions
_U64: Final = (1 << 64) - 1


@value_class
class Wanted:
    """What a partition may have: bytes, or None for no bound; sizes are whole grains. Weights say who gets what is left."""

    least: int
    most: int | None = None
    least_padding: int = 0
    most_padding: int | None = None
    weight: int = 1000
    padding_weight: int = 0
    priority: int = 0


@value_class
class Placed:
    """Where a partition lies, in bytes; `index` is its place among those that were wanted."""

    index: int
    offset: int
    size: int
    padding: int


def first_usable(total: int, sector: int) -> int:
    """Return the first usable sector of a disk of `total` bytes."""
    if total > SMALL_DISK:
        return ALIGNMENT // sector
    return 2 + ARRAY_BYTES // sector


def auto_size(wanted: Sequence[Wanted], sector: int, *, exact: bool) -> int:
    """Return the bytes of the smallest disk for these; `exact` as systemd 262 counts, else with the room of earlier ones."""
    needed = sum(_up(one.least + one.least_padding) for one in wanted)
    if exact:
        return ALIGNMENT + needed + sector + ARRAY_BYTES
    return _up(_OLD_METADATA + needed)


def place(wanted: Sequence[Wanted], total: int, sector: int) -> list[Placed]:
    """Return where the partitions lie on a disk of `total` bytes, those that were dropped left out.

    Raises ValueError where they do not fit.
    """
    start = _up(first_usable(total, sector) * sector)
    end = (total // sector * sector - sector - ARRAY_BYTES) // GRAIN * GRAIN
    room = end - start
    kept = list(range(len(wanted)))
    while sum(_up(wanted[i].least + wanted[i].least_padding) for i in kept) > room:
        highest = max((wanted[i].priority for i in kept), default=0)
        if highest <= 0:
            needed = sum(_up(wanted[i].least + wanted[i].least_padding) for i in kept)
            raise ValueError(f"the partitions need {needed} bytes, and a disk of {total} has room for {max(room, 0)}")
        kept = [i for i in kept if wanted[i].priority < highest]
    sizes, paddings = _grow([wanted[i] for i in kept], room)
    found, at = [], start
    for i, size, padding in zip(kept, sizes, paddings, strict=True):
        found.append(Placed(i, at, size, padding))
        at = _up(at + size + padding)
    return found


def _grow(wanted: Sequence[Wanted], span: int) -> tuple[list[int], list[int]]:
    """Return the size and the padding of each partition in an area of `span` bytes."""
    sizes: list[int | None] = [None] * len(wanted)
    paddings: list[int | None] = [None] * len(wanted)
    weights = sum(one.weight + one.padding_weight for one in wanted)
    for phase in ("over", "under", "distribute"):
        again = True
        while again:
            again = False
            for i, one in enumerate(wanted):
                for found, weight, least, most in (
                    (sizes, one.weight, one.least, one.most),
                    (paddings, one.padding_weight, one.least_padding, one.most_padding),
                ):
                    if found[i] is not None:
                        continue
                    share = _scaled(span, weight, weights)
                    got = _charged(phase, share, least, most)
                    if got is not None:
                        found[i] = got
                        span = max(span - _up(got), 0)
                        weights -= weight
                        again = again or phase != "distribute"
    done = [size for size in sizes if size is not None]
    for i, one in enumerate(wanted):
        if span == 0:
            break
        more = max((done[i] + span) // GRAIN * GRAIN, done[i])
        if one.most is not None:
            more = min(more, max(one.most, one.least))
        span = max(span - _up(more - done[i]), 0)
        done[i] = more
    return done, [padding for padding in paddings if padding is not None]


def _charged(phase: str, share: int, least: int, most: int | None) -> int | None:
    """Return what somebody with this share gets in a phase, None for nothing yet."""
    if most is not None:
        most = max(most, least)
    if phase == "over":
        return least if least > share else None
    if phase == "under":
        return most if most is not None and most < share else None
    got = max(share // GRAIN * GRAIN, least)
    return got if most is None else min(got, most)


def _scaled(value: int, weight: int, total: int) -> int:
    """Return the share that a weight has of a value, as 64-bit arithmetic that must not overflow rounds it."""
    while True:
        if weight == 0:
            return 0
        if weight == total:
            return value
        if value <= _U64 // weight:
            return value * weight // total
        total, weight = -(-total // 2), weight // 2


def _up(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
