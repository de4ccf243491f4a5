"""What a verity signature partition holds: a line of JSON with the root hash, whose certificate signed it, and the signature.

    {"rootHash":"<hex>","certificateFingerprint":"<hex of SHA-256>","signature":"<base64 of PKCS #7>"}

behind which there are zeros. Source: the UAPI group's Discoverable Partitions Specification; systemd,
src/shared/dissect-image.c: verity_signature_load.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt
from imgcore.values import value_class

__all__ = ["SIGNATURE_BYTES", "VeritySignature", "read_signature", "signature_size"]

SIGNATURE_BYTES: Final = 16384
"""The size of a signature partition, as systemd-repart makes it."""
_MOST: Final = 4 << 20  # systemd reads no larger one


@value_class
class VeritySignature:
    """`root` is the root hash, `fingerprint` the SHA-256 of the certificate, b"" where it is not said, `der` the PKCS #7."""

    root: bytes
    fingerprint: bytes
    der: bytes

    def pack(self) -> bytes:
        """Return the bytes of the partition. Raises ValueError for a signature that does not fit."""
        text = json.dumps(
            {
                "rootHash": self.root.hex(),
                "certificateFingerprint": self.fingerprint.hex(),
                "signature": base64.b64encode(self.der).decode(),
            },
            separators=(",", ":"),
        ).encode()
        if len(text) > SIGNATURE_BYTES:
            raise ValueError(f"a signature of {len(self.der)} bytes does not fit into a partition of {SIGNATURE_BYTES}")
        return text.ljust(SIGNATURE_BYTES, b"\0")


def read_signature(blob: Blob) -> VeritySignature:
    """Return what a signature partition holds. Raises Corrupt."""
    if blob.size > _MOST:
        raise _bad("partition", f"{blob.size} bytes", f"at most {_MOST}")
    text, _, rest = blob.read_at(0, blob.size).partition(b"\0")
    if rest.strip(b"\0"):
        raise _bad("padding", "bytes behind the first zero", "zeros only")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise _bad("text", "what is no JSON", "an object") from None
    if not isinstance(said, dict):
        raise _bad("text", type(said).__name__, "an object")
    return VeritySignature(
        _hex(said, "rootHash", (16, 64)),
        _hex(said, "certificateFingerprint", (32, 32)) if "certificateFingerprint" in said else b"",
        _base64(said, "signature"),
    )


def signature_size(blob: Blob) -> int:
    """Return how many bytes of a signature partition are its text: zeros fill it up."""
    return len(blob.read_at(0, min(blob.size, _MOST)).rstrip(b"\0"))


def _hex(said: dict[str, object], name: str, bounds: tuple[int, int]) -> bytes:
    value = said.get(name)
    try:
        if isinstance(value, str) and value.isascii() and " " not in value:
            found = bytes.fromhex(value)
            if bounds[0] <= len(found) <= bounds[1]:
                return found
    except ValueError:
        pass
    raise _bad(name, repr(value)[:80], f"{2 * bounds[0]} to {2 * bounds[1]} hexadecimal digits")


def _base64(said: dict[str, object], name: str) -> bytes:
    value = said.get(name)
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise _bad(name, repr(value)[:80], "base64")


def _bad(field: str, found: str, allowed: str) -> Corrupt:
    return Corrupt("cannot be right", structure="verity signature", field=field, found=found, allowed=allowed)
