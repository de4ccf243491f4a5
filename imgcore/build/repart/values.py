"""Values in definitions, read as systemd reads them: sizes, booleans, lists of paths."""

from __future__ import annotations

import re
import shlex
from fractions import Fraction

__all__ = ["boolean", "copied", "integer", "path_list", "size", "symlinks"]

_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50, "E": 1 << 60}
_MOST = 1 << 62


def size(text: str) -> int:
    """Return a number of bytes: `1.5G`, `4K`, `512`; units are powers of 1024. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,20})(?:\.([0-9]{1,18}))?\s*([KMGTPE]?)B?", text.strip(), re.ASCII)
    if match is None:
        raise ValueError(f"`{text}` is no size")
    number = Fraction(f"{match[1]}.{match[2] or 0}") * _UNITS[match[3]]
    if number >= _MOST:
        raise ValueError(f"`{text}` is more than any disk has")
    return int(number)


def boolean(text: str) -> bool:
    """Return what systemd's parse_boolean does. Raises ValueError."""
    word = text.lower()
    if word in ("1", "yes", "y", "true", "t", "on"):
        return True
    if word in ("0", "no", "n", "false", "f", "off"):
        return False
    raise ValueError(f"`{text}` is no boolean")


def integer(text: str, least: int, most: int) -> int:
    """Return a whole number, decimal or with 0x, 0b, 0o. Raises ValueError."""
    try:
        found = int(text, 0)
    except ValueError:
        raise ValueError(f"`{text}` is no number") from None
    if not least <= found <= most:
        raise ValueError(f"{found} is not within {least} to {most}")
    return found


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        raise ValueError(f"`{text}` has a quotation that does not end") from None


def _absolute(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"`{path}` is not an absolute path")
    if ".." in path.split("/"):
        raise ValueError(f"`{path}` has a `..` in it")
    slash = "/" if path.endswith("/") and path.strip("/") else ""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", ".")) + slash


def path_list(text: str) -> list[str]:
    """Return absolute paths; one that ended in a slash still does. Raises ValueError."""
    return [_absolute(word) for word in _words(text)]


def copied(text: str) -> list[tuple[str, str]]:
    """Return [(source, target)] of `SOURCE[:TARGET[:OPTIONS]]`. Raises ValueError."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if options:
        raise ValueError(f"options of CopyFiles= (`{options}`) are not supported")
    plain = _absolute(source).rstrip("/") or "/"
    return [(plain, _absolute(target).rstrip("/") or "/" if target else plain)]


def symlinks(text: str) -> list[tuple[str, str]]:
    """Return [(path, target)] of words `PATH:TARGET`. Raises ValueError."""
    found = []
    for word in _words(text):
        path, separator, target = word.partition(":")
        if not separator or not target:
            raise ValueError(f"`{word}` is not PATH:TARGET")
        found.append((_absolute(path).rstrip("/") or "/", target))
    return found
