"""`@value_class`: a dataclass with slots that is made quickly.

    @value_class
    class Clock:
        mode: str = "keep"
        epoch_ns: int = 0

It stands for `@dataclass(frozen=True, slots=True)`, and is one to `dataclasses.fields`, `replace` and `asdict`, to
`match` and to type checkers. `dataclass` compiles five functions for each class, a millisecond's work; a program of some
fifty such classes, that is to answer at once, cannot wait for that. Here only `__init__` is compiled; the others are
shared by all values and look their fields up.

`eq=False` compares by identity, `frozen=False` allows changes. `field` is that of dataclasses: default_factory, compare,
repr. Fields are annotated names; a `ClassVar` is none. A class is made anew for its slots, so `super()` without
arguments does not work in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["field", "value_class"]

_T = TypeVar("_T")


class _Factory:
    def __repr__(self) -> str:
        return "<factory>"


_FACTORY = _Factory()


def _repr(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in self.__dataclass_fields__.values() if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    return self._compared(self) == self._compared(other)


def _hash(self: Any) -> int:
    return hash(self._compared(self))


def _no_setattr(self: Any, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__dataclass_fields__]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, one in zip(self.__dataclass_fields__, state, strict=True):
        object.__setattr__(self, name, one)


def _own_fields(cls: type) -> dict[str, Field[Any]]:
    """Return what the class itself declares."""
    found = {}
    for name, hint in vars(cls).get("__annotations__", {}).items():
        if str(hint).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = vars(cls).get(name, MISSING)
        one: Field[Any] = default if isinstance(default, Field) else field(default=default)
        if isinstance(one.default, (list, dict, set)):
            raise ValueError(f"a default of {cls.__name__}.{name} that all share; use default_factory")
        one.name, one.type = name, hint
        one._field_type = dataclasses._FIELD  # type: ignore[attr-defined]  # else `fields` does not see it
        found[name] = one
    return found


def _initializer(cls: type, fields: dict[str, Field[Any]]) -> Callable[..., None]:
    """Return `__init__`, which sets every slot by its descriptor."""
    space: dict[str, Any] = {"_FACTORY": _FACTORY}
    parameters, body = ["self"], []
    for name, one in fields.items():
        space[f"_set_{name}"] = getattr(cls, name).__set__
        if one.default_factory is not MISSING:
            space[f"_make_{name}"] = one.default_factory
            parameters.append(f"{name}=_FACTORY")
            body.append(f"  if {name} is _FACTORY: {name} = _make_{name}()")
        elif one.default is not MISSING:
            space[f"_default_{name}"] = one.default
            parameters.append(f"{name}=_default_{name}")
        else:
            parameters.append(name)
        body.append(f"  _set_{name}(self, {name})")
    if hasattr(cls, "__post_init__"):
        body.append("  self.__post_init__()")
    exec(f"def __init__({', '.join(parameters)}):\n" + ("\n".join(body) or "  pass"), space)
    made: Callable[..., None] = space["__init__"]
    made.__annotations__ = {**{name: one.type for name, one in fields.items()}, "return": None}
    made.__qualname__, made.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return made


def _made(cls: type[_T], eq: bool, frozen: bool) -> type[_T]:
    own = _own_fields(cls)
    fields: dict[str, Field[Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        fields.update(vars(base).get("__dataclass_fields__", {}))
    slots = tuple(name for name in own if name not in fields)
    fields.update(own)
    space = {key: one for key, one in vars(cls).items() if key not in ("__dict__", "__weakref__") and key not in own}
    space.setdefault("__repr__", _repr)
    if eq and "__eq__" not in space:
        space["__eq__"] = _eq
        space.setdefault("__hash__", _hash if frozen else None)
    if frozen:
        space.update(__setattr__=_no_setattr, __delattr__=_no_delattr, __getstate__=_getstate, __setstate__=_setstate)
    compared = [name for name, one in fields.items() if one.compare]
    if len(compared) == 1:
        only = attrgetter(compared[0])
        space["_compared"] = staticmethod(lambda self: (only(self),))
    else:
        space["_compared"] = staticmethod(attrgetter(*compared) if compared else lambda self: ())
    space.update(__slots__=slots, __match_args__=tuple(fields), __dataclass_fields__=fields)
    make: Any = type(cls)
    made: Any = make(cls.__name__, cls.__bases__, space)
    made.__qualname__ = cls.__qualname__
    made.__init__ = _initializer(made, fields)
    return made  # type: ignore[no-any-return]


@overload
def value_class(cls: type[_T], /) -> type[_T]: ...


@overload
def value_class(*, eq: bool = True, frozen: bool = True) -> Callable[[type[_T]], type[_T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[_T] | None = None, /, *, eq: bool = True, frozen: bool = True) -> Any:
    """Return the class with slots, `__init__`, and what goes with its fields."""
    if cls is None:
        return lambda one: _made(one, eq, frozen)
    return _made(cls, eq, frozen)
