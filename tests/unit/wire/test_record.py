from __future__ import annotations

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.errors import Corrupt
from imgcore.wire import Record, View, one_of, power_of_two, raw, record, u8, u16, u32, u64, within


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


def test_views() -> None:
    view = View(bytes(range(32)), 1000, "table")
    assert len(view) == 32
    assert view.bytes(30, 2, "x") == b"\x1e\x1f"
    assert view.u32s(0, 2, "x") == (0x03020100, 0x07060504)
    assert view.u64s(8, 1, "x") == (0x0F0E0D0C0B0A0908,)
    inner = view.sub(4, 8, "inner")
    assert (inner.base, inner.bytes(0, 1, "x")) == (1004, b"\x04")
    for at, size in ((-1, 1), (0, -1), (31, 2), (33, 0), (1 << 70, 1)):
        with pytest.raises(Corrupt) as caught:
            view.bytes(at, size, "thing")
        assert caught.value.structure == "table" and caught.value.field == "thing"
    with pytest.raises(Corrupt):
        view.u32s(0, 1 << 40, "many")
    with pytest.raises(Corrupt):
        view.record(Sample, 20)
    with pytest.raises(Corrupt):
        inner.bytes(0, 9, "beyond the inner window")


def test_a_field_needs_one_type() -> None:
    with pytest.raises(TypeError, match="on-disk type"):

        @record("<")
        class Broken(Record):
            field: Annotated[int, within(0, 1)]
