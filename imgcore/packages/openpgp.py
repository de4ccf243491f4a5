"""Detached OpenPGP signatures, verified by Sequoia (`pysequoia`, an extra): of a repository's repomd.xml."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imgcore.errors import Unsupported, VerificationFailed

__all__ = ["verify_detached"]


def _sequoia() -> Any:
    try:
        import pysequoia
    except ImportError:
        raise Unsupported(
            "OpenPGP signatures cannot be verified here", hint="install pysequoia: pip install 'imgcore[openpgp]'"
        ) from None
    return pysequoia


def verify_detached(data: bytes, signature: bytes, keys: Sequence[bytes], what: str) -> tuple[str, ...]:
    """Return the fingerprints of the certificates, of those in `keys`, that signed `data`; armored or binary.

    Raises VerificationFailed where none did, or where keys or signature are none; Unsupported without pysequoia.
    """
    sequoia = _sequoia()
    try:
        certificates = [one for key in keys for one in sequoia.Cert.split_bytes(key)]
        found = sequoia.verify(
            bytes=data, store=lambda wanted: certificates, signature=sequoia.Sig.from_bytes(signature)
        ).valid_sigs
    except Exception as error:  # what Rust raises is a plain Exception
        raise VerificationFailed(f"signature does not hold: {error}", structure=what) from None
    if not found:
        raise VerificationFailed("signature of no key that is known", structure=what)
    return tuple(str(one.certificate) for one in found)
