"""The two ways in which ISO 9660 writes a time: 7 bytes of numbers (1900 to 2155), and 17 of digits. We write UTC.

Both count seconds; the longer one has hundredths. An offset from UTC is in quarters of an hour.
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Final

__all__ = ["LONG_UNSET", "MAX_TIME", "MIN_TIME", "long_date", "parse_long", "parse_short", "short_date"]

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_SECOND: Final = datetime.timedelta(seconds=1)
_QUARTER: Final = 15 * 60
LONG_UNSET: Final = b"0" * 16 + b"\0"
MIN_TIME: Final = (datetime.datetime(1900, 1, 1) - _EPOCH) // _SECOND
MAX_TIME: Final = (datetime.datetime(2156, 1, 1) - _EPOCH) // _SECOND - 1


@lru_cache(maxsize=4096)
def short_date(seconds: int) -> bytes:
    """Return the 7 bytes of a time, seconds since 1970, within MIN_TIME to MAX_TIME."""
    at = _EPOCH + seconds * _SECOND
    return bytes((at.year - 1900, at.month, at.day, at.hour, at.minute, at.second, 0))


@lru_cache(maxsize=4096)
def parse_short(data: bytes) -> int | None:
    """Return the seconds since 1970 that 7 bytes say, None where they are no date. Raises nothing."""
    year, month, day, hour, minute, second, zone = data
    try:
        at = datetime.datetime(1900 + year, month, day, hour, minute, min(second, 59))
    except ValueError:
        return None
    return (at - _EPOCH) // _SECOND - _zone(zone)


def _zone(byte: int) -> int:
    """Return the seconds that a place is ahead of UTC; offsets beyond a day are none (as in Linux)."""
    quarters = byte - 256 if byte > 127 else byte
    return quarters * _QUARTER if -52 <= quarters <= 52 else 0


def long_date(seconds: int) -> bytes:
    """Return the 17 bytes of a time, seconds since 1970."""
    return (_EPOCH + seconds * _SECOND).strftime("%Y%m%d%H%M%S").rjust(14, "0").encode() + b"00\0"


def parse_long(data: bytes) -> int | None:
    """Return the seconds since 1970 that 17 bytes say, None where they are no date or unset."""
    digits = data[:14]
    if not digits.isdigit():
        return None
    text = digits.decode("ascii")
    try:
        at = datetime.datetime(
            int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), min(int(text[12:14]), 59)
        )
    except ValueError:
        return None
    return (at - _EPOCH) // _SECOND - _zone(data[16])
