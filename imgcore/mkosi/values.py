"""How the text of a setting becomes its value.

A parser is a function of (text, the value so far, place). Text None asks for the value of a setting that nobody set, the
empty text resets: a parser returns None for it, and lists begin anew. Every parser raises ConfigError with the place; what
Python's own conversions raise is turned into that by `parsed`.
"""

from __future__ import annotations

import math
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from imgcore.mkosi.host import Place, Value
from imgcore.mkosi.names import ARTIFACTS, COMPRESSIONS
from imgcore.mkosi.versions import compare

__all__ = [
    "Item",
    "Parse",
    "artifacts",
    "boolean",
    "boolean_of",
    "choice",
    "choice_or_boolean",
    "compression",
    "feature",
    "feature_of",
    "filename",
    "listed",
    "mapped",
    "mode",
    "natural",
    "newest",
    "number",
    "pair",
    "parsed",
    "password",
    "profile_name",
    "sector_size",
    "single",
    "size",
    "size_of",
    "source_of",
    "text",
    "unique_id",
    "variable",
    "vsock_cid",
]

Parse: TypeAlias = Callable[[str | None, Value, Place], Value]
Item: TypeAlias = Callable[[str, Place], Value]

_TRUE = {"1", "true", "yes", "y", "t", "on", "always"}
_FALSE = {"0", "false", "no", "n", "f", "off", "never"}


def parsed(parse: Parse, said: str | None, old: Value, at: Place) -> Value:
    """Return what `parse` makes of the text. Raises ConfigError, whatever goes wrong."""
    try:
        return parse(said, old, at)
    except (ValueError, ArithmeticError) as error:
        raise at.fail(f"`{said}` is no value: {error}") from None
    except (OSError, RuntimeError) as error:
        raise at.fail(f"`{said}`: {getattr(error, 'strerror', None) or error}") from None


def text(said: str | None, old: Value, at: Place) -> Value:
    """Any text."""
    return said or None


def _maybe(said: str) -> bool | None:
    word = said.lower()
    return True if word in _TRUE else False if word in _FALSE else None


def boolean_of(said: str, at: Place) -> bool:
    """Return yes or no. Raises ConfigError."""
    found = _maybe(said)
    if found is None:
        raise at.fail(f"`{said}` is neither yes nor no")
    return found


def boolean(said: str | None, old: Value, at: Place) -> Value:
    """Yes or no; no where nothing is said."""
    if said is None:
        return False
    return boolean_of(said, at) if said else None


def feature_of(said: str, at: Place) -> str:
    """Return auto, enabled or disabled. Raises ConfigError."""
    if said in ("auto", "enabled", "disabled"):
        return said
    return "enabled" if boolean_of(said, at) else "disabled"


def feature(said: str | None, old: Value, at: Place) -> Value:
    """Enabled, disabled, or auto, where nothing is said."""
    if said is None:
        return "auto"
    return feature_of(said, at) if said else None


def choice(words: Iterable[str], what: str) -> Item:
    """Return the parser of one of the words."""
    known = tuple(words)

    def one_of(said: str, at: Place) -> Value:
        if said not in known:
            raise at.fail(f"`{said}` is no {what}", allowed=", ".join(known))
        return said

    return one_of


def single(item: Item) -> Parse:
    """Return the parser of one item."""

    def one(said: str | None, old: Value, at: Place) -> Value:
        return item(said, at) if said else None

    return one


def choice_or_boolean(words: Sequence[str], what: str, *, yes: str, no: str) -> Parse:
    """Return the parser of one of the words; yes and no stand for two of them."""

    def one_of(said: str | None, old: Value, at: Place) -> Value:
        if not said or said in words:
            return said or None
        if _maybe(said) is None:
            raise at.fail(f"`{said}` is no {what}", allowed=", ".join(words))
        return yes if boolean_of(said, at) else no

    return one_of


def compression(said: str | None, old: Value, at: Place) -> Value:
    """An algorithm; yes stands for zstd, no for none."""
    if not said:
        return None
    if said in COMPRESSIONS:
        return COMPRESSIONS[said]
    if _maybe(said) is None:
        raise at.fail(f"`{said}` is no compression", allowed=", ".join(COMPRESSIONS))
    return "zstd" if boolean_of(said, at) else "none"


def unique_id(said: str | None, old: Value, at: Place) -> Value:
    """A UUID. `random` is refused: nothing here is made by chance."""
    if said == "random":
        raise at.fail("a random UUID would make every build another image", hint="write a UUID, or leave the setting out")
    return str(uuid.UUID(said)) if said else None


def number(said: str | None, old: Value, at: Place) -> Value:
    """A whole number."""
    return int(said) if said else None


def natural(said: str | None, old: Value, at: Place) -> Value:
    """A whole number that is not negative."""
    if not said:
        return None
    found = int(said)
    if found < 0:
        raise at.fail(f"`{said}` is negative")
    return found


def mode(said: str | None, old: Value, at: Place) -> Value:
    """Permission bits, in octal."""
    if not said:
        return None
    found = int(said, 8)
    if not 0 <= found <= 0o1777:
        raise at.fail(f"`{said}` is no mode", allowed="0 to 1777, in octal")
    return found


