"""Reads a header of an RPM package: tags and their values, which are decoded when they are asked for.

Entries are checked when the header is opened, as rpm checks them (lib/header.c: hdrblobVerifyInfo): their types, that their
values lie inside of the store, one behind the other, that no tag comes twice. Strings end in the store, at the latest where the
values of another entry begin.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from typing import Final

from imgcore.blob import Blob, SliceBlob
from imgcore.errors import Corrupt, NotThisFormat
from imgcore.formats.rpm.layout import HEADER_MAGIC, HeaderIntro, IndexEntry, Kind, SigTag, Tag
from imgcore.limits import Limits

__all__ = ["Header", "tag_name"]

_WIDTHS: Final = {Kind.CHAR: 1, Kind.INT8: 1, Kind.INT16: 2, Kind.INT32: 4, Kind.INT64: 8, Kind.BIN: 1}
_CODES: Final = {Kind.CHAR: "B", Kind.INT8: "B", Kind.INT16: "H", Kind.INT32: "I", Kind.INT64: "Q"}
_TEXTS: Final = frozenset((Kind.STRING, Kind.STRING_ARRAY, Kind.I18NSTRING))
_VALUE_COST: Final = 64  # bytes that one decoded value takes
_NAMES: Final = {False: {int(tag): tag.name for tag in Tag}, True: {int(tag): tag.name for tag in SigTag}}
_LEAST_TAG: Final = 100
_MOST_TAG: Final = 0x7FFFFFFF
_SIGNATURE_VALUES: Final[dict[int, tuple[Kind, int]]] = {  # rpm, lib/rpmvs.c: rpmvfytags
    SigTag.SIZE: (Kind.INT32, 1),
    SigTag.LONGSIZE: (Kind.INT64, 1),
    SigTag.PAYLOADSIZE: (Kind.INT32, 1),
    SigTag.LONGARCHIVESIZE: (Kind.INT64, 1),
    SigTag.MD5: (Kind.BIN, 16),
    SigTag.SHA1: (Kind.STRING, 1),
    SigTag.SHA256: (Kind.STRING, 1),
}
_REGIONS: Final = range(61, 64)  # entries that tell of the header as a whole


def tag_name(tag: int, *, signature: bool = False) -> str:
    """Return what rpm calls a tag, its number where it is not one that is read."""
    return _NAMES[signature].get(tag, str(tag))


class Header:
    """A header structure of a package.

    Attributes:
        start, end: where it lies in the package; what fills a signature header up is behind the end.
        name: "signature header" or "header", for errors.
    """

    def __init__(self, blob: Blob, start: int, limits: Limits, *, signature: bool = False) -> None:
        self.name = "signature header" if signature else "header"
        self.start = start
        self._signature = signature
        self._region = SigTag.HEADERSIGNATURES if signature else Tag.HEADERIMMUTABLE
        self._limits = limits
        self._held = 0
        self._used = 0  # where the values of the last entry end that was looked at
        head = blob.read_at(start, HeaderIntro.SIZE)
        if head[:8] != HEADER_MAGIC + bytes(4):
            if not signature:
                raise Corrupt("no header where one has to be", offset=start, structure="HeaderIntro", field="magic")
            raise NotThisFormat("not an RPM package: no signature header", offset=start, structure="HeaderIntro", field="magic")
        intro = HeaderIntro.unpack_from(head, base=start)
        self._data_at = start + HeaderIntro.SIZE + intro.il * IndexEntry.SIZE
        self.end = self._data_at + intro.dl
        if self.end > blob.size:
            raise Corrupt(
                f"{self.name} is cut",
                offset=start,
                structure="HeaderIntro",
                field="dl",
                found=f"{blob.size - start} bytes",
                allowed=f"{self.end - start} bytes",
            )
        limits.require("max_metadata", self.end - start)
        index = blob.read_at(start + HeaderIntro.SIZE, intro.il * IndexEntry.SIZE)
        self._data = blob.read_at(self._data_at, intro.dl)
        self._blob = blob
        self.entries: dict[int, IndexEntry] = {}
        for number in range(intro.il):
            self._add(index, number)
        self._starts = sorted({entry.offset for entry in self.entries.values()} | {intro.dl})
        self._require_region(index)

    def _add(self, index: bytes, number: int) -> None:
        at = number * IndexEntry.SIZE
        entry = IndexEntry.unpack_from(index, at, base=self.start + HeaderIntro.SIZE)
        place = self.start + HeaderIntro.SIZE + at
        kind, problem = Kind(entry.type), None
        width = _WIDTHS.get(kind, 1)
        is_region = number == 0 and entry.tag == self._region
        if entry.tag in self.entries:
            problem = "tag", "tag comes twice"
        elif not (is_region or _LEAST_TAG <= entry.tag <= _MOST_TAG):
            problem = "tag", "no such tag"
        elif not is_region and entry.offset < self._used:
            problem = "offset", "value lies before the end of the one before it"
        elif not 0 <= entry.offset < len(self._data):
            problem = "offset", "value lies outside of the header"
        elif width in (2, 4, 8) and entry.offset % width:
            problem = "offset", "number is not aligned"
        elif not entry.count or (kind == Kind.STRING and entry.count != 1):
            problem = "count", "no such number of values"
        elif self._signature and _SIGNATURE_VALUES.get(entry.tag, (kind, entry.count)) != (kind, entry.count):
            problem = "type", "value of another type or number"
        elif kind != Kind.NULL and entry.count * width > len(self._data) - entry.offset:
            problem = "count", "values do not fit into the header"
        if problem is not None:
            field, message = problem
            raise Corrupt(
                message,
                offset=place,
                structure="IndexEntry",
                field=field,
                found=f"{getattr(entry, field)} of tag {self.tag_name(entry.tag)}",
                allowed=f"a header of {len(self._data)} bytes",
            )
        self.entries[entry.tag] = entry
        if not is_region:
            self._used = entry.offset + entry.count * width
            if self._signature and kind == Kind.STRING:  # there are few; of the main header's nobody wants to look at all
                self._used = self._data.find(b"\0", entry.offset) + 1 or len(self._data) + 1

    def _require_region(self, index: bytes) -> None:
        """Raise Corrupt where the first entry says that a part of the header belongs together, and its trailer does not.

        Of a main header that part is all of it. Source: rpm, lib/header.c: hdrblobVerifyRegion.
        """
        own = self._region
        first = IndexEntry.unpack_unchecked(index)
        if first.tag != own:
            return
        if (first.type, first.count) != (Kind.BIN, IndexEntry.SIZE):
            raise self.wrong(own, "region of another type", found=f"{Kind(first.type).name} {first.count}", allowed="BIN 16")
        trailer = IndexEntry.unpack_unchecked(self._data, first.offset)
        tags = (own, Tag.HEADERIMAGE) if self._signature else (own,)  # as old packages have it
        if trailer.tag not in tags or (trailer.type, trailer.count) != (Kind.BIN, IndexEntry.SIZE):
            raise self.wrong(own, "region without its trailer", found=f"tag {trailer.tag}, type {trailer.type}")
        for tag, entry in self.entries.items():
            end = entry.offset + entry.count * _WIDTHS.get(Kind(entry.type), 1)
            if entry.offset < first.offset < end:
                raise self.wrong(tag, "values reach into the trailer of the region", found=f"up to {end}", allowed=first.offset)
        entries, rest = divmod(-trailer.offset, IndexEntry.SIZE)
        size, most = first.offset + IndexEntry.SIZE, len(index) // IndexEntry.SIZE
        if rest or not 0 <= entries <= most or (not self._signature and (entries, size) != (most, len(self._data))):
            found, allowed = f"{entries} entries, {size} bytes", f"{most} entries, {len(self._data)} bytes"
            raise self.wrong(own, "region is not the header", found=found, allowed=allowed)

    def tag_name(self, tag: int) -> str:
        """Return what rpm calls a tag."""
        return tag_name(tag, signature=self._signature)

    def raw(self) -> SliceBlob:
        """Return the bytes of the whole header, which digests are made of."""
        return SliceBlob(self._blob, self.start, self.end - self.start)

    def place(self, tag: int) -> int:
        """Return where the values of a tag lie in the package; of one that is not there, where the header begins."""
        return self.start if tag not in self.entries else self._data_at + self.entries[tag].offset

    def wrong(self, tag: int, message: str, *, found: object = None, allowed: object = None) -> Corrupt:
        """Return the error that the values of a tag are wrong."""
        return Corrupt(
            message, offset=self.place(tag), structure=self.name, field=self.tag_name(tag), found=found, allowed=allowed
        )

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def _entry(self, tag: int, kinds: frozenset[Kind]) -> IndexEntry | None:
        entry = self.entries.get(tag)
        if entry is None:
            return None
        if entry.type not in kinds:
            allowed = " or ".join(sorted(kind.name for kind in kinds))
            raise self.wrong(tag, "value of another type", found=Kind(entry.type).name, allowed=allowed)
        self.charge(entry.count * _VALUE_COST)
        return entry

    def charge(self, size: int) -> None:
        """Count bytes that are made of the header. Raises LimitExceeded."""
        self._held += size
        self._limits.require("max_metadata", self._held)

    def require_path(self, size: int) -> None:
        """Raise LimitExceeded for a path that is too long, and count its bytes."""
        self._limits.require("max_path", size)
        self.charge(size)

    def texts(self, tag: int) -> list[bytes]:
        """Return the strings of a tag, none where it is not there. Raises Corrupt."""
        entry = self._entry(tag, _TEXTS)
        if entry is None:
            return []
        end = self._starts[bisect.bisect_right(self._starts, entry.offset)]
        parts = self._data[entry.offset : end].split(b"\0", entry.count)
        if len(parts) <= entry.count:
            raise self.wrong(tag, "string without an end", found=f"{len(parts) - 1} of {entry.count} strings")
        return parts[: entry.count]

    def text(self, tag: int) -> str | None:
        """Return the first string of a tag, None where it is not there. Bytes that are no UTF-8 are surrogates."""
        found = self.texts(tag)
        return found[0].decode("utf-8", "surrogateescape") if found else None

    def numbers(self, tag: int) -> list[int]:
        """Return the numbers of a tag, none where it is not there. Raises Corrupt."""
        entry = self._entry(tag, frozenset(_CODES))
        if entry is None:
            return []
        return list(struct.unpack_from(f">{entry.count}{_CODES[Kind(entry.type)]}", self._data, entry.offset))

    def number(self, *tags: int) -> int | None:
        """Return the number of the first of these tags that is there."""
        for tag in tags:
            if tag in self.entries:
                return self.numbers(tag)[0]
        return None

    def binary(self, tag: int) -> bytes | None:
        """Return the bytes of a tag, None where it is not there."""
        entry = self._entry(tag, frozenset((Kind.BIN,)))
        return None if entry is None else self._data[entry.offset : entry.offset + entry.count]

    def describe(self) -> Iterator[tuple[int, str, str]]:
        """Yield (offset in the package, tag, type and number of its values) of each entry, by their place."""
        for tag, entry in sorted(self.entries.items(), key=lambda item: item[1].offset):
            if tag not in _REGIONS:
                yield self._data_at + entry.offset, self.tag_name(tag), f"{Kind(entry.type).name} {entry.count}"
