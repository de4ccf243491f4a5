"""Signatures of root hashes: PKCS #7, detached, made and checked with the `cryptography` package (extra `sign`).

What is signed is the root hash in lower-case hexadecimal digits, without a newline. A signature is made without signed
attributes, with the certificate in it, as systemd-repart makes it. It is right when a certificate that the caller trusts made
it: neither chains nor dates are looked at, as systemd and the kernel's dm-verity do it. Signatures with signed attributes
(what `openssl smime -sign` makes by default) are checked too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from imgcore.build.cms import read_signed_data
from imgcore.disk.signature import VeritySignature
from imgcore.errors import Corrupt, SourceUnreadable, Unsupported, VerificationFailed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["Signer", "check_signature", "load_certificate", "load_signer", "require_fingerprint"]

_HASHES = {
    "2.16.840.1.101.3.4.2.1": "SHA256",
    "2.16.840.1.101.3.4.2.2": "SHA384",
    "2.16.840.1.101.3.4.2.3": "SHA512",
}


class Signer:
    """A private key and its certificate."""

    def __init__(self, key: Any, certificate: Certificate) -> None:
        self._key = key
        self.certificate = certificate

    def sign(self, root: bytes) -> VeritySignature:
        """Return the signature of a root hash."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

        builder = pkcs7.PKCS7SignatureBuilder().set_data(root.hex().encode())
        options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoAttributes, pkcs7.PKCS7Options.Binary]
        der = builder.add_signer(self.certificate, self._key, hashes.SHA256()).sign(Encoding.DER, options)
        return VeritySignature(root, self.certificate.fingerprint(hashes.SHA256()), der)


def _require_file(path: str | os.PathLike[str], what: str) -> None:
    """Raise Unsupported for what is named by an URI."""
    text = os.fspath(path)
    if text.startswith("pkcs11:"):
        raise Unsupported(f"a {what} in a PKCS #11 token", found=text, hint="give it as a PEM file")


def _read(path: str | os.PathLike[str], what: str) -> bytes:
    text = os.fspath(path)
    try:
        with open(text, "rb") as file:
            return file.read(1 << 20)
    except OSError as error:
        raise SourceUnreadable(f"cannot read {what}: {error.strerror}", path=text) from None


def _require_library() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise Unsupported("signatures need the package `cryptography`", hint="pip install 'imgcore[sign]'") from None


def load_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Return the certificate in a PEM file. Raises SourceUnreadable, Corrupt, Unsupported without `cryptography`."""
    _require_file(path, "certificate")
    _require_library()
    from cryptography.x509 import load_pem_x509_certificate

    data = _read(path, "certificate")
    try:
        return load_pem_x509_certificate(data)
    except ValueError:
        raise Corrupt("not a certificate in PEM", path=os.fspath(path)) from None


def load_signer(key: str | os.PathLike[str], certificate: str | os.PathLike[str]) -> Signer:
    """Return who signs, from two PEM files.

    Raises SourceUnreadable; Corrupt for what is no key or certificate, or where they do not belong together; Unsupported for
    a PKCS #11 URI, an encrypted key, a kind of key that PKCS #7 signatures are not made with, and without `cryptography`.
    """
    _require_file(key, "private key")
    _require_file(certificate, "certificate")
    _require_library()
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    data = _read(key, "private key")
    try:
        found = load_pem_private_key(data, None)
    except TypeError:
        raise Unsupported("a private key with a password", path=os.fspath(key), hint="give it without one") from None
    except ValueError:
        raise Corrupt("not a private key in PEM", path=os.fspath(key)) from None
    if not isinstance(found, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise Unsupported("a private key that is neither RSA nor of an elliptic curve", path=os.fspath(key))
    read = load_certificate(certificate)
    shape = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if found.public_key().public_bytes(*shape) != read.public_key().public_bytes(*shape):
        raise Corrupt("the certificate is of another key", path=os.fspath(certificate))
    return Signer(found, read)


def require_fingerprint(signature: VeritySignature, certificate: Certificate) -> None:
    """Raise VerificationFailed where a signature partition names another certificate: systemd would look for that one."""
    from cryptography.hazmat.primitives import hashes

    own = certificate.fingerprint(hashes.SHA256())
    if signature.fingerprint not in (b"", own):
        raise VerificationFailed(
            "the signature partition names another certificate",
            structure="verity signature",
            field="certificateFingerprint",
            found=signature.fingerprint.hex(),
            allowed=own.hex(),
        )


def check_signature(signature: VeritySignature, certificate: Certificate) -> None:
    """Check that `certificate` signed the root hash that `signature` names.

    Raises VerificationFailed where it did not, Corrupt for what is no PKCS #7 signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    content = signature.root.hex().encode()
    own = (certificate.issuer.public_bytes(), certificate.serial_number)
    signers = [one for one in read_signed_data(signature.der) if (one.issuer, one.serial) == own]
    if not signers:
        raise VerificationFailed(
            "no signature is of this certificate", structure="verity signature", found="other signers",
            allowed=certificate.subject.rfc4514_string(),
        )  # fmt: skip
    for one in signers:
        name = _HASHES.get(one.digest)
        if name is None:
            raise Unsupported("a signature with another hash than SHA-2", found=one.digest)
        algorithm = getattr(hashes, name)()
        signed = content
        if one.attributes is not None:
            state = hashes.Hash(algorithm)
            state.update(content)
            if one.message_digest != state.finalize():
                raise VerificationFailed("the signature is of another root hash", structure="verity signature")
            signed = one.attributes
        key = certificate.public_key()
        try:
            if isinstance(key, rsa.RSAPublicKey):
                key.verify(one.signature, signed, padding.PKCS1v15(), algorithm)
            elif isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(one.signature, signed, ec.ECDSA(algorithm))
            else:
                raise Unsupported("a certificate whose key is neither RSA nor of an elliptic curve")
        except InvalidSignature:
            raise VerificationFailed("the signature does not match the root hash", structure="verity signature") from None
