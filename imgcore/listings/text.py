"""Lines and words of listings, and the numbers in them; every mistake is a Corrupt that the caller gives its line."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from imgcore.blob import Blob
from imgcore.errors import Corrupt, show
from imgcore.limits import Limits

__all__ = ["Line", "lines_of", "longest_line", "number", "octal_mode", "split_words", "time_ns", "unescaped", "xattr_value"]

_NS: Final = 10**9
_CHUNK: Final = 1 << 20
_MAX_ID: Final = (1 << 32) - 2
_BLANKS: Final = b" \t\n\r\v\f"


class Line(NamedTuple):
    """A line without its newline: its number, counted from 1, and the position of the first byte behind it."""

    number: int
    data: bytes
    end: int


def longest_line(limits: Limits) -> int:
    """Return the most bytes that a line of a listing may have: two paths and all attributes, escaped."""
    return 4 * limits.max_xattrs + 8 * limits.max_path + 4096


def lines_of(blob: Blob, limits: Limits, *, joined: bool = False) -> Iterator[Line]:
    """Yield the lines of a text. With `joined`, a newline behind a backslash belongs to the line. Raises Corrupt."""
    most = longest_line(limits)
    at, count, kept = 0, 0, b""
    pending, begun = b"", 0
    while at < blob.size or kept:
        data = blob.read_at(at, min(_CHUNK, blob.size - at))
        at += len(data)
        parts = (kept + data).split(b"\n")
        start = at - len(kept) - len(data)
        kept = parts.pop() if data else b""
        if not data:
            parts = [part for part in parts if part]
        for part in parts:
            count += 1
            start += len(part) + 1
            if joined and (len(part) - len(part.rstrip(b"\\"))) % 2:
                pending, begun = pending + part + b"\n", begun or count
                if len(pending) > most:
                    raise Corrupt("a line that is too long", line=begun, allowed=f"{most} bytes")
                continue
            yield Line(begun or count, pending + part, start)
            pending, begun = b"", 0
        if len(kept) > most:  # asked last: behind the last line that is wanted there may be data
            raise Corrupt("a line that is too long", line=count + 1, allowed=f"{most} bytes")
    if pending:
        yield Line(begun, pending, at)


def split_words(text: bytes, most: int = 0, *, begins: bool = False) -> list[bytes]:
    """Return the words of a line, at most `most` and the rest as it stands; `begins` says that `text` begins a line.

    Words are parted by blanks; a backslash takes the next character as it stands, double quotes keep blanks. Between two
    words a backslash at the end of a line only joins it with the next one; inside a word it is a newline.
    """
    if b"\\" not in text and b'"' not in text:  # the usual line
        return text.split(None, most or -1)
    words: list[bytes] = []
    at, size = 0, len(text)
    while True:
        while at < size:
            if text[at] in _BLANKS:
                at += 1
            elif text.startswith(b"\\\n", at) and not (begins and not words):
                at += 2
            else:
                break
        if at >= size:
            return words
        if most and len(words) == most:
            return [*words, text[at:]]
        word, quoted = bytearray(), False
        while at < size and (quoted or text[at] not in _BLANKS):
            char = text[at]
            if char == 0x5C and at + 1 < size:
                at += 1
                word.append(text[at])
            elif char == 0x22:
                quoted = not quoted
            else:
                word.append(char)
            at += 1
        if quoted:
            raise Corrupt("a quote that is not closed")
        words.append(bytes(word))


def number(text: bytes, what: str, most: int = _MAX_ID) -> int:
    """Return a decimal number from 0 to `most`; `what` is what the error calls it."""
    if not text.isdigit() or len(text) > 20 or int(text) > most:
        raise Corrupt(f"not a number for {what}", found=f"`{show(text)}`", allowed=f"0 to {most}")
    return int(text)


def octal_mode(text: bytes) -> int:
    """Return permission bits written in octal."""
    if not re.fullmatch(rb"[0-7]{1,7}", text) or int(text, 8) > 0o7777:
        raise Corrupt("not an octal mode", found=f"`{show(text)}`", allowed="0 to 7777")
    return int(text, 8)


def time_ns(text: bytes) -> int:
    """Return a time: seconds since 1970, or a date as of ISO 8601; one without a zone is UTC."""
    if re.fullmatch(rb"-?[0-9]{1,12}", text):
        return int(text) * _NS
    try:
        found = datetime.datetime.fromisoformat(text.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise Corrupt(
            "not a time", found=f"`{show(text)}`", allowed="seconds since 1970, or a date such as 2026-01-31T12:00:00Z"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    since = found - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since.days * 86400 + since.seconds) * _NS + since.microseconds * 1000


def xattr_value(text: bytes) -> bytes:
    """Return the value of an extended attribute: bytes as they stand, or behind `0s` base64, `0x` hexadecimal, `0t` octal.

    `0t` is text in which a backslash and three octal digits, or two backslashes, stand for one byte: what getfattr and
    mksquashfs 4.7 write.
    """
    kind, body = text[:2].lower(), text[2:]
    try:
        if kind == b"0s":
            return base64.b64decode(body, validate=True)
        if kind == b"0x":
            return bytes.fromhex(body.decode("ascii"))
    except (binascii.Error, ValueError):
        raise Corrupt("not a value of an extended attribute", found=f"`{show(text[:64])}`") from None
    if kind == b"0t":
        return unescaped(body)
    return text


def unescaped(text: bytes) -> bytes:
    """Return text whose backslashes stand for bytes: three octal digits, or the next character."""
    return re.sub(
        rb"\\([0-3][0-7]{2}|.)",
        lambda match: bytes([int(match[1], 8)]) if len(match[1]) == 3 else match[1],
        text,
        flags=re.DOTALL,
    )
