"""Names in two forms: the long one that people see, in UTF-16, and the one of 8 and 3 characters that every reader knows.

A name that is 8.3 in one case needs no long form. Of the others the short one is made of the first six characters and `~1`;
where several would be the same, each gets four hexadecimal digits of its own name in place of characters, so that it does
not depend on what else is there.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from imgcore.formats.fat.layout import ATTR_LONG, LongEntry

__all__ = ["Named", "checksum", "folded", "is_short", "long_entries", "long_text", "named", "problem", "short_text"]

_GOOD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'()-@^_`{}~")
_FORBIDDEN: Final = frozenset('"*/:<>?\\|')
_NEVER_SHORT: Final = frozenset(b'"*+,./:;<=>?[\\]|')
_LOWER_STEM: Final = 0x08
_LOWER_EXTENSION: Final = 0x10
_UNITS: Final = 13


class Named(NamedTuple):
    """A name as a directory has it: 11 bytes, the bits for lower case, whether there is a long form too."""

    short: bytes
    case: int
    is_long: bool


def problem(name: bytes) -> str | None:
    """Return what makes a name impossible, None for one that can be stored."""
    try:
        text = name.decode("utf-8")
    except UnicodeDecodeError:
        return "a name that is not UTF-8"
    bad = next((char for char in text if char in _FORBIDDEN or char < " "), None)
    if bad is not None:
        return f"a name with {bad!r}"
    if text.endswith((" ", ".")):
        return "a name with a blank or a dot at its end"
    if len(text.encode("utf-16-le")) > 510:
        return "a name of more than 255 characters"
    return None


def folded(name: bytes) -> str:
    """Return what names that are one to FAT have in common: its capitals, letter by letter (`ß` has none, and is not `SS`)."""
    text = name.decode("utf-8", "replace")
    if text.isascii():
        return text.upper()
    return "".join(capital if len(capital := char.upper()) == 1 else char for char in text)


def _plain(name: bytes) -> Named | None:
    """Return the form of a name that is 8.3 in capitals, or in small letters before or behind the dot."""
    stem, dot, extension = name.partition(b".")
    if not 0 < len(stem) <= 8 or len(extension) > 3 or b"." in extension or (dot and not extension):
        return None
    case = 0
    parts = []
    for part, bit in ((stem, _LOWER_STEM), (extension, _LOWER_EXTENSION)):
        upper = part.upper()
        if not all(byte in _GOOD for byte in upper):
            return None
        if part != upper:
            if part != part.lower():
                return None
            case |= bit
        parts.append(upper)
    return Named(parts[0].ljust(8) + parts[1].ljust(3), case, False)


def named(names: Collection[bytes], taken: Iterable[bytes] = ()) -> dict[bytes, Named]:
    """Return the forms of all names of a directory; `taken` are short ones that are there already."""
    out: dict[bytes, Named] = {}
    used = set(taken)
    waiting: dict[bytes, list[bytes]] = {}
    for name in sorted(names):
        plain = _plain(name)
        if plain is not None and plain.short not in used:
            out[name] = plain
            used.add(plain.short)
        else:
            waiting.setdefault(_alias(name, b"~1", 6), []).append(name)
    for alias, group in waiting.items():
        for name in group:
            short, turn = alias, 0
            while short in used or (len(group) > 1 and not turn):
                digits = hashlib.blake2b(name, digest_size=2, salt=bytes((turn,))).hexdigest().upper().encode()
                short = _alias(name, digits + b"~1", 2)
                turn += 1
            used.add(short)
            out[name] = Named(short, 0, True)
    return out


def _alias(name: bytes, tail: bytes, keep: int) -> bytes:
    text = name.decode("utf-8", "replace").upper().lstrip(".").replace(" ", "")
    stem, dot, extension = text.rpartition(".")
    if not dot:
        stem, extension = text, ""
    clean = [
        bytes(ord(char) if ord(char) < 128 and ord(char) in _GOOD else 0x5F for char in part)
        for part in (stem.replace(".", ""), extension)
    ]
    return (clean[0][:keep] + tail).ljust(8) + clean[1][:3].ljust(3)


def checksum(short: bytes) -> int:
    """Return what long entries have of the short name that they belong to."""
    total = 0
    for byte in short:
        total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
    return total


def long_entries(name: bytes, short: bytes) -> bytes:
    """Return the entries that hold a long name, in the order in which they lie."""
    units = name.decode("utf-8").encode("utf-16-le")
    count = -(-len(units) // (2 * _UNITS))
    if len(units) < count * 2 * _UNITS:
        units += b"\0\0"
    units = units.ljust(count * 2 * _UNITS, b"\xff")
    out = []
    for number in range(count, 0, -1):
        part = units[(number - 1) * 2 * _UNITS : number * 2 * _UNITS]
        order = number | (0x40 if number == count else 0)
        out.append(LongEntry(order, part[:10], ATTR_LONG, 0, checksum(short), part[10:22], 0, part[22:]).pack())
    return b"".join(out)


def long_text(entries: list[LongEntry]) -> bytes | None:
    """Return the name that entries hold, given in the order in which they lie; None where it is none."""
    units = b"".join(entry.first + entry.second + entry.third for entry in reversed(entries))
    values = struct.unpack(f"<{len(units) // 2}H", units)
    end = values.index(0) if 0 in values else len(values)
    try:
        return units[: 2 * end].decode("utf-16-le").encode("utf-8") or None
    except UnicodeDecodeError:
        return None


def is_short(short: bytes) -> bool:
    """Return whether the 11 bytes of a short name are such that other readers take them; ours takes all."""
    return short[0] != 0x20 and not any((byte < 0x20 and byte != 5) or byte in _NEVER_SHORT for byte in short)


def short_text(short: bytes, case: int) -> bytes:
    """Return a short name as people see it."""
    stem, extension = short[:8].rstrip(b" "), short[8:].rstrip(b" ")
    if stem[:1] == b"\x05":
        stem = b"\xe5" + stem[1:]
    shown = []
    for part, bit in ((stem, _LOWER_STEM), (extension, _LOWER_EXTENSION)):
        text = part.decode("cp437")
        shown.append(text.lower() if case & bit else text)
    return ".".join(part for part in shown if part).encode("utf-8")
