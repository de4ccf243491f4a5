"""`check`: what is wrong with an RPM package: its structure, every digest that it has, its sizes, the payload's members."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from imgcore.blob import Blob, SliceBlob
from imgcore.errors import Corrupt, FormatError, NotThisFormat, Unsupported, VerificationFailed
from imgcore.events import Control
from imgcore.formats.archive import finding_of
from imgcore.formats.base import Finding
from imgcore.formats.rpm.digests import digest_of, file_algorithm, header_digests, payload_digests, unpacked_digests
from imgcore.formats.rpm.layout import SigTag, Tag
from imgcore.formats.rpm.reader import RpmImage
from imgcore.limits import Limits
from imgcore.model import Accounts

__all__ = ["check_blob"]


def check_blob(blob: Blob, limits: Limits, control: Control) -> Iterator[Finding]:
    """Yield every finding; raises NotThisFormat when there is no package at all, LimitExceeded, SourceError, Cancelled."""
    control.check()
    try:
        image = RpmImage(blob, limits, Accounts(), verify=False)
    except NotThisFormat:
        raise
    except FormatError as error:
        yield finding_of(error, "unsupported" if isinstance(error, Unsupported) else "header")
        return
    with contextlib.closing(image.payload):
        yield from _digests(image, blob, control)
        try:
            unpacked = image.payload.unpacked()
        except FormatError as error:
            yield finding_of(error, "payload" if isinstance(error, Corrupt) else "unsupported")
            return
        yield from _contents(image, unpacked, control)


def _digests(image: RpmImage, blob: Blob, control: Control) -> Iterator[Finding]:
    header = image.header
    payload = SliceBlob(blob, header.end, blob.size - header.end)
    packed = payload_digests(image.signature, header)
    for rule, digests, what in (
        ("header-digest", header_digests(image.signature), header.raw()),
        ("payload-digest", packed, payload),
    ):
        for digest in digests:
            control.check()
            found = digest_of(digest, what, header)
            if found != digest.value.lower():
                yield finding_of(digest.error(found), rule)
    if not header_digests(image.signature) and not packed:
        yield Finding("no-digest", "warning", "package without any digest", structure="signature header")
    said = image.signature.number(SigTag.LONGSIZE, SigTag.SIZE)
    have = blob.size - header.start
    if said is None:
        said, have = header.number(Tag.PAYLOADSIZE), payload.size
    if said is not None and said != have:
        yield Finding("size", "warning", "package has another size", structure="package", found=f"{have}", allowed=f"{said}")


def _contents(image: RpmImage, unpacked: Blob, control: Control) -> Iterator[Finding]:
    header = image.header
    for digest in unpacked_digests(header):
        control.check()
        found = digest_of(digest, unpacked, header)
        if found != digest.value.lower():
            yield finding_of(digest.error(found), "unpacked-digest")
    said = image.signature.number(SigTag.LONGARCHIVESIZE, SigTag.PAYLOADSIZE)
    if said is None:
        said = header.number(Tag.PAYLOADSIZEALT)
    if said is not None and said != unpacked.size:
        message = "unpacked payload has another size"
        yield Finding("unpacked-size", "warning", message, structure="payload", found=f"{unpacked.size}", allowed=f"{said}")
    if file_algorithm(image.package.digest_algorithm) is None and any(file.digest for file in image.package.files):
        message = "files' digests of an unknown algorithm"
        found = str(image.package.digest_algorithm)
        yield Finding("unknown-algorithm", "warning", message, structure="header", field="FILEDIGESTALGO", found=found)
    for number, found in image.payload.wrong_digests():
        control.check()
        error = VerificationFailed(
            "content of a file does not fit its digest",
            path=image.package.files[number].path,
            offset=header.place(Tag.FILEDIGESTS),
            structure="header",
            field="FILEDIGESTS",
            found=found,
            allowed=image.package.files[number].digest,
        )
        yield finding_of(error, "file-digest")
