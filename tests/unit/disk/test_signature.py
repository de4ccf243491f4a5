"""The JSON of a signature partition."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, ZeroBlob
from imgcore.disk.signature import SIGNATURE_BYTES, VeritySignature, read_signature
from imgcore.errors import Corrupt

GOOD = VeritySignature(bytes(range(32)), bytes(32), b"der")


@given(st.binary(min_size=16, max_size=64), st.binary(min_size=32, max_size=32), st.binary(max_size=4096))
def test_what_is_written_is_read(root: bytes, fingerprint: bytes, der: bytes) -> None:
    one = VeritySignature(root, fingerprint, der)
    assert len(one.pack()) == SIGNATURE_BYTES
    assert read_signature(BytesBlob(one.pack())) == one


def test_the_bytes_are_compact_json() -> None:
    text = GOOD.pack().rstrip(b"\0")
    assert text.startswith(b'{"rootHash":"0001') and text.endswith(b'"signature":"ZGVy"}')


def test_a_certificate_may_be_unnamed() -> None:
    said = json.loads(GOOD.pack().rstrip(b"\0"))
    del said["certificateFingerprint"]
    assert read_signature(BytesBlob(json.dumps(said).encode())).fingerprint == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"rootHash":"00","signature":""}',
        b'{"rootHash":5,"signature":""}',
        b'{"rootHash":"' + b"0g" * 32 + b'","signature":""}',
        b'{"rootHash":"' + b"00" * 32 + b'","signature":"!"}',
        b'{"rootHash":"' + b"00" * 32 + b'"}',
        GOOD.pack()[:-1] + b"x",
    ],
)
def test_what_cannot_be_right(data: bytes) -> None:
    with pytest.raises(Corrupt):
        read_signature(BytesBlob(data))


def test_too_much() -> None:
    with pytest.raises(Corrupt, match="at most 4194304"):
        read_signature(ZeroBlob(5 << 20))
    with pytest.raises(ValueError, match="does not fit"):
        VeritySignature(bytes(32), bytes(32), bytes(20000)).pack()
