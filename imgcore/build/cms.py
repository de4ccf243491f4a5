"""The signers of a PKCS #7 (CMS) SignedData: as much of DER as that takes.

    ContentInfo { signedData, [0] SignedData { version, digests, content, [0] certificates, [1] crls, SET OF SignerInfo } }
    SignerInfo { version, { issuer, serial }, digest, [0] attributes, algorithm, signature, [1] other attributes }

Sources: RFC 5652, sections 3, 5.1 and 5.3; X.690 for DER. Every length is checked against what is left; lengths that are not
minimal or not definite are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from imgcore.errors import Corrupt
from imgcore.values import value_class

__all__ = ["SignerInfo", "read_signed_data"]

_SEQUENCE: Final = 0x30
_SET: Final = 0x31
_INTEGER: Final = 0x02
_OCTETS: Final = 0x04
_OBJECT: Final = 0x06
_FIRST: Final = 0xA0  # [0], constructed
_SECOND: Final = 0xA1
_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_MOST_SIGNERS: Final = 64


@value_class
class SignerInfo:
    """One signer.

    `issuer` is the DER of the name of who made the certificate, `digest` the object identifier of the hash. `attributes` is
    what is signed in place of the content, in DER, None without signed attributes; then `message_digest` is that of the
    content.
    """

    issuer: bytes
    serial: int
    digest: str
    signature: bytes
    attributes: bytes | None = None
    message_digest: bytes | None = None


@value_class
class _Item:
    """One value of DER: its tag, its content, and all bytes of it; `at` is where it begins."""

    tag: int
    body: bytes
    whole: bytes
    at: int


def read_signed_data(der: bytes) -> list[SignerInfo]:
    """Return the signers. Raises Corrupt."""
    outer = _only(der, 0, _SEQUENCE)
    kind, content = _some(outer, 2)
    if _object(kind) != _SIGNED_DATA:
        _bad(kind.at, f"content of type {_object(kind)}", "SignedData")
    data = _only(_body(content, _FIRST), content.at, _SEQUENCE)
    fields = [one for one in _items(data.body, data.at) if one.tag not in (_FIRST, _SECOND)]
    if len(fields) != 4:
        _bad(data.at, f"{len(fields)} fields", "4 of a SignedData")
    found: list[SignerInfo] = []
    for one in _items(_body(fields[3], _SET), fields[3].at):
        if len(found) == _MOST_SIGNERS:
            _bad(one.at, "more", f"at most {_MOST_SIGNERS} signers")
        found.append(_signer(one))
    return found


def _signer(item: _Item) -> SignerInfo:
    fields = list(_items(_body(item, _SEQUENCE), item.at))
    signed = next((one for one in fields if one.tag == _FIRST), None)
    plain = [one for one in fields if one.tag not in (_FIRST, _SECOND)]
    if len(plain) != 5:
        _bad(item.at, f"{len(plain)} fields", "5 of a SignerInfo with issuer and serial number")
    issuer, serial = _some(plain[1], 2)
    digest = next(_items(_body(plain[2], _SEQUENCE), plain[2].at), None)
    if digest is None:
        _bad(plain[2].at, "nothing", "an algorithm")
    attributes = message = None
    if signed is not None:
        attributes = bytes([_SET]) + signed.whole[1:]
        message = _message_digest(signed)
    return SignerInfo(
        issuer.whole,
        int.from_bytes(_body(serial, _INTEGER), "big", signed=True),
        _object(digest),
        _body(plain[4], _OCTETS),
        attributes,
        message,
    )


def _message_digest(signed: _Item) -> bytes:
    for one in _items(signed.body, signed.at):
        name, values = _some(one, 2)
        if _object(name) == _MESSAGE_DIGEST:
            return _body(_only(_body(values, _SET), values.at, _OCTETS), _OCTETS)
    return _bad(signed.at, "none", "a digest of the message among the signed attributes")


def _items(data: bytes, base: int) -> Iterator[_Item]:
    """Yield the values that lie one behind the other in `data`."""
    at = 0
    while at < len(data):
        start = at
        if len(data) - at < 2:
            _bad(base + at, "one byte", "a tag and a length")
        tag, length = data[at], data[at + 1]
        at += 2
        if length >= 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or len(data) - at < count:
                _bad(base + at, f"a length of {count} bytes", "1 to 4 that are there")
            length = int.from_bytes(data[at : at + count], "big")
            if length < 0x80 or length >> 8 * (count - 1) == 0:
                _bad(base + at, f"a length of {length} in {count} bytes", "the shortest form")
            at += count
        if length > len(data) - at:
            _bad(base + at, f"{length} bytes", f"at most {len(data) - at}")
        yield _Item(tag, data[at : at + length], data[start : at + length], base + start)
        at += length


def _only(data: bytes, base: int, tag: int) -> _Item:
    """Return the one value that `data` is."""
    found = list(_items(data, base))
    if len(found) != 1 or found[0].tag != tag:
        _bad(base, f"{len(found)} values", f"one with tag {tag:#x}")
    return found[0]


def _some(item: _Item, count: int) -> list[_Item]:
    """Return the values of a sequence of `count`."""
    found = list(_items(_body(item, _SEQUENCE), item.at))
    if len(found) != count:
        _bad(item.at, f"{len(found)} values", f"{count}")
    return found


def _body(item: _Item, tag: int) -> bytes:
    if item.tag != tag:
        _bad(item.at, f"tag {item.tag:#x}", f"{tag:#x}")
    return item.body


def _object(item: _Item) -> str:
    """Return an object identifier as text."""
    body = _body(item, _OBJECT)
    numbers, value = [], 0
    for byte in body:
        value = value << 7 | byte & 0x7F
        if value > 1 << 64:
            _bad(item.at, "a number", "one that fits into 64 bits")
        if byte < 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        _bad(item.at, "nothing", "an object identifier")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


def _bad(at: int, found: str, allowed: str) -> NoReturn:
    raise Corrupt("not a PKCS #7 signature", offset=at, structure="PKCS #7", found=found, allowed=allowed)
