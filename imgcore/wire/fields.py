"""What an annotation of a record's field says: its width on disk and the values it may have.

`u32` and its like are `Annotated[int, FieldType(...)]`; a record adds rules with a further `Annotated`:
`block_size: Annotated[u32, power_of_two(4096, 1 << 20)]`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

__all__ = ["FieldType", "Rule", "i16", "i32", "one_of", "power_of_two", "raw", "u8", "u16", "u32", "u64", "within"]


class FieldType(NamedTuple):
    """How a field lies on disk: a `struct` code, without a byte order (the record has one)."""

    code: str


class Rule(NamedTuple):
    """A constraint on one field's value; `text` completes the sentence "allowed: …"."""

    holds: Callable[[int], bool]
    text: str


u8 = Annotated[int, FieldType("B")]
u16 = Annotated[int, FieldType("H")]
u32 = Annotated[int, FieldType("I")]
u64 = Annotated[int, FieldType("Q")]
i16 = Annotated[int, FieldType("h")]
i32 = Annotated[int, FieldType("i")]


def raw(size: int) -> FieldType:
    """Return the type of a field of `size` bytes; its Python value is `bytes`."""
    return FieldType(f"{size}s")


def within(low: int, high: int) -> Rule:
    """Return the rule low <= value <= high."""
    return Rule(lambda value: low <= value <= high, f"{low} to {high}")


def power_of_two(low: int, high: int) -> Rule:
    """Return the rule that the value is a power of two from low to high."""
    return Rule(lambda value: low <= value <= high and value & (value - 1) == 0, f"a power of two from {low} to {high}")


def one_of(*values: int) -> Rule:
    """Return the rule that the value is one of `values`."""
    allowed = frozenset(values)
    return Rule(lambda value: value in allowed, " or ".join(str(value) for value in values))
