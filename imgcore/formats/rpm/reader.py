"""Reads RPM packages: the tree is what the header says, the contents come from the payload when one is asked for.

So names, modes and dependencies cost no decompression. Owners are names; who opens a package says which numbers they have
(`accounts`), and an owner that is not known becomes root, with a warning. The package's own sysusers.d counts too, once
`with_accounts` was called with what the other packages and the target know.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from typing import Final

from imgcore.blob import EMPTY, Blob
from imgcore.errors import Corrupt, NotThisFormat, show
from imgcore.events import Control
from imgcore.formats.archive import TreeBuilder, member_path
from imgcore.formats.base import Finding, LayoutItem
from imgcore.formats.common import BlobImage
from imgcore.formats.rpm.digests import digest_of, header_digests
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import LEAD_MAGIC, FileFlag, Lead, SigTag, Tag
from imgcore.formats.rpm.package import Package, PackageFile, read_package
from imgcore.formats.rpm.payload import Payload, PayloadFile
from imgcore.limits import Limits
from imgcore.model import NO_XATTRS, Accounts, Device, File, Meta, Node, Pipe, Socket, Symlink, Tree
from imgcore.model.filecaps import capability_value

__all__ = ["RpmImage", "open_image"]

_SECOND: Final = 10**9
_SHOWN: Final = (FileFlag.CONFIG, FileFlag.GHOST, FileFlag.MISSINGOK)


def open_image(blob: Blob, limits: Limits | None = None, *, accounts: Accounts | None = None, verify: bool = True) -> RpmImage:
    """Return the package in `blob`. Raises NotThisFormat, Corrupt, Unsupported, VerificationFailed, LimitExceeded.

    `accounts` says which numbers the owners have. Without `verify` no digest is looked at.
    """
    return RpmImage(blob, limits or Limits.default(), accounts or Accounts(), verify)


class RpmImage(BlobImage):
    """An open package; see `formats.base.Image`.

    Attributes:
        package: what it is: names, dependencies, scriptlets, files.
        tree: its files, without those that are only claimed (`%ghost`).
        warnings: what was not as it should be, owners that are not known above all.
    """

    def __init__(self, blob: Blob, limits: Limits, accounts: Accounts, verify: bool = True) -> None:
        self.blob = blob
        self.limits = limits
        head = blob.read_at(0, Lead.SIZE)
        if head[:4] != LEAD_MAGIC:
            raise NotThisFormat("not an RPM package", offset=0, structure="Lead", field="magic", found=head[:4].hex(" "))
        Lead.unpack_from(head)
        self.signature = Header(blob, Lead.SIZE, limits, signature=True)
        self.header = Header(blob, -(-self.signature.end // 8) * 8, limits)
        self._require_size()
        if verify:
            for digest in header_digests(self.signature):
                digest.require(digest_of(digest, self.header.raw(), self.header))
        self.package: Package = read_package(self.header)
        self.payload = Payload(blob, self.signature, self.header, self.package, limits, verify)
        self._require_same_links()
        self.tree, self.warnings = self.with_accounts(accounts)

    def _require_size(self) -> None:
        """Raise Corrupt for a package that was cut."""
        size = self.blob.size
        for header, tags, start in (
            (self.signature, (SigTag.LONGSIZE, SigTag.SIZE), self.header.start),
            (self.header, (Tag.PAYLOADSIZE,), self.header.end),
        ):
            said = header.number(*tags)
            if said is not None and size - start < said:
                tag = next(tag for tag in tags if tag in header)
                raise header.wrong(tag, "package is cut", found=f"{size - start} bytes", allowed=f"{said} bytes")

    def _require_same_links(self) -> None:
        """Raise Corrupt for names of one file of which the header says different things."""
        files = self.package.files
        for number, group in self.payload.links.items():
            one, first = files[number], files[group[0]]
            if (one.size, one.digest) != (first.size, first.digest):
                raise Corrupt(
                    "hard links with different contents",
                    path=one.path,
                    offset=self.header.place(Tag.FILEINODES),
                    structure="header",
                    field="FILEINODES",
                    found=show(first.path),
                )

    def with_accounts(self, accounts: Accounts) -> tuple[Tree, tuple[str, ...]]:
        """Return (the tree whose owners have these numbers, what is to be warned of). Raises Corrupt, LimitExceeded."""
        return _TreeMaker(self, accounts).made()

    def info(self) -> dict[str, object]:
        """Return what the package says of itself as plain values."""
        package = self.package
        values: dict[str, object] = {
            "name": package.name,
            "epoch": package.epoch,
            "version": package.version,
            "release": package.release,
            "arch": package.arch,
            "package_format": package.format,
            "summary": package.summary,
            "license": package.license,
            "vendor": package.vendor or None,
            "source_rpm": package.source_rpm or None,
            "build_time": package.build_time,
            "payload": self.payload.stream or "none",
            "installed_size": package.size,
            "files": len(package.files),
            "flagged_files": [
                f"{show(file.path)} ({' '.join(file.flag_names)})"
                for file in package.files
                if any(file.flags & flag for flag in _SHOWN)
            ],
            "scriptlets": [f"{one.name} ({show(' '.join(one.program))})" for one in package.scriptlets],
        }
        for name in ("provides", "requires", "conflicts", "obsoletes", "recommends", "suggests", "supplements", "enhances"):
            values[name] = [show(str(one)) for one in getattr(package, name)]
        values["warnings"] = list(self.warnings)
        return values | {"file_size": self.blob.size}

    def layout(self) -> Iterator[LayoutItem]:
        """Yield lead, both headers with the place of each tag's values, and the payload."""
        yield LayoutItem(0, Lead.SIZE, "Lead", "")
        for header in (self.signature, self.header):
            yield LayoutItem(header.start, header.end - header.start, header.name, f"{len(header.entries)} entries")
            for offset, name, value in header.describe():
                yield LayoutItem(offset, 0, f"  {name}", value)
        if self.signature.end < self.header.start:
            yield LayoutItem(self.signature.end, self.header.start - self.signature.end, "padding", "")
        end = self.header.end
        yield LayoutItem(end, self.blob.size - end, "payload", self.payload.stream or "none")

    def check(self, control: Control | None = None) -> Iterator[Finding]:
        """Yield every violation of the format's rules."""
        from imgcore.formats.rpm.check import check_blob

        return check_blob(self.blob, self.limits, control or Control())

    def close(self) -> None:
        """Remove what was unpacked, and close the blob if it can be closed."""
        self.payload.close()
        super().close()


