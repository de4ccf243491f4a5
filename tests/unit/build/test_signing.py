"""Signatures of root hashes, and the DER around them."""

from __future__ import annotations

import datetime
import random
import sys
from pathlib import Path

import pytest

cryptography = pytest.importorskip("cryptography")

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: E402
from cryptography.hazmat.primitives.serialization import (  # noqa: E402
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from imgcore.build.cms import read_signed_data  # noqa: E402
from imgcore.build.signing import check_signature, load_certificate, load_signer, require_fingerprint  # noqa: E402
from imgcore.disk.signature import VeritySignature  # noqa: E402
from imgcore.errors import Corrupt, ImgcoreError, SourceUnreadable, Unsupported, VerificationFailed  # noqa: E402

ROOT = bytes(range(32))


def certificate(key, name: str = "test"):  # type: ignore[no-untyped-def]
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime(2020, 1, 1)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
    return made.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def write(tmp_path: Path, key, cert, name: str = "", password: bytes | None = None) -> tuple[Path, Path]:  # type: ignore[no-untyped-def]
    paths = tmp_path / f"{name}k.pem", tmp_path / f"{name}c.pem"
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    paths[1].write_bytes(cert.public_bytes(Encoding.PEM))
    return paths


@pytest.fixture(scope="module")
def rsa_key():  # type: ignore[no-untyped-def]
    return rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_what_is_signed_is_checked(tmp_path: Path, rsa_key, kind: str) -> None:  # type: ignore[no-untyped-def]
    key = rsa_key if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    paths = write(tmp_path, key, certificate(key))
    signer = load_signer(*paths)
    made = signer.sign(ROOT)
    assert (made.root, made.fingerprint) == (ROOT, signer.certificate.fingerprint(hashes.SHA256()))
    check_signature(made, load_certificate(paths[1]))  # that it has expired does not matter
    with pytest.raises(VerificationFailed, match="does not match"):
        check_signature(VeritySignature(bytes(32), made.fingerprint, made.der), signer.certificate)
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(VerificationFailed, match=r"not of this certificate|does not match|no signature is of"):
        check_signature(made, certificate(other, "other"))
    with pytest.raises(VerificationFailed, match="does not match"):
        check_signature(made, certificate(other))  # of the same name and number
    if kind == "rsa":
        assert signer.sign(ROOT) == made


def test_signed_attributes(rsa_key) -> None:  # type: ignore[no-untyped-def]
    cert = certificate(rsa_key)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(ROOT.hex().encode()).add_signer(cert, rsa_key, hashes.SHA512())
    der = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
    (one,) = read_signed_data(der)
    assert one.attributes is not None and one.message_digest is not None
    check_signature(VeritySignature(ROOT, b"", der), cert)
    with pytest.raises(VerificationFailed, match="another root hash"):
        check_signature(VeritySignature(bytes(32), b"", der), cert)


def test_keys_that_are_refused(tmp_path: Path, rsa_key, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    cert = certificate(rsa_key)
    key_path, cert_path = write(tmp_path, rsa_key, cert)
    locked, _ = write(tmp_path, rsa_key, cert, "locked-", b"secret")
    other = ed25519.Ed25519PrivateKey.generate()
    odd, odd_cert = write(tmp_path, other, certificate(other), "odd-")
    another = rsa.generate_private_key(65537, 2048)
    _, other_cert = write(tmp_path, another, certificate(another), "other-")
    with pytest.raises(Unsupported, match="PKCS #11"):
        load_signer("pkcs11:token=x", cert_path)
    monkeypatch.setitem(sys.modules, "cryptography", None)  # the same where it is not installed
    with pytest.raises(Unsupported, match="PKCS #11"):
        load_signer("pkcs11:token=x", cert_path)
    with pytest.raises(Unsupported, match="cryptography"):
        load_signer(key_path, cert_path)
    monkeypatch.undo()
    with pytest.raises(Unsupported, match="password"):
        load_signer(locked, cert_path)
    with pytest.raises(Unsupported, match="neither RSA"):
        load_signer(odd, odd_cert)
    with pytest.raises(Corrupt, match="of another key"):
        load_signer(key_path, other_cert)
    with pytest.raises(Corrupt, match="not a private key"):
        load_signer(cert_path, cert_path)
    with pytest.raises(Corrupt, match="not a certificate"):
        load_certificate(key_path)
    with pytest.raises(SourceUnreadable):
        load_certificate(tmp_path / "none")


def test_the_certificate_that_the_partition_names(rsa_key) -> None:  # type: ignore[no-untyped-def]
    cert = certificate(rsa_key)
    for said in (b"", cert.fingerprint(hashes.SHA256())):
        require_fingerprint(VeritySignature(ROOT, said, b""), cert)
    with pytest.raises(VerificationFailed, match="another certificate") as caught:
        require_fingerprint(VeritySignature(ROOT, bytes(32), b""), cert)
    assert caught.value.field == "certificateFingerprint"


def test_hostile_der(rsa_key) -> None:  # type: ignore[no-untyped-def]
    cert = certificate(rsa_key)
    builder = pkcs7.PKCS7SignatureBuilder().set_data(b"x").add_signer(cert, rsa_key, hashes.SHA256())
    der = builder.sign(Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.NoAttributes])
    for size in range(len(der)):
        with pytest.raises(Corrupt):
            read_signed_data(der[:size])
    chance = random.Random(5)
    for at in range(len(der)):
        for value in (0, 0x80, 0x84, 0xFF, der[at] ^ 1, chance.randrange(256)):
            changed = der[:at] + bytes([value]) + der[at + 1 :]
            try:
                check_signature(VeritySignature(ROOT, b"", changed), cert)
            except ImgcoreError:
                continue
            raise AssertionError(f"byte {at} as {value} is taken for a signature of another hash")
    for odd in (b"", b"\x30\x80\0\0", b"\x30" * 3000, b"\x30\x84\xff\xff\xff\xff", b"\x30\x81\x01\x00"):
        with pytest.raises(Corrupt):
            read_signed_data(odd)
