"""Numbers, sizes, times and owners in command lines of squashfs-tools; what is wrong is a ShimError."""

from __future__ import annotations

import re
from collections.abc import Callable

from imgcore.build.host_files import HostFiles
from imgcore.cli.shims.arguments import Arguments, ShimError
from imgcore.errors import ImgcoreError
from imgcore.limits import parse_size
from imgcore.listings.text import time_ns

__all__ = ["group", "number", "size", "time_of", "user"]


def time_of(text: str) -> int:
    """Return nanoseconds since 1970. Raises ShimError."""
    try:
        return time_ns(text.encode())
    except ImgcoreError as error:
        raise ShimError(f"`{text}`: imgcore takes seconds since 1970, or a date of ISO 8601 ({error.message})") from None


def number(text: str, option: str) -> int:
    """Return a decimal number. Raises ShimError."""
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise ShimError(f"{option}: `{text}` is not a number")
    return int(text)


def size(arguments: Arguments, key: str) -> int | None:
    """Return the size that an option was given, with K, KB, Kbytes and so on; None when it was not. Raises ValueError."""
    text = arguments.text(key)
    return None if text is None else parse_size(re.sub(r"(?i)(?<=[kmg])(bytes|b)$", "", text))


def user(text: str | None) -> int:
    """Return the number of a user, by number or name. Raises ShimError."""
    return _id(text, HostFiles().user, "user")


def group(text: str | None) -> int:
    """Return the number of a group, by number or name. Raises ShimError."""
    return _id(text, HostFiles().group, "group")


def _id(text: str | None, lookup: Callable[[str], int | None], what: str) -> int:
    assert text is not None
    found = int(text) if text.isascii() and text.isdigit() else lookup(text)
    if found is None:
        raise ShimError(f"`{text}` is no {what} here")
    return found
