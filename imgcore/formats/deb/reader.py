"""Reads Debian packages: control.tar at once, data.tar when the tree is looked at; each is undone into a temporary file."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Iterator

from imgcore.blob import Blob, SliceBlob, Spool, read_chunks
from imgcore.codec import HEAD_SIZE, detect_stream
from imgcore.codec.bounded import bounded_stream
from imgcore.errors import Corrupt, ImgcoreError, NotThisFormat, Unsupported, context, show
from imgcore.events import Control
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.deb.layout import AR_MAGIC, ArHeader, Member, members
from imgcore.formats.deb.package import Package, read_package
from imgcore.formats.tar.reader import TarImage
from imgcore.limits import Limits
from imgcore.model import Tree

__all__ = ["DebImage", "open_image"]

_STREAMS = {b"": None, b".gz": "gzip", b".xz": "xz", b".zst": "zstd", b".bz2": "bzip2", b".lzma": "lzma"}
_CHUNK = 256 << 10
_WANTED = 3


def open_image(blob: Blob, limits: Limits | None = None) -> DebImage:
    """Return the package in `blob`. Raises NotThisFormat, Corrupt, Unsupported, LimitExceeded."""
    return DebImage(blob, limits or Limits.default())


class DebImage(BlobImage):
    """An open package; see `formats.base.Image`.

    Attributes:
        package: what it is: fields, scripts, configuration files.
        members: those of the ar archive.
        control: the tree of control.tar.
    """

    def __init__(self, blob: Blob, limits: Limits) -> None:
        self.blob = blob
        self.limits = limits
        self._lock = threading.Lock()
        self._data: TarImage | ImgcoreError | None = None
        self._spools: list[Spool] = []
        self._closed = False
        self.members = self._first_three()
        try:
            self.control: Tree = self._tar(self.members[1], b"control.tar").tree
            self.package: Package = read_package(self.control, limits)
            self._data_member = self._find_data()
        except BaseException:
            self._close_spools()
            raise

    def _first_three(self) -> list[Member]:
        """Return the members that a package has; what is behind them nobody reads, as with dpkg. Raises as `open_image`."""
        found: list[Member] = []
        for one in members(self.blob):
            if not found:
                self._require_version(one)
            elif one.name.startswith(b"_"):
                continue
            found.append(one)
            if len(found) == _WANTED:
                return found
        if not found:
            self._require_version(None)
        raise Corrupt("package without control.tar and data.tar", offset=found[0].offset, structure="ar")

    def _require_version(self, first: Member | None) -> None:
        if first is None or first.name != b"debian-binary":
            raise NotThisFormat("an ar archive, but no Debian package", offset=len(AR_MAGIC), structure="ar", field="ar_name")
        version = self.blob.read_at(first.data, min(first.size, 16))
        if not version.startswith(b"2."):
            raise Unsupported(
                "Debian package of another version", offset=first.data, structure="debian-binary", found=show(version.strip())
            )

    def _find_data(self) -> Member:
        member = self.members[2]
        self._stream(member, b"data.tar")
        return member

    def _stream(self, member: Member, name: bytes) -> str | None:
        """Return how a member is compressed, None where it is not. Raises Corrupt when it is not the one called `name`."""
        suffix = member.name.removeprefix(name)
        if not member.name.startswith(name) or suffix not in _STREAMS:
            raise Corrupt(
                f"no {name.decode()} where it has to be",
                offset=member.offset,
                structure="ArHeader",
                field="ar_name",
                found=show(member.name),
            )
        return _STREAMS[suffix]

    def _tar(self, member: Member, name: bytes) -> TarImage:
        """Return the tar in a member. Offsets in errors are those in the unpacked tar."""
        stream = self._stream(member, name)
        packed = SliceBlob(self.blob, member.data, member.size)
        if stream is None:
            return self._opened(packed, member, name)
        found = detect_stream(packed.read_at(0, HEAD_SIZE))
        if found != stream:
            raise Corrupt(
                f"{name.decode()} is not compressed as its name says",
                offset=member.data,
                structure=name.decode(),
                found=found or "none",
                allowed=stream,
            )
        spool = Spool()
        self._spools.append(spool)
        for data in bounded_stream(stream, read_chunks(packed, _CHUNK), self.limits, start=member.data):
            spool.append(data)
            self.limits.require("max_stream", spool.size)
        return self._opened(spool.seal(), member, name)

    def _opened(self, blob: Blob, member: Member, name: bytes) -> TarImage:
        with context(structure=name.decode()):
            try:
                return TarImage(blob, self.limits)
            except NotThisFormat:
                raise Corrupt(f"{name.decode()} is no tar", offset=member.data) from None

    def _files(self) -> TarImage:
        """Return data.tar, undone once."""
        with self._lock:
            if self._data is None:
                if self._closed:
                    raise ValueError("the package was closed")
                try:
                    self._data = self._tar(self._data_member, b"data.tar")
                except ImgcoreError as error:
                    self._data = copy.copy(error)
                    raise
            if isinstance(self._data, ImgcoreError):
                raise copy.copy(self._data)
            return self._data

    @property
    def tree(self) -> Tree:
        """The files of the package. Raises Corrupt, Unsupported, LimitExceeded, OutputError."""
        return self._files().tree

    def info(self) -> dict[str, object]:
        """Return what the package says of itself as plain values."""
        package = self.package
        return {
            "name": package.name,
            "version": package.version,
            "arch": package.arch,
            "control": self._stream(self.members[1], b"control.tar") or "none",
            "data": self._stream(self._data_member, b"data.tar") or "none",
            "fields": {name: show(value.replace("\n", "")) for name, value in package.fields.items()},
            "conffiles": [show(b"/" + path) for path in package.conffiles],
            "scripts": [script.name for script in package.scripts],
            "triggers": [show(line) for line in package.triggers],
            "file_size": self.blob.size,
        }

    def layout(self) -> Iterator[LayoutItem]:
        """Yield the members of the ar archive."""
        yield LayoutItem(0, len(AR_MAGIC), "magic", "")
        with contextlib.suppress(Corrupt):  # of what is behind the package; `check` tells
            for member in members(self.blob):
                yield LayoutItem(member.offset, ArHeader.SIZE, "ArHeader", show(member.name))
                yield LayoutItem(member.data, member.size, "content", "")

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the format's rules."""
        from imgcore.formats.deb.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())

    def _close_spools(self) -> None:
        for spool in self._spools:
            spool.close()

    def close(self) -> None:
        """Remove what was unpacked, and close the blob if it can be closed."""
        with self._lock:
            self._closed = True
            self._close_spools()
        super().close()
