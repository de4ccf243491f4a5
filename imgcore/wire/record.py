"""`@record`: a class whose annotations are an on-disk structure.

    @record("<", spec="squashfs 4.0, fragment table")
    class FragmentEntry(Record):
        start: u64
        size: u32
        unused: u32

The decorator compiles one `struct.Struct`, `SIZE`, `LAYOUT` (name, offset and width of each field) and the rules, and
makes a dataclass with slots of it. `unpack_from` checks every rule, because the bytes come from outside; `pack`
asserts them, because the values are our own. Variable parts (names, block lists) are read beside the record.

It has to be a decorator: slots cannot be added in `__init_subclass__`.
"""

from __future__ import annotations

import dataclasses
import operator
import struct
from collections.abc import Callable, Iterator
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
    get_type_hints,
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
    """Return (name, struct code, rules) of each annotated field, in the order of declaration."""
    fields = []
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if get_origin(hint) is not Annotated:
            continue
        extras = get_args(hint)[1:]
        codes = [extra.code for extra in extras if isinstance(extra, FieldType)]
        if len(codes) != 1:
            raise TypeError(f"{cls.__name__}.{name} needs exactly one on-disk type, has {codes}")
        fields.append((name, codes[0], [extra for extra in extras if isinstance(extra, Rule)]))
    return fields


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
        made = dataclasses.dataclass(slots=True)(cls)
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
