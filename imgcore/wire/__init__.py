"""On-disk structures, declared once: reader, writer, annotated dump and the tests' corrupter use one declaration."""

from imgcore.wire.fields import FieldType, Rule, i16, i32, one_of, power_of_two, raw, u8, u16, u32, u64, within
from imgcore.wire.record import FieldLayout, Record, chain, record

__all__ = [
    "FieldLayout",
    "FieldType",
    "Record",
    "Rule",
    "chain",
    "i16",
    "i32",
    "one_of",
    "power_of_two",
    "raw",
    "record",
    "u8",
    "u16",
    "u32",
    "u64",
    "within",
]
