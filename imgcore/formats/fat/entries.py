"""Directory entries: times, the bytes of one name with its long form, and the names in the bytes of a directory."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final, NamedTuple

from imgcore.formats.fat.layout import ATTR_DIR, ATTR_LABEL, ATTR_LONG, ATTR_READ_ONLY, ENTRY, DirEntry, LongEntry
from imgcore.formats.fat.names import Named, checksum, long_entries, long_text, short_text

__all__ = ["Entry", "dot_entries", "entries_of", "entry_bytes", "label_entry", "pack_time", "unpack_time"]

_EPOCH: Final = datetime.datetime(1970, 1, 1)
_SECOND: Final = datetime.timedelta(seconds=1)


class Entry(NamedTuple):
    """One name of a directory: `record` is its 8.3 entry, `at` and `end` where its entries lie in the directory's bytes."""

    name: bytes
    record: DirEntry
    at: int
    end: int

    @property
    def cluster(self) -> int:
        """The first cluster, 0 for none."""
        return self.record.cluster_high << 16 | self.record.cluster_low

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return bool(self.record.attributes & ATTR_DIR)

    @property
    def is_label(self) -> bool:
        """Whether it is the volume's label, which is no name."""
        return bool(self.record.attributes & ATTR_LABEL)


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


def entries_of(data: bytes, orphans: list[int] | None = None) -> Iterator[Entry]:
    """Yield the names in a directory's bytes, the label among them, `.` and `..` left out.

    `orphans` gets the places of long names that belong to no short one, which are passed over.
    """
    if orphans is None:
        orphans = []
    long: list[LongEntry] = []
    begin = 0
    for at in range(0, len(data) - ENTRY + 1, ENTRY):
        first = data[at]
        if first in (0, 0xE5):
            if long:
                orphans.append(begin)
            if first == 0:
                return
            long = []
            continue
        attributes = data[at + 11]
        if attributes & 0x3F == ATTR_LONG:
            entry = LongEntry.unpack_from(data, at)
            if entry.order & 0x40:
                if long:
                    orphans.append(begin)
                long, begin = [entry], at
            elif long and entry.order == (long[-1].order & 0x3F) - 1 and entry.checksum == long[0].checksum:
                long.append(entry)
            else:
                orphans.append(begin if long else at)
                long = []
            continue
        record = DirEntry.unpack_from(data, at)
        name = None
        if long and long[-1].order & 0x3F == 1 and long[0].checksum == checksum(record.name):
            name = long_text(long)
        if long and name is None:
            orphans.append(begin)
        start = begin if name is not None else at
        long = []
        if record.name in (b".".ljust(11), b"..".ljust(11)):
            continue
        yield Entry(name if name is not None else short_text(record.name, record.case), record, start, at + ENTRY)
    if long:
        orphans.append(begin)
