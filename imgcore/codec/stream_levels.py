"""The compressions of whole streams that can be written, and their levels; apart, since options ask before anything is done."""

from __future__ import annotations

from typing import Final

__all__ = ["STREAM_LEVELS", "stream_level"]

STREAM_LEVELS: Final[dict[str, tuple[range, int]]] = {
    "gzip": (range(1, 13), 6),
    "bzip2": (range(1, 10), 9),
    "xz": (range(10), 6),
    "zstd": (range(1, 23), 9),
}
"""The levels of each kind of stream that can be written, and the default one."""

_ZLIB_LEVELS: Final = range(1, 10)


def stream_level(name: str, level: int | None, *, single: bool = False) -> int | None:
    """Return the level that will be used, None for `none`. Raises ValueError for one that there is not, or a bad name."""
    if name == "none":
        if level is not None:
            raise ValueError("compression `none` has no level")
        return None
    if name not in STREAM_LEVELS:
        raise ValueError(f"compression `{name}` is none of none, {', '.join(STREAM_LEVELS)}")
    levels, default = STREAM_LEVELS[name]
    if single and name == "gzip":
        levels = _ZLIB_LEVELS
    if level is not None and level not in levels:
        raise ValueError(f"{name} has levels {levels[0]} to {levels[-1]}, not {level}")
    return default if level is None else level
