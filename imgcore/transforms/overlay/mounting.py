"""Whether Linux would mount a stack of host directories, before it looks into them: counts, overlaps, size of the options.

`mount(2)` takes one page of options, cut behind its 4095th byte; where each layer is handed over by itself (`fsconfig`)
there is no such bound.
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Sequence
from typing import TypeAlias

from imgcore.errors import OverlayError
from imgcore.transforms.overlay.options import OverlayOptions, settle

__all__ = ["MAX_DEPTH", "MAX_LAYERS", "MAX_OPTIONS", "check_mount", "mount_options"]

HostPath: TypeAlias = "str | bytes | os.PathLike[str]"

MAX_LAYERS = 500
"""Lower layers, data-only ones included."""
MAX_OPTIONS = 4095
"""Bytes of options that mount(2) takes."""
MAX_DEPTH = 2
"""File systems that may be stacked: an overlay on an overlay, and no more."""


def mount_options(
    lowers: Sequence[HostPath], *, upper: HostPath | None = None, work: HostPath | None = None, data: Sequence[HostPath] = ()
) -> bytes:
    """Return the options that name these directories, as mount(2) takes them; colons, commas and backslashes are escaped."""
    text = b"lowerdir=" + b":".join(map(_escaped, _paths(lowers))) + b"".join(b"::" + _escaped(one) for one in _paths(data))
    if upper is not None:
        text += b",upperdir=" + _escaped(os.fsencode(upper))
    if work is not None:
        text += b",workdir=" + _escaped(os.fsencode(work))
    return text


def _escaped(path: bytes) -> bytes:
    return path.replace(b"\\", b"\\\\").replace(b":", b"\\:").replace(b",", b"\\,")


def check_mount(
    lowers: Sequence[HostPath],
    *,
    upper: HostPath | None = None,
    work: HostPath | None = None,
    data: Sequence[HostPath] = (),
    options: OverlayOptions = OverlayOptions.KERNEL,
    depth: int = 0,
    by_mount2: bool = True,
) -> None:
    """Raise the OverlayError that mounting these directories would give.

    Paths are without links, and all of them absolute or all from one directory on. `depth` is how many overlays the deepest
    layer lies on already; `by_mount2` says that all options go in one string. Raises TypeError for one path instead of a list.
    """
    settle(options, has_upper=upper is not None)
    lowers, data = _paths(lowers), _paths(data)
    if not lowers:
        _refuse(errno.EINVAL, "no lower layer")
    if upper is None and len(lowers) + len(data) < 2:
        _refuse(errno.EINVAL, "a single lower layer without an upper one")
    if (upper is None) != (work is None):
        _refuse(errno.EINVAL, "upperdir and workdir go together")
    if len(lowers) + len(data) > MAX_LAYERS:
        _refuse(errno.EINVAL, f"more than {MAX_LAYERS} lower layers")
    if depth + 1 > MAX_DEPTH:
        _refuse(errno.EINVAL, f"more than {MAX_DEPTH} file systems stacked")
    if by_mount2:
        size = len(mount_options(lowers, upper=upper, work=work, data=data))
        if size > MAX_OPTIONS:
            _refuse(
                errno.ENOENT,
                f"options of {size} bytes: the last path is cut",
                f"at most {MAX_OPTIONS} bytes; fewer or shorter names",
            )
    if upper is not None and work is not None and _overlap(os.fsencode(work), os.fsencode(upper)):
        _refuse(errno.EINVAL, "workdir and upperdir overlap")
    below = [*lowers, *data]
    if b"" in below:
        _refuse(errno.EINVAL, "a layer without a path")
    for number, one in enumerate(below):
        for other in below[:number]:
            if _overlap(one, other):
                shown = " and ".join(f"`{path.decode('utf-8', 'backslashreplace')}`" for path in (other, one))
                _refuse(errno.ELOOP, f"layers overlap: {shown}")

    for one in below if upper is not None else ():
        # A lower layer may hold the upper one, and not the other way round.
        if _is_below(one, os.fsencode(upper or b"")):
            _refuse(errno.ELOOP, f"a lower layer inside of the upper one: `{one.decode('utf-8', 'backslashreplace')}`")


def _paths(given: Sequence[HostPath]) -> list[bytes]:
    """Return paths as bytes. Raises TypeError for one path where several are meant."""
    if isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(f"a list of paths is needed, not {given!r}")
    return [os.fsencode(one) for one in given]


def _overlap(path: bytes, other: bytes) -> bool:
    """Whether one path is the other, however it is written, or below it."""
    return _is_below(path, other) or _is_below(other, path)


def _is_below(path: bytes, other: bytes) -> bool:
    """Whether a path is another one, however it is written, or below it."""
    one, two = (posixpath.normpath(text).split(b"/") for text in (path, other))
    one, two = ([name for name in names if name not in (b"", b".")] for names in (one, two))
    return one[: len(two)] == two and path.startswith(b"/") == other.startswith(b"/")


def _refuse(code: int, message: str, hint: str | None = None) -> None:
    raise OverlayError(message, code, hint=hint)