class _TreeMaker:
    """Makes the tree of a package with the numbers of its owners."""

    def __init__(self, image: RpmImage, accounts: Accounts) -> None:
        self._image = image
        self._accounts = accounts
        self._offset = image.header.place(Tag.BASENAMES)
        self._warnings: dict[str, None] = {}

    def made(self) -> tuple[Tree, tuple[str, ...]]:
        """Return the tree and the warnings."""
        image = self._image
        builder = TreeBuilder(image.limits, "header")
        seen: set[tuple[bytes, ...]] = set()
        shared: dict[int, Node] = {}
        for number, file in enumerate(image.package.files):
            parts = member_path(file.path.removeprefix(b"/") or b".", self._offset, "header")
            if tuple(parts) in seen:
                raise Corrupt("file is in the header twice", path=file.path, offset=self._offset, structure="header")
            seen.add(tuple(parts))
            if file.is_ghost:
                continue
            builder.charge(len(file.path) + len(file.target) + len(file.caps))
            mtime_ns = file.mtime * _SECOND
            if stat.S_ISDIR(file.mode):
                builder.add_dir(parts, self._meta(file), self._offset)
                continue
            group = image.payload.links.get(number)
            if group is None:
                node = self._node(number, file)
            elif group[0] in shared:
                node = shared[group[0]]
            else:  # as rpm: what the last name says of modes and owners holds for all
                node = shared[group[0]] = self._node(group[-1], image.package.files[group[-1]])
            builder.add(parts, node, self._offset, mtime_ns)
        return builder.finish(_SECOND), tuple(self._warnings)

    def _meta(self, file: PackageFile) -> Meta:
        ids = []
        for kind, name, found in (
            ("user", file.user, self._accounts.uid(file.user)),
            ("group", file.group, self._accounts.gid(file.group)),
        ):
            if found is None:
                self._warnings[f"{kind} `{show(name)}` is not known: root instead"] = None
            ids.append(found or 0)
        xattrs = NO_XATTRS
        if file.caps and stat.S_ISREG(file.mode):
            try:
                xattrs = {b"security.capability": capability_value(file.caps)}
            except ValueError as error:
                raise self._image.header.wrong(
                    Tag.FILECAPS, f"file capabilities that are none: {show(str(error))}", found=show(file.path)
                ) from None
        return Meta(file.mode & 0o7777, ids[0], ids[1], file.mtime * _SECOND, xattrs)

    def _node(self, number: int, file: PackageFile) -> Node:
        meta, kind = self._meta(file), stat.S_IFMT(file.mode)
        if kind == stat.S_IFREG:
            self._image.limits.require("max_file_size", file.size)
            return File(meta, PayloadFile(self._image.payload, number, file.size) if file.size else EMPTY)
        if kind == stat.S_IFLNK:
            self._image.limits.require("max_path", len(file.target))
            return Symlink(meta, file.target)
        if kind == stat.S_IFIFO:
            return Pipe(meta)
        if kind == stat.S_IFSOCK:
            return Socket(meta)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            return Device(meta, "char" if kind == stat.S_IFCHR else "block", file.rdev >> 8 & 0xFF, file.rdev & 0xFF)
        raise Corrupt(
            "file of no type that there is",
            path=file.path,
            offset=self._image.header.place(Tag.FILEMODES),
            structure="header",
            field="FILEMODES",
            found=f"{file.mode:#o}",
        )
