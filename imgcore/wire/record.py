"""`@record`: a class whose annotations are an on-disk structure.

    @record("<", spec="squashfs 4.0, fragment table")
    class FragmentEntry(Record):
        start: u64
        size: u32
        unused: u32

The decorator compiles one `struct.Struct`, `SIZE`, `LAYOUT` (name, offset and width of each field) and the rules, and
makes a class with slots of it, as a dataclass would be. `unpack_from` checks every rule, because the bytes come from
outside; `pack` asserts them, because the values are our own. Variable parts (names, block lists) are read beside the record.

It has to be a decorator: slots cannot be added in `__init_subclass__`.
"""

from __future__ import annotations

import operator
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import (
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    Self,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
)

from imgcore.errors import Corrupt
from imgcore.wire.fields import FieldType, Rule

__all__ = ["FieldLayout", "Record", "chain", "record"]


class FieldLayout(NamedTuple):
    """Where a field lies in its record: bytes from the record's start, bytes of width, and the rule's text or ""."""

    name: str
    offset: int
    width: int
    allowed: str


class Record:
    """Base of every declared structure."""

    __slots__ = ()
    SIZE: ClassVar[int]
    LAYOUT: ClassVar[tuple[FieldLayout, ...]]
    SPEC: ClassVar[str]
    _struct: ClassVar[struct.Struct]
    _rules: ClassVar[tuple[tuple[FieldLayout, Rule], ...]]
    _values: ClassVar[Callable[[Any], tuple[Any, ...]]]

    @classmethod
    def unpack_from(cls, data: bytes | memoryview, at: int = 0, *, base: int = 0) -> Self:
        """Return the record at byte `at` of `data`; `base` is the offset of `data` in the image, for errors.

        Raises Corrupt when the bytes do not suffice or a rule does not hold.
        """
        if at < 0 or len(data) - at < cls.SIZE:
            raise Corrupt(
                f"{cls.__name__} is cut short",
                offset=base + at,
                structure=cls.__name__,
                found=f"{max(0, len(data) - at)} bytes",
                allowed=f"{cls.SIZE} bytes",
            )
        self = cls(*cls._struct.unpack_from(data, at))
        for layout, value, allowed in self.violations():
            raise Corrupt(
                f"{cls.__name__}.{layout.name} cannot be right",
                offset=base + at + layout.offset,
                structure=cls.__name__,
                field=layout.name,
                found=value,
                allowed=allowed,
            )
        return self

    @classmethod
    def unpack_unchecked(cls, data: bytes | memoryview, at: int = 0) -> Self:
        """Return the record at byte `at` of `data` whatever its values are; for checkers, which list all violations."""
        return cls(*cls._struct.unpack_from(data, at))

    def violations(self) -> Iterator[tuple[FieldLayout, int, str]]:
        """Yield (field, its value, what is allowed) of each rule that does not hold."""
        for layout, rule in self._rules:
            value = getattr(self, layout.name)
            if not rule.holds(value):
                yield layout, value, rule.text

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, place.name) == getattr(other, place.name) for place in self.LAYOUT)

    __hash__ = None  # type: ignore[assignment]  # they can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{place.name}={getattr(self, place.name)!r}' for place in self.LAYOUT)})"

    def pack(self) -> bytes:
        """Return the bytes of this record."""
        for layout, value, allowed in self.violations():
            raise AssertionError(f"{type(self).__name__}.{layout.name} = {value}, allowed {allowed}")
        values: tuple[Any, ...] = type(self)._values(self)
        return self._struct.pack(*values)


def chain(*records: type[Record]) -> struct.Struct:
    """Return the Struct of records that lie one behind the other, for whoever packs many at once; it checks no rules."""
    order = records[0]._struct.format[0]
    assert all(one._struct.format[0] == order for one in records)
    return struct.Struct(order + "".join(one._struct.format[1:] for one in records))


R = TypeVar("R", bound=Record)


def _fields_of(cls: type[Record]) -> list[tuple[str, str, list[Rule]]]:
    """Return (name, struct code, rules) of each annotated field, in the order of declaration.

    Annotations are text, most of them one name: `typing.get_type_hints` compiles every one of them, which would take
    longer than anything else when imgcore starts.
    """
    known = vars(sys.modules[cls.__module__])
    fields = []
    for name, text in vars(cls).get("__annotations__", {}).items():
        hint = known[text] if text in known else eval(text, known)
        if get_origin(hint) is not Annotated:
            continue
        extras = get_args(hint)[1:]
        codes = [extra.code for extra in extras if isinstance(extra, FieldType)]
        if len(codes) != 1:
            raise TypeError(f"{cls.__name__}.{name} needs exactly one on-disk type, has {codes}")
        fields.append((name, codes[0], [extra for extra in extras if isinstance(extra, Rule)]))
    return fields


def _initializer(names: Sequence[str]) -> Callable[..., None]:
    """Return the `__init__` that a dataclass would have."""
    body = "\n".join(f"    self.{name} = {name}" for name in names)
    made: dict[str, Any] = {}
    exec(f"def __init__(self, {', '.join(names)}):\n{body}\n", made)
    initializer: Callable[..., None] = made["__init__"]
    return initializer


@dataclass_transform()
def record(byte_order: str = "<", *, spec: str = "") -> Callable[[type[R]], type[R]]:
    """Compile a declaration. `byte_order` is "<" or ">"; `spec` names the section that defines the structure."""

    def build(cls: type[R]) -> type[R]:
        layout: list[FieldLayout] = []
        rules: list[tuple[FieldLayout, Rule]] = []
        codes = ""
        at = 0
        for name, code, field_rules in _fields_of(cls):
            width = struct.calcsize(byte_order + code)
            place = FieldLayout(name, at, width, " and ".join(rule.text for rule in field_rules))
            layout.append(place)
            rules += [(place, rule) for rule in field_rules]
            codes += code
            at += width
        names = [place.name for place in layout]
        space = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
        made: type[R] = type(cls.__name__, cls.__bases__, {**space, "__slots__": tuple(names), "__init__": _initializer(names)})
        made.__qualname__ = cls.__qualname__
        made._struct = struct.Struct(byte_order + codes)
        made.SIZE, made.LAYOUT, made.SPEC = at, tuple(layout), spec
        made._rules = tuple(rules)
        if len(layout) == 1:
            only = layout[0].name
            made._values = staticmethod(lambda self: (getattr(self, only),))
        else:
            made._values = staticmethod(operator.attrgetter(*(place.name for place in layout)))
        return made

    return build
