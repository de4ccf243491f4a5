"""`value_class` against `dataclass`: what one does, the other does."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import ClassVar

import pytest

from imgcore.values import field, value_class


@value_class
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list, compare=False)
    KIND: ClassVar[str] = "point"

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("negative")


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list, compare=False)  # noqa: RUF009
    KIND: ClassVar[str] = "point"


@value_class
class Deeper(Point):
    z: int = 3


@value_class
class Single:
    x: int


@value_class(eq=False)
class Same:
    x: int


@value_class(frozen=False)
class Loose:
    x: int
    y: int = 0


@value_class
class Empty:
    """Nothing."""


def test_it_is_a_dataclass_to_those_who_ask() -> None:
    made, model = Point(1), Model(1)
    assert [one.name for one in dataclasses.fields(made)] == [one.name for one in dataclasses.fields(model)]
    assert dataclasses.asdict(made) == dataclasses.asdict(model)
    assert dataclasses.replace(made, y=5) == Point(1, 5)
    assert repr(made) == repr(model).replace("Model", "Point")
    assert str(inspect.signature(Point)) == str(inspect.signature(Model))
    assert Point.KIND == "point"


def test_values_are_compared_and_hashed_by_what_they_say() -> None:
    assert Point(1, 2, ["a"]) == Point(1, 2, ["b"]) and hash(Point(1)) == hash(Point(1, 2, ["b"]))
    assert Point(1) != Point(2) and Point(1) != Deeper(1) and Point(1) != (1, 2)
    assert Single(1) == Single(1) and Single(1) != Single(2) and Empty() == Empty()
    one = Same(1)
    assert one == one and one != Same(1) and len({one, Same(1)}) == 2


def test_a_value_is_never_changed_but_where_that_was_asked_for() -> None:
    made = Point(1)
    for change in (lambda: setattr(made, "x", 2), lambda: delattr(made, "x"), lambda: setattr(made, "other", 2)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    loose = Loose(1)
    loose.y = 5
    assert loose == Loose(1, 5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(loose)
    with pytest.raises(AttributeError):
        loose.other = 1  # type: ignore[attr-defined]  # slots


def test_defaults_are_made_for_each_and_checked_after() -> None:
    assert Point(1).names is not Point(1).names
    with pytest.raises(ValueError, match="negative"):
        Point(-1)
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="default_factory"):

        @value_class
        class Shared:
            names: list[str] = []  # noqa: RUF012


def test_copies_and_pickles_are_equal() -> None:
    for made in (Point(1, 5, ["a"]), Deeper(1, 2, [], 7), Loose(3, 4), Empty()):
        assert copy.copy(made) == copy.deepcopy(made) == pickle.loads(pickle.dumps(made)) == made


def test_a_subclass_adds_fields() -> None:
    assert Deeper(1, z=9).z == 9 and Deeper.__slots__ == ("z",)
    match Deeper(1, 2, [], 4):
        case Deeper(x, y, _, z):
            assert (x, y, z) == (1, 2, 4)
