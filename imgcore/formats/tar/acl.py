"""POSIX ACLs: the text of PAX records, and the binary form of Linux's `system.posix_acl_*` attributes.

The text is `user::rwx,user:NAME:r-x[:UID],...`. Where an entry has no number and its name is none, the text cannot be
turned into what Linux has, since an archive does not say who NAME is.
"""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["acl_from_text", "acl_to_text"]

_VERSION: Final = 2
_NO_ID: Final = 0xFFFFFFFF
_TAGS: Final = {
    (b"user", False): 0x01,
    (b"user", True): 0x02,
    (b"group", False): 0x04,
    (b"group", True): 0x08,
    (b"mask", False): 0x10,
    (b"other", False): 0x20,
}
_WORDS: Final = {tag: word for (word, _), tag in _TAGS.items()}
_SHORT: Final = {b"u": b"user", b"g": b"group", b"m": b"mask", b"o": b"other"}
_BITS: Final = ((b"r", 4), (b"w", 2), (b"x", 1))


def acl_from_text(text: bytes) -> bytes | None:
    """Return the binary form, entries in Linux's order; None for a text that cannot be turned into it."""
    entries: list[tuple[int, int, int]] = []
    for line in text.replace(b"\n", b",").split(b","):
        entry = line.partition(b"#")[0].strip()
        if not entry:
            continue
        fields = [field.strip() for field in entry.split(b":")]
        word = _SHORT.get(fields[0], fields[0])
        if word in (b"mask", b"other") and len(fields) == 2:
            fields.insert(1, b"")
        if not 3 <= len(fields) <= 4:
            return None
        number = fields[3] if len(fields) == 4 else fields[1]
        named = bool(fields[1] or len(fields) == 4)
        tag = _TAGS.get((word, named))
        if tag is None or (named and not (number.isdigit() and int(number) < _NO_ID)):
            return None
        bits = 0
        for letter in fields[2]:
            value = dict(_BITS).get(bytes([letter]), 0 if letter == 0x2D else -1)
            if value < 0:
                return None
            bits |= value
        entries.append((tag, int(number) if named else _NO_ID, bits))
    if not entries:
        return None
    entries.sort(key=lambda item: item[:2])
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", tag, bits, number) for tag, number, bits in entries)


def acl_to_text(data: bytes) -> bytes | None:
    """Return the text, None for a value that would not come back the same from it."""
    if len(data) < 12 or (len(data) - 4) % 8 or struct.unpack_from("<I", data)[0] != _VERSION:
        return None
    parts = []
    for at in range(4, len(data), 8):
        tag, bits, number = struct.unpack_from("<HHI", data, at)
        word = _WORDS.get(tag)
        if word is None or bits > 7:
            return None
        shown = b"%d" % number if tag in (0x02, 0x08) else b""
        parts.append(word + b":" + shown + b":" + b"".join(letter if bits & bit else b"-" for letter, bit in _BITS))
    text = b",".join(parts)
    return text if acl_from_text(text) == data else None