def _plain_name(said: str) -> bool:
    return said.strip() not in (".", "..") and "/" not in said


def filename(said: str | None, old: Value, at: Place) -> Value:
    """The name of a file, without directories."""
    if said and not _plain_name(said):
        raise at.fail(f"`{said}` is not the name of a file", hint="OutputDirectory= says where it goes")
    return said or None


def profile_name(said: str, at: Place) -> Value:
    """Return the name of a profile. Raises ConfigError for a path."""
    if not _plain_name(said):
        raise at.fail(f"`{said}` is not the name of a profile")
    return said


def size_of(said: str) -> int:
    """Return bytes, rounded up to whole pages; K, M and G are powers of 1024. Raises ValueError, OverflowError."""
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(said[-1:], 1)
    found = math.ceil(float(said[:-1] if factor > 1 else said) * factor)
    if found <= 0:
        raise ValueError("a size is more than nothing")
    return -(-found // 4096) * 4096


def size(said: str | None, old: Value, at: Place) -> Value:
    """Bytes."""
    return size_of(said) if said else None


def sector_size(said: str | None, old: Value, at: Place) -> Value:
    """512, 1024, 2048 or 4096."""
    if not said:
        return None
    found = int(said)
    if found not in (512, 1024, 2048, 4096):
        raise at.fail(f"`{said}` is no size of a sector", allowed="512, 1024, 2048, 4096")
    return found


def vsock_cid(said: str | None, old: Value, at: Place) -> Value:
    """The number of a virtual machine; auto is -1 and hash -2, as mkosi shows them."""
    if not said:
        return None
    if said in ("auto", "hash"):
        return -1 if said == "auto" else -2
    found = int(said)
    if not 3 <= found < 0xFFFFFFFF:
        raise at.fail(f"`{said}` is no number of a virtual machine", allowed="auto, hash, or at least 3")
    return found


def newest(said: str | None, old: Value, at: Place) -> Value:
    """A version, or the older value where that is newer."""
    if not said:
        return old
    return old if isinstance(old, str) and compare(old, said) > 0 else said


def password(said: str | None, old: Value, at: Place) -> Value:
    """A password and whether it is hashed already."""
    if not said:
        return None
    said = said.strip()
    return [said.removeprefix("hashed:"), said.startswith("hashed:")]


def source_of(kinds: Sequence[str]) -> Parse:
    """Return the parser of KIND or KIND:WHERE, as keys and certificates are named."""

    def source(said: str | None, old: Value, at: Place) -> Value:
        if not said:
            return old
        kind, _, where = said.partition(":")
        if kind not in kinds:
            raise at.fail(f"`{said}` is no source of a key or certificate", allowed=", ".join(kinds))
        return {"Type": kind, "Source": where}

    return source


def artifacts(said: str | None, old: Value, at: Place) -> Value:
    """Which parts of the image are files of their own too."""
    if not said:
        return []
    every = _maybe(said)
    if every is not None:
        return [one for one in ARTIFACTS if every or one != "partitions"]
    return listed(",", choice(ARTIFACTS, "artifact"))(said, old, at)


def _word(said: str, at: Place) -> Value:
    return said


def _words(said: str, delimiter: str, unescape: bool) -> list[str]:
    """Return the parts of a value; one empty text is no part at all."""
    if not unescape:
        parts = (said.replace(delimiter, "\n") if delimiter else said).split("\n")
        return [] if parts == [""] else parts
    reader = shlex.shlex(said, posix=True)
    reader.whitespace_split, reader.whitespace, reader.commenters = True, f"\n{delimiter}", ""
    return list(reader)


def listed(delimiter: str = "", item: Item = _word, *, unescape: bool = False, reset: bool = True) -> Parse:
    """Return the parser of a list: parts between `delimiter` or newlines are added to what is there, empty ones left out."""

    def of_list(said: str | None, old: Value, at: Place) -> Value:
        if said is None:
            return []
        parts = _words(said, delimiter, unescape)
        if reset and not parts:
            return None
        before = old if isinstance(old, list) else []
        return [*before, *(item(part, at) for part in parts if part)]

    return of_list


Pair: TypeAlias = "Callable[[str, Place], tuple[str, str]]"


def variable(said: str, at: Place) -> tuple[str, str]:
    """Return the name and value of an environment variable; one without `=` has the caller's value."""
    name, equals, value = said.partition("=")
    return name.strip(), value.strip() if equals else at.host.environment.get(name.strip(), "")


def pair(said: str, at: Place) -> tuple[str, str]:
    """Return what stands before and after the first `=`."""
    name, _, value = said.partition("=")
    return name.strip(), value.strip()


def mapped(
    delimiter: str, item: Pair, *, unescape: bool = False, paths: Callable[[str, Place], Mapping[str, str]] | None = None
) -> Parse:
    """Return the parser of names with values; a text without `=` is read by `paths`, where that is given."""

    def of_mapping(said: str | None, old: Value, at: Place) -> Value:
        if said is None:
            return {}
        before = old if isinstance(old, dict) else {}
        if paths is not None and said and "=" not in said:
            return {**before, **paths(said, at)}
        parts = _words(said, delimiter, unescape)
        if not parts:
            return None
        return {**before, **dict(item(part, at) for part in parts if part)}

    return of_mapping
