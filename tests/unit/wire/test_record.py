from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.errors import Corrupt
from imgcore.wire import Record, one_of, power_of_two, raw, record, u8, u16, u32, u64, within


@record("<", spec="a test")
class Sample(Record):
    kind: Annotated[u8, one_of(1, 2)]
    size: Annotated[u32, power_of_two(4, 64)]
    at: u64
    name: Annotated[bytes, raw(3)]


@record(">")
class Single(Record):
    number: Annotated[u16, within(1, 0x1234)]


def test_layout() -> None:
    assert (Sample.SIZE, Sample.SPEC) == (16, "a test")
    assert [(place.name, place.offset, place.width) for place in Sample.LAYOUT] == [
        ("kind", 0, 1),
        ("size", 1, 4),
        ("at", 5, 8),
        ("name", 13, 3),
    ]
    assert Sample.LAYOUT[1].allowed == "a power of two from 4 to 64"


@given(st.sampled_from((1, 2)), st.sampled_from((4, 8, 64)), st.integers(0, (1 << 64) - 1), st.binary(min_size=3, max_size=3))
def test_round_trip(kind: int, size: int, at: int, name: bytes) -> None:
    sample = Sample(kind=kind, size=size, at=at, name=name)
    assert Sample.unpack_from(b"??" + sample.pack() + b"?", 2) == sample


def test_byte_order_and_a_single_field() -> None:
    assert Single(number=0x1234).pack() == b"\x12\x34"
    assert Single.unpack_from(b"\x12\x34").number == 0x1234


def test_a_broken_rule_names_the_place() -> None:
    data = Sample(kind=1, size=4, at=0, name=b"abc").pack()
    with pytest.raises(Corrupt) as caught:
        Sample.unpack_from(b"\x01\x05" + data[2:], base=100)
    error = caught.value
    assert (error.offset, error.structure, error.field, error.found) == (101, "Sample", "size", 5)
    assert error.allowed == "a power of two from 4 to 64"


def test_our_own_values_are_asserted() -> None:
    with pytest.raises(AssertionError, match="kind"):
        Sample(kind=3, size=4, at=0, name=b"abc").pack()


@pytest.mark.parametrize("at", [-1, 1, 16, 100])
def test_bytes_that_do_not_suffice(at: int) -> None:
    with pytest.raises(Corrupt, match="cut short"):
        Sample.unpack_from(bytes(16), at)


def test_a_field_needs_one_type() -> None:
    with pytest.raises(TypeError, match="on-disk type"):

        @record("<")
        class Broken(Record):
            field: Annotated[int, within(0, 1)]
