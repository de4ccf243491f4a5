"""Directory entries: times, and the bytes of one name with its long form."""

from __future__ import annotations

import datetime
from typing import Final

from imgcore.formats.fat.layout import ATTR_DIR, ATTR_READ_ONLY, DirEntry
from imgcore.formats.fat.names import Named, long_entries

__all__ = ["dot_entries", "entry_bytes", "label_entry", "pack_time", "unpack_time"]

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_SECOND: Final = datetime.timedelta(seconds=1)


def pack_time(seconds: int) -> tuple[int, int]:
    """Return (date, time) of a time from 1980 to 2107, in UTC; a second is lost where it is odd."""
    at = _EPOCH + seconds * _SECOND
    return (at.year - 1980) << 9 | at.month << 5 | at.day, at.hour << 11 | at.minute << 5 | at.second // 2


def unpack_time(date: int, time: int) -> int:
    """Return the seconds since 1970 that a date and a time say, 1980's first where they say none."""
    try:
        at = datetime.datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, min((time & 31) * 2, 58)
        )
    except ValueError:
        return 315532800
    return (at - _EPOCH) // _SECOND


def _record(short: bytes, case: int, attributes: int, cluster: int, size: int, seconds: int) -> bytes:
    date, time = pack_time(seconds)
    return DirEntry(short, attributes, case, 0, time, date, date, cluster >> 16, time, date, cluster & 0xFFFF, size).pack()


def entry_bytes(
    name: bytes, form: Named, cluster: int, size: int, seconds: int, *, is_dir: bool, read_only: bool = False
) -> bytes:
    """Return the entries of one name."""
    attributes = (ATTR_DIR if is_dir else 0x20) | (ATTR_READ_ONLY if read_only else 0)
    short = _record(form.short, form.case, attributes, cluster, size, seconds)
    return (long_entries(name, form.short) if form.is_long else b"") + short


def dot_entries(own: int, parent: int, seconds: int) -> bytes:
    """Return the first two entries of a directory; `parent` is 0 where that is the root."""
    return _record(b".".ljust(11), 0, ATTR_DIR, own, 0, seconds) + _record(b"..".ljust(11), 0, ATTR_DIR, parent, 0, seconds)


def label_entry(label: bytes, seconds: int) -> bytes:
    """Return the root's entry that holds the volume's label."""
    return _record(label.ljust(11), 0, 0x08, 0, 0, seconds)
