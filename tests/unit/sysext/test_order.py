"""The order of names and versions."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.sysext.order import compare_versions, sorted_names

ORDER = ["é", "A", "a~b", "a", "a-b", "a^b", "a.b", "a_b", "aa", "z_2", "z_10", "1.9", "1.10", "9", "10"]


def test_names_as_systemd_orders_them() -> None:
    names = [name.encode() for name in ORDER]
    mixed = names[:]
    random.Random(1).shuffle(mixed)
    assert sorted_names(mixed) == names


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("", "a"),
        ("~", ""),
        ("1~rc1", "1"),
        ("1-2", "1.2"),
        ("1^2", "1.2"),
        ("1-2", "1^2"),
        ("123", "0124"),
        ("abc", "ABd".lower()),
        ("Z", "a"),
        ("a", "0"),
        ("1", "1.0"),
        ("1.0", "10"),
        ("a-", "a^"),
        ("2.0~rc1", "2.0"),
    ],
)
def test_pairs(low: str, high: str) -> None:
    assert compare_versions(low.encode(), high.encode()) == -1
    assert compare_versions(high.encode(), low.encode()) == 1


@pytest.mark.parametrize(("one", "two"), [("001", "1"), ("a_b", "ab"[:1] + "_" + "b"), ("é", ""), ("_x", "x"), ("a b", "a_b")])
def test_equals(one: str, two: str) -> None:
    assert compare_versions(one.encode(), two.encode()) == 0


@given(st.lists(st.text("a1.-~^_B0", max_size=5), min_size=3, max_size=3))
def test_it_is_an_order(texts: list[str]) -> None:
    names = [text.encode() for text in texts]
    for one, two in itertools.permutations(names, 2):
        assert compare_versions(one, two) == -compare_versions(two, one)
    low, middle, high = sorted_names(names)
    assert compare_versions(low, middle) <= 0
    assert compare_versions(middle, high) <= 0
    assert compare_versions(low, high) <= 0
