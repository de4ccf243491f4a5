"""Which digests a package has, of what, and where they stand.

The header is digested as it lies in the file, by itself; the payload as it is compressed (and, for who asks, as it was
before). Old packages have one MD5 of both. Of the payload's digests the one that is computed quickest comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from imgcore.blob import Blob, read_chunks
from imgcore.errors import VerificationFailed
from imgcore.formats.rpm.header import Header
from imgcore.formats.rpm.layout import SigTag, Tag
from imgcore.values import value_class

if TYPE_CHECKING:
    from _hashlib import HASH

__all__ = ["Digest", "digest_of", "file_algorithm", "header_digests", "payload_digests", "unpacked_digests"]

_ALGORITHMS: Final = {  # as OpenPGP numbers them
    1: "md5",
    2: "sha1",
    8: "sha256",
    9: "sha384",
    10: "sha512",
    11: "sha224",
    12: "sha3_256",
    14: "sha3_512",
}


def file_algorithm(number: int) -> str | None:
    """Return the name of the algorithm of files' digests, None for one that is not known here."""
    return _ALGORITHMS.get(number)


@value_class
class Digest:
    """A digest that a header has: its algorithm, its value, what it is of, and where it stands."""

    algorithm: str
    value: str
    what: str
    offset: int
    structure: str
    field: str
    with_header: bool = False

    def start(self, header: Header) -> HASH:
        """Return the hash, to be fed with the payload."""
        total = hashlib.new(self.algorithm, usedforsecurity=False)
        if self.with_header:
            for data in read_chunks(header.raw()):
                total.update(data)
        return total

    def error(self, found: str) -> VerificationFailed:
        """Return the error that something else was found."""
        return VerificationFailed(
            f"{self.what} does not fit its digest",
            offset=self.offset,
            structure=self.structure,
            field=self.field,
            found=found,
            allowed=self.value,
        )

    def require(self, found: str) -> None:
        """Raise VerificationFailed unless `found` is the digest."""
        if found != self.value.lower():
            raise self.error(found)


def digest_of(digest: Digest, blob: Blob, header: Header) -> str:
    """Return the digest that a blob really has."""
    total = digest.start(header)
    for data in read_chunks(blob):
        total.update(data)
    return total.hexdigest()


def _texts(header: Header, algorithm: str, what: str, tag: SigTag | Tag) -> Iterator[Digest]:
    value = header.text(tag)
    if value or (value is not None and isinstance(tag, SigTag)):  # an empty one fits nothing
        yield Digest(algorithm, value, what, header.place(tag), header.name, tag.name)


def header_digests(signature: Header) -> list[Digest]:
    """Return the digests of the main header."""
    found: list[Digest] = []
    for algorithm, tag in (("sha256", SigTag.SHA256), ("sha1", SigTag.SHA1), ("sha3_256", SigTag.SHA3_256)):
        found += _texts(signature, algorithm, "header", tag)
    return found


def payload_digests(signature: Header, header: Header) -> list[Digest]:
    """Return the digests of the payload as it is in the package, the quickest first."""
    name = file_algorithm(header.number(Tag.PAYLOADSHA256ALGO) or 8)
    found: list[Digest] = []
    if name is not None:
        found += _texts(header, name, "payload", Tag.PAYLOADSHA256)
    found += _texts(header, "sha512", "payload", Tag.PAYLOADSHA512)
    found += _texts(header, "sha3_256", "payload", Tag.PAYLOADSHA3_256)
    md5 = signature.binary(SigTag.MD5)
    if md5 is not None:
        place = signature.place(SigTag.MD5)
        found.append(Digest("md5", md5.hex(), "header with the payload", place, signature.name, "MD5", with_header=True))
    return found


def unpacked_digests(header: Header) -> list[Digest]:
    """Return the digests of the payload before it was compressed."""
    name = file_algorithm(header.number(Tag.PAYLOADSHA256ALGO) or 8)
    found: list[Digest] = []
    if name is not None:
        found += _texts(header, name, "unpacked payload", Tag.PAYLOADSHA256ALT)
    found += _texts(header, "sha512", "unpacked payload", Tag.PAYLOADSHA512ALT)
    found += _texts(header, "sha3_256", "unpacked payload", Tag.PAYLOADSHA3_256ALT)
    return found
