"""What a name of a tree is called in the other naming worlds of an ISO: identifiers of ISO 9660, names of Joliet.

Many names become one when they are cut and their characters replaced. Of those that collide each gets a suffix that comes
from its own name alone, so that it stays what it is whatever else is in the directory; only a name that needed no change
keeps its plain form. (Counters, as other writers have them, rename old files whenever a new one comes first.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from imgcore.values import value_class

__all__ = ["NamingRules", "candidates", "enhanced_names", "identifiers", "joliet_names", "plain_name"]

_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STRICT: Final = frozenset(_UPPER + b"0123456789_")
_RELAXED: Final = frozenset(range(0x21, 0x7F)) - frozenset(b"/;*?.")
_DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_NOT_JOLIET: Final = frozenset("*/:;?\\")
_SUFFIX: Final = 4


@value_class
class NamingRules:
    """How identifiers are made.

    Attributes:
        level: 1 has 8.3 characters, 2 to 4 have 31.
        relaxed: keep lower case and most of ASCII, which ECMA-119 does not have but readers take.
    """

    level: int = 3
    relaxed: bool = False


def _table(rules: NamingRules) -> bytes:
    good = _RELAXED if rules.relaxed else _STRICT
    out = bytearray()
    for code in range(256):
        upper = code if rules.relaxed or not 0x61 <= code <= 0x7A else code - 32
        out.append(upper if upper in good else 0x5F)
    return bytes(out)


_TABLES: Final = {relaxed: _table(NamingRules(3, relaxed)) for relaxed in (False, True)}


def _digits(name: bytes, count: int, turn: int) -> str:
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8, salt=turn.to_bytes(2, "little")).digest(), "little")
    out = ""
    for _ in range(count):
        number, digit = divmod(number, 32)
        out += _DIGITS[digit]
    return out


def identifiers(names: Mapping[bytes, bool], rules: NamingRules) -> dict[bytes, bytes]:
    """Return the identifier of each name, which is a directory's where the value is true.

    A file's is `NAME.EXT;1`; with level 1 it has 8 and 3 characters, else 30 together, a directory's has 8 or 31.
    """

    def made(name: bytes, suffix: bytes) -> bytes:
        return _made(name, suffix, rules, is_dir=names[name])

    found = _unique(names, made, lambda name: name if names[name] else name if b"." in name else name + b".")
    return {name: identifier if names[name] else identifier + b";1" for name, identifier in found.items()}


def candidates(name: bytes, rules: NamingRules, *, is_dir: bool) -> Iterator[bytes]:
    """Yield identifiers that a name may have, in the order in which they are to be tried."""
    tail = b"" if is_dir else b";1"
    yield _made(name, b"", rules, is_dir=is_dir) + tail
    for turn in range(4096):
        yield _made(name, _suffix(name, turn), rules, is_dir=is_dir) + tail


def _suffix(name: bytes, turn: int) -> bytes:
    return b"_" * (turn < 64) + _digits(name, _SUFFIX, turn).encode()[: 3 if turn < 64 else 4]


def _made(name: bytes, suffix: bytes, rules: NamingRules, *, is_dir: bool) -> bytes:
    table = _TABLES[rules.relaxed]
    if is_dir:
        most = 8 if rules.level == 1 else 31
        return name.translate(table)[: most - len(suffix)] + suffix
    stem, dot, extension = name.rpartition(b".")
    if not dot or not stem:
        stem, extension = name, b""
    stem, extension = stem.translate(table), extension.translate(table)
    if rules.level == 1:
        extension = extension[:3]
        return stem[: 8 - len(suffix)] + suffix + b"." + extension
    extension = extension[: 30 - 1 - len(suffix)] if len(extension) < 30 else extension[:8]
    return stem[: 30 - len(extension) - len(suffix)] + suffix + b"." + extension


def enhanced_names(names: Mapping[bytes, bool]) -> dict[bytes, bytes]:
    """Return the names of an ISO 9660:1999 tree: any bytes, at most 207, and not what stands for `..`."""
    # A single byte of 1 is what stands for `..`.
    return _unique(
        names, lambda name, suffix: (b"_" if name == b"\1" else name)[: 207 - len(suffix)] + suffix, lambda name: name
    )


def joliet_names(names: Collection[bytes], most: int) -> dict[bytes, bytes]:
    """Return the names of a Joliet tree in big-endian UCS-2: at most `most` characters, without those Windows forbids."""
    good: dict[bytes, str] = {}
    for name in names:
        text = name.decode("utf-8", "replace")
        good[name] = "".join("_" if char in _NOT_JOLIET or char < " " or char > "\uffff" else char for char in text)

    def made(name: bytes, suffix: bytes) -> bytes:
        text = good[name]
        stem, dot, extension = text.rpartition(".")
        if not dot or not stem or len(extension) > 16:
            stem, extension = text, ""
        tail = suffix.decode() + (f".{extension}" if extension or text.endswith(".") else "")
        return (stem[: most - len(tail)] + tail).encode("utf-16-be", "replace")

    return _unique(names, made, lambda name: name.decode("utf-8", "replace").encode("utf-16-be", "replace"), folded=_folded)


def _folded(name: bytes) -> bytes:
    """Return what names that Windows takes for one have in common."""
    return name.decode("utf-16-be", "replace").casefold().encode("utf-16-be", "replace")


def _unique(
    names: Collection[bytes],
    made: Callable[[bytes, bytes], bytes],
    plain: Callable[[bytes], bytes],
    folded: Callable[[bytes], bytes] = bytes,
) -> dict[bytes, bytes]:
    """Return `made(name, suffix)` of each, with a suffix where several would be the same (by `folded`)."""
    groups: dict[bytes, list[bytes]] = {}
    first: dict[bytes, bytes] = {}
    for name in names:
        short = first[name] = made(name, b"")
        groups.setdefault(folded(short), []).append(name)
    if len(groups) == len(first):
        return first
    taken = set(groups)
    found = dict(first)
    for group in [group for group in groups.values() if len(group) > 1]:
        keeps = [name for name in group if plain(name) == first[name]][:1]
        for name in sorted(group):
            if name in keeps:
                continue
            turn = 0
            while True:
                short = made(name, _suffix(name, turn))
                turn += 1
                if folded(short) not in taken:
                    break
            taken.add(folded(short))
            found[name] = short
    return found


def plain_name(identifier: bytes) -> bytes:
    """Return how Linux shows a file of a tree without Rock Ridge: lower case, without `;1` and a dot at the end."""
    name = identifier.lower()
    if name.endswith(b".;1"):
        name = name[:-3]
    elif name.endswith(b";1"):
        name = name[:-2]
    return name.replace(b";", b".").replace(b"/", b".")
