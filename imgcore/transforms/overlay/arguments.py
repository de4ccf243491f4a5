"""What Linux says of the arguments of a call by themselves: paths taken apart, names and values of attributes, sizes, ids.

What a program in C could not even ask for (a zero byte in a path, a user of more than 32 bits) is a ValueError, everything
else an OverlayError with the errno (Linux, `fs/namei.c`, `fs/xattr.c`, `security/commoncap.c`).
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import struct
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, TypeVar

from imgcore.errors import OverlayError, show
from imgcore.model import PathLike

__all__ = [
    "CAPABILITY",
    "MAX_ATTRIBUTE",
    "Path",
    "device_numbers",
    "link_target",
    "owner",
    "placed",
    "require_attribute",
    "require_capability",
    "require_one_of",
    "taken_apart",
]

CAPABILITY: Final = b"security.capability"
MAX_PATH: Final = 4095
"""Bytes of a path, and of what a symbolic link leads to."""
MAX_ATTRIBUTE: Final = 255
"""Bytes of the name of an extended attribute."""

_MAX_VALUE = 1 << 16
_NO_ID = (1 << 32) - 1
_CAPABILITY_SIZES: Final = {0x02000000: 20, 0x03000000: 24}
_EFFECTIVE = 1


_P = ParamSpec("_P")
_T = TypeVar("_T")


class Path(NamedTuple):
    """A path as a call gets it.

    `above` are the names on the way, `..` among them; `last` is a name, `.` or `..`, or empty for the root. `slash` says that
    something is behind the last name: only a directory is meant.
    """

    text: bytes
    above: tuple[bytes, ...]
    last: bytes
    slash: bool

    @property
    def is_name(self) -> bool:
        """Whether it ends with a name, which can be made, moved and removed."""
        return self.last not in (b"", b".", b"..")


def taken_apart(path: PathLike) -> Path:
    """Return the parts of a path, which counts from the root. Raises OverlayError: ENOENT, ENAMETOOLONG; ValueError."""
    text = path if isinstance(path, bytes) else os.fsencode(path)
    _require_no_zero(text, "a path")
    if not text:
        raise OverlayError("an empty path", errno.ENOENT, path=text)
    if len(text) > MAX_PATH:
        raise OverlayError(f"a path of {len(text)} bytes, at most {MAX_PATH} are allowed", errno.ENAMETOOLONG, path=text)
    names = [name for name in text.split(b"/") if name]
    last = names.pop() if names else b""
    return Path(text, tuple(name for name in names if name != b"."), last, text.endswith(b"/"))


def link_target(target: bytes) -> bytes:
    """Return what a symbolic link leads to. Raises OverlayError: ENOENT, ENAMETOOLONG; ValueError."""
    _require_no_zero(target, "the target of a link")
    if not target:
        raise OverlayError("a link to nothing", errno.ENOENT)
    if len(target) > MAX_PATH:
        message = f"a link to a path of {len(target)} bytes, at most {MAX_PATH} are allowed"
        raise OverlayError(message, errno.ENAMETOOLONG)
    return target


def require_attribute(name: bytes, value: bytes = b"") -> None:
    """Raise OverlayError for the name (ERANGE) or the value (E2BIG) of an attribute of a size that no file has."""
    _require_no_zero(name, "the name of an attribute")
    if not 1 <= len(name) <= MAX_ATTRIBUTE:
        message = f"an attribute whose name has {len(name)} bytes, 1 to {MAX_ATTRIBUTE} are allowed"
        raise OverlayError(message, errno.ERANGE)
    if len(value) > _MAX_VALUE:
        raise OverlayError(f"an attribute of {len(value)} bytes, at most {_MAX_VALUE} are allowed", errno.E2BIG)


def require_capability(value: bytes) -> None:
    """Raise OverlayError (EINVAL) for what is no capability of a file, of revision 2 or 3."""
    magic = struct.unpack("<I", value[:4])[0] & ~_EFFECTIVE if len(value) >= 4 else 0
    if value and _CAPABILITY_SIZES.get(magic) != len(value):
        raise OverlayError(f"{len(value)} bytes that are no capability of a file", errno.EINVAL)


def owner(number: int, old: int) -> int:
    """Return a user or group after a change to `number`; -1, in 32 bits too, keeps the old one. Raises ValueError."""
    if not -1 <= number <= _NO_ID:
        raise ValueError(f"owner {number} is no number of 32 bits")
    return old if number in (-1, _NO_ID) else number


def device_numbers(device: tuple[int, int]) -> tuple[int, int]:
    """Return the numbers of a device. Raises ValueError for what Linux has no room for."""
    major, minor = device
    if not (0 <= major < 1 << 12 and 0 <= minor < 1 << 20):
        raise ValueError(f"device {major}:{minor} is outside of 0:0 to {(1 << 12) - 1}:{(1 << 20) - 1}")
    return major, minor


def require_one_of(what: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise ValueError for a value that is none of the choices."""
    if not any(value is one or (type(value) is type(one) and value == one) for one in choices):
        raise ValueError(f"{what}={value!r} is none of {', '.join(repr(one) for one in choices)}")


def _require_no_zero(text: bytes, what: str) -> None:
    if b"\0" in text:
        raise ValueError(f"{what} with a zero byte: {show(text[:64])}")


def placed(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let the errors of a call say its path, or the first of two, where they do not name one."""
    signature = inspect.signature(call)
    first = "path" if "path" in signature.parameters else "old"

    @functools.wraps(call)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return call(*args, **kwargs)
        except OverlayError as error:
            if error.path is None:
                error.path = os.fsencode(signature.bind(*args, **kwargs).arguments[first])
            raise

    return told
