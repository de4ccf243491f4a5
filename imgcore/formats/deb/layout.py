"""How a Debian package lies on disk: an ar archive of three members, of which two are tars. Numbers are decimal text.

The first member is `debian-binary`, whose content begins with `2.`; then `control.tar` and `data.tar` follow, compressed or
not, as their suffix says. Members whose names begin with `_` are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

from imgcore.blob import Blob
from imgcore.errors import Corrupt, NotThisFormat
from imgcore.wire import Record, raw, record

__all__ = ["AR_MAGIC", "RECORDS", "ArHeader", "Member", "members"]

AR_MAGIC: Final = b"!<arch>\n"
_FEW: Final = 64  # members that are looked at; three are needed


@record("<", spec="ar, common form")
class ArHeader(Record):
    """The header of a member: text that is filled up with blanks."""

    ar_name: Annotated[bytes, raw(16)]
    ar_date: Annotated[bytes, raw(12)]
    ar_uid: Annotated[bytes, raw(6)]
    ar_gid: Annotated[bytes, raw(6)]
    ar_mode: Annotated[bytes, raw(8)]
    ar_size: Annotated[bytes, raw(10)]
    ar_fmag: Annotated[bytes, raw(2)]


RECORDS: Final = (ArHeader,)


class Member(NamedTuple):
    """A member; `offset` is where its header is, `data` and `size` are its content."""

    name: bytes
    offset: int
    data: int
    size: int


def members(blob: Blob) -> Iterator[Member]:
    """Yield the members of the ar archive. Raises NotThisFormat, Corrupt."""
    if blob.read_at(0, len(AR_MAGIC)) != AR_MAGIC:
        raise NotThisFormat("not an ar archive", offset=0, structure="ar", field="magic")
    at, count = len(AR_MAGIC), 0
    while at < blob.size:
        head = ArHeader.unpack_from(blob.read_at(at, ArHeader.SIZE), base=at)
        digits = head.ar_size.rstrip(b" ")
        if head.ar_fmag != b"`\n" or not digits.isdigit():
            field = "ar_fmag" if head.ar_fmag != b"`\n" else "ar_size"
            raise Corrupt("no header of a member", offset=at, structure="ArHeader", field=field, found=repr(digits)[2:-1])
        data, size = at + ArHeader.SIZE, int(digits)
        if size > blob.size - data:
            raise Corrupt(
                "member is cut: the archive ends before its content does",
                offset=at,
                structure="ArHeader",
                field="ar_size",
                found=f"{blob.size - data} bytes",
                allowed=f"{size} bytes",
            )
        yield Member(head.ar_name.rstrip(b" ").removesuffix(b"/"), at, data, size)
        at = data + size + size % 2
        count += 1
        if count == _FEW:
            raise Corrupt("more members than a package has", offset=at, structure="ArHeader", allowed=f"at most {_FEW}")
