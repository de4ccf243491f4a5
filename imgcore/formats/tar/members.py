"""The members of a tar, one after another, as the headers and what stands before them say.

Nothing is kept but what the current member needs; content is skipped, not read. Every number is checked against the
archive and the limits before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from imgcore.blob import Blob
from imgcore.errors import Corrupt, ImgcoreError, NotThisFormat, Unsupported, context, show
from imgcore.formats.archive import Window
from imgcore.formats.tar.layout import (
    BLOCK,
    GNU_MAGIC,
    MAGIC,
    TYPE_NAMES,
    ZERO_BLOCK,
    Header,
    StarHeader,
    checksum_fits,
    parse_number,
    parse_pax_time,
    pax_records,
    text_of,
)
from imgcore.formats.tar.sparse import Run, check_runs, gnu_runs, pax_runs, text_runs
from imgcore.limits import Limits

__all__ = ["Ending", "Member", "MemberReader"]

Records: TypeAlias = Sequence[tuple[bytes, bytes]]
Ending: TypeAlias = Literal["zeros", "lone zero block", "no zeros"]
"""How an archive ends: as it should, with one block of zeros, or with its last member."""

_EXTRA: Final = 64 << 10  # bytes of a PAX header beside names and attributes
_NO_DATA: Final = b"123456"
_MOST_NS: Final = 1 << 63
_NUMBERS: Final = ("mode", "uid", "gid", "size", "mtime")
_NUMBERS_AT: Final = slice(100, 148)
_NUMBER_WIDTHS: Final = (7, 7, 7, 11, 11, 0)
_GLOBAL_KEYS: Final = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))


class Member(NamedTuple):
    """One member; `offset` is where its headers begin, `header` where its own one is, `data` where its content is.

    `runs` is None unless the file is sparse; `stored` are bytes of content in the archive, `size` those of the file.
    """

    offset: int
    header: int
    kind: bytes
    name: bytes
    link: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    major: int
    minor: int
    data: int
    stored: int
    size: int
    runs: list[Run] | None
    records: Records


class MemberReader:
    """Iterates over the members of a tar. Raises NotThisFormat, Corrupt, Unsupported, LimitExceeded.

    Attributes:
        end: where the archive ends, after the iteration.
        ending: how it ends.
        dialects: the kinds of headers that were met: v7, ustar, gnu, pax, star.
        fractions: whether a time with a fraction of a second was met.
    """

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self._window = Window(blob)
        self._limits = limits
        self._globals: dict[bytes, bytes] = {}
        self.end = 0
        self.ending: Ending = "no zeros"
        self.dialects: set[str] = set()
        self.fractions = False

    def __iter__(self) -> Iterator[Member]:
        window, at, size = self._window, 0, self._window.size
        while True:
            begin = at
            records, name, link, at = self._extensions(at)
            raw = window.read(at, BLOCK)
            if not raw or raw == ZERO_BLOCK[: len(raw)]:
                if records or name or link:
                    raise Corrupt("archive ends behind an extended header", offset=at, structure="Header")
                if raw:
                    self.ending = "zeros" if window.read(at + BLOCK, BLOCK) == ZERO_BLOCK else "lone zero block"
                self.end = at
                return
            member = self._member(begin, at, raw, records, name, link)
            at = member.data + -(-member.stored // BLOCK) * BLOCK
            yield member
            if at > size:  # the last one is whole, only not filled up
                self.end = size
                return

    def _header(self, at: int) -> tuple[bytes, bytes]:
        """Return (block, type) of the header at `at`; at the end (block, b"")."""
        raw = self._window.read(at, BLOCK)
        if not raw or raw == ZERO_BLOCK[: len(raw)]:
            return raw, b""
        if len(raw) < BLOCK:
            raise self._wrong(at, "header is cut", found=f"{len(raw)} bytes", allowed=f"{BLOCK}")
        if not checksum_fits(raw):
            raise self._wrong(at, "checksum of a header does not fit", field="chksum", found=repr(raw[148:156])[2:-1])
        return raw, raw[156:157]

    def _wrong(
        self, at: int, message: str, *, field: str | None = None, found: str | None = None, allowed: str | None = None
    ) -> Corrupt | NotThisFormat:
        is_tar = at > 0 or self._window.read(257, 5) == MAGIC[:5]
        kind, text = (Corrupt, message) if is_tar else (NotThisFormat, f"not a tar: {message}")
        return kind(text, offset=at, structure="Header", field=field, found=found, allowed=allowed)

    def _extensions(self, at: int) -> tuple[Records, bytes, bytes, int]:
        """Return (PAX records, long name, long link target, where the member's own header is)."""
        records: list[tuple[bytes, bytes]] = []
        name = link = b""
        held = 0
        while True:
            raw, kind = self._header(at)
            if kind not in b"xgXLKV" or not kind:
                return records, name, link, at
            size = self._number(raw[124:136], at, "size")
            if kind == b"V":
                self.dialects.add("gnu")
                at += BLOCK
                continue
            body = self._body(at, kind, size)
            if kind in (b"L", b"K"):
                self.dialects.add("gnu")
                if kind == b"L":
                    name = text_of(body)
                else:
                    link = text_of(body)
            else:
                self.dialects.add("pax")
                found = pax_records(body, at + BLOCK)
                if kind == b"g":
                    self._set_globals(found, at)
                else:
                    records += found
                    held += size
                    self._limits.require("max_xattrs", max(0, held - self._most()))
            at += BLOCK + -(-size // BLOCK) * BLOCK

    def _set_globals(self, found: Records, at: int) -> None:
        """Take what holds for all members from now on; unknown keys (a comment, say) are dropped."""
        for key, value in found:
            if key.startswith((b"GNU.sparse.", b"SCHILY.xattr.", b"LIBARCHIVE.xattr.", b"SCHILY.acl.", b"RHT.security.")):
                raise Unsupported(
                    "sparse map or attributes for all members", offset=at, structure="PAX header", found=show(key[:80])
                )
            if key in _GLOBAL_KEYS and value:
                self._globals[key] = value
            else:
                self._globals.pop(key, None)

    def _most(self) -> int:
        return 2 * self._limits.max_path + _EXTRA

    def _body(self, at: int, kind: bytes, size: int) -> bytes:
        """Return the content of an extended header, whose size is bounded."""
        with context(offset=at, structure="Header"):
            if kind in (b"L", b"K"):
                self._limits.require("max_path", max(0, size - 1))
            else:
                self._limits.require("max_xattrs", max(0, size - self._most()))
        if not 0 <= size <= self._window.size - at - BLOCK:
            raise Corrupt(
                f"{TYPE_NAMES[kind]}: member is cut",
                offset=at,
                structure="Header",
                field="size",
                found=size,
                allowed=f"at most {max(0, self._window.size - at - BLOCK)}",
            )
        return self._window.read(at + BLOCK, size)

    def _number(self, field: bytes, at: int, name: str) -> int:
        try:
            return parse_number(field)
        except ValueError as error:
            raise Corrupt(
                f"{name} of a member is no number", offset=at, structure="Header", field=name, found=repr(field)[2:-1]
            ) from error

    def _member(self, begin: int, at: int, raw: bytes, records: Records, name: bytes, link: bytes) -> Member:
        head = Header.unpack_unchecked(raw)
        dialect = self._dialect(head, raw)
        self.dialects.add(dialect)
        if not name:
            name = text_of(head.name)
            prefix = b""
            if dialect == "ustar":
                prefix = text_of(head.prefix)
            elif dialect == "star":
                prefix = text_of(StarHeader.unpack_unchecked(raw).prefix)
            if prefix:
                name = prefix + b"/" + name
        link = link or text_of(head.linkname)
        numbers = dict(zip(_NUMBERS, self._numbers(head, raw, at), strict=True))
        mtime_ns = numbers["mtime"] * 10**9
        if records or self._globals:
            if self._globals:
                records = [*self._globals.items(), *records]
            name, link, mtime_ns = self._apply(records, numbers, at, name, link, mtime_ns)
        kind = head.typeflag
        major = minor = 0
        if kind in (b"3", b"4"):
            major, minor = self._device(head, records, at)
        try:
            if abs(mtime_ns) >= _MOST_NS:
                raise self._refused("mtime", "time is out of range", mtime_ns // 10**9)
            return self._placed(
                Member(
                    begin,
                    at,
                    kind,
                    name,
                    link,
                    numbers["mode"] & 0o7777,
                    self._id(numbers["uid"], "uid"),
                    self._id(numbers["gid"], "gid"),
                    mtime_ns,
                    major,
                    minor,
                    at + BLOCK,
                    numbers["size"],
                    numbers["size"],
                    None,
                    records,
                ),
                raw,
            )
        except ImgcoreError:
            with context(path=name[:256], offset=at):
                raise

    def _numbers(self, head: Header, raw: bytes, at: int) -> list[int]:
        """Return mode, uid, gid, size and mtime. Raises Corrupt."""
        texts = raw[_NUMBERS_AT].split(b"\0")
        if tuple(map(len, texts)) == _NUMBER_WIDTHS and b"".join(texts).isdigit():  # as nearly everybody writes them
            try:
                return [int(text, 8) for text in texts[:-1]]
            except ValueError:
                pass
        return [self._number(getattr(head, name), at, name) for name in _NUMBERS]

    @staticmethod
    def _dialect(head: Header, raw: bytes) -> str:
        if head.magic == MAGIC:
            return "star" if raw[508:512] == b"tar\0" else "ustar"
        return "gnu" if head.magic == GNU_MAGIC else "v7"

    @staticmethod
    def _refused(field: str, message: str, found: object) -> Corrupt:
        return Corrupt(message, structure="Header", field=field, found=found)

    def _id(self, value: int, field: str) -> int:
        if -(1 << 31) <= value < 0:
            return value + (1 << 32)  # `nobody` as old systems had it
        if not 0 <= value < 1 << 63:
            raise self._refused(field, "owner or group is out of range", value)
        return value

    def _apply(
        self, records: Records, numbers: dict[str, int], at: int, name: bytes, link: bytes, mtime_ns: int
    ) -> tuple[bytes, bytes, int]:
        """Return (name, link target, time) under the records, which also change `numbers`; the last of a key wins."""
        for key, value in records:
            if not value:
                continue  # an empty value takes an earlier one back: what the header says holds
            try:
                if key in (b"path", b"GNU.sparse.name"):
                    name = value
                elif key == b"linkpath":
                    link = value
                elif key in (b"size", b"uid", b"gid"):
                    if not value.isdigit() or len(value) > 20:
                        raise ValueError
                    numbers[key.decode()] = int(value)
                elif key == b"mtime":
                    mtime_ns = parse_pax_time(value)
                    self.fractions = self.fractions or mtime_ns % 10**9 != 0
            except ValueError:
                raise Corrupt(
                    f"{key.decode()} of a member is no number",
                    path=name[:256],
                    offset=at,
                    structure="PAX header",
                    found=repr(value[:40])[2:-1],
                ) from None
        names = dict(records)
        if names.get(b"GNU.sparse.name"):
            name = names[b"GNU.sparse.name"]
        return name, link, mtime_ns

    def _device(self, head: Header, records: Records, at: int) -> tuple[int, int]:
        out = []
        known = dict(records)
        for name, field in (("devmajor", head.devmajor), ("devminor", head.devminor)):
            text = known.get(b"SCHILY." + name.encode(), b"")
            value = int(text) if text.isdigit() and len(text) <= 10 else self._number(field, at, name)
            if not 0 <= value < 1 << 32:
                raise Corrupt("device number is out of range", offset=at, structure="Header", field=name, found=value)
            out.append(value)
        return out[0], out[1]

    def _placed(self, member: Member, raw: bytes) -> Member:
        """Return the member with where its content is and how long; the caller says which one it is in errors."""
        kind, limits = member.kind, self._limits
        if len(member.name) > limits.max_path or len(member.link) > limits.max_path:
            limits.require("max_path", max(len(member.name), len(member.link)))
        if kind not in TYPE_NAMES:
            hint = "an archive of several volumes has to be joined first" if kind in (b"M", b"N") else None
            raise Unsupported("member of a kind that is not known", structure="Header", field="typeflag", found=kind, hint=hint)
        if member.size < 0:
            raise self._refused("size", "negative size", member.size)
        if kind in _NO_DATA:
            stored = 0
            if kind == b"1" and member.size and not self._is_header(member.data):
                stored = member.size  # some writers of PAX give each name of a file its content
            member = member._replace(stored=stored, size=0)
        elif kind == b"S":
            runs, size, data = gnu_runs(self._window, raw, member.header, limits, member.name[:256])
            member = member._replace(runs=runs, size=size, data=data)
        elif any(key.startswith(b"GNU.sparse.") for key, _ in member.records):
            member = self._pax_sparse(member)
        if member.stored > self._window.size - member.data:
            raise Corrupt(
                "member is cut: the archive ends before its content does",
                structure="Header",
                field="size",
                found=f"{max(0, self._window.size - member.data)} bytes",
                allowed=f"{member.stored} bytes",
            )
        if member.size > limits.max_file_size:
            limits.require("max_file_size", member.size)
        if member.runs is not None:
            runs = check_runs(member.runs, member.stored, member.size, member.header, member.name[:256])
            member = member._replace(runs=runs)
        return member

    def _is_header(self, at: int) -> bool:
        raw = self._window.read(at, BLOCK)
        return raw == ZERO_BLOCK or len(raw) < BLOCK or checksum_fits(raw)

    def _pax_sparse(self, member: Member) -> Member:
        """Return the member with the map of a sparse file that its PAX records tell of."""
        known = dict(member.records)
        text = known.get(b"GNU.sparse.realsize") or known.get(b"GNU.sparse.size") or b""
        if not text.isdigit() or len(text) > 20:
            raise self._refused("size", "sparse file without its size", text)
        if known.get(b"GNU.sparse.major", b"0") == b"0":
            runs = pax_runs(member.records, self._limits, member.header, member.name[:256])
            return member._replace(runs=runs, size=int(text))
        version = known[b"GNU.sparse.major"] + b"." + known.get(b"GNU.sparse.minor", b"0")
        if version != b"1.0":
            raise Unsupported(
                "sparse file of a dialect that is not known", structure="PAX header", found=version.decode("latin-1")
            )
        runs, taken = text_runs(self._window, member.data, member.stored, self._limits, member.name[:256])
        return member._replace(runs=runs, size=int(text), data=member.data + taken, stored=member.stored - taken)
