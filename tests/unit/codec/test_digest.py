"""Digests of blobs."""

from __future__ import annotations

import hashlib

import pytest

from imgcore.blob import BytesBlob, ZeroBlob
from imgcore.digest import sha256
from imgcore.errors import Cancelled
from imgcore.events import Control


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 7])
def test_sha256(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert sha256(BytesBlob(data), Control()) == hashlib.sha256(data).hexdigest()
    assert sha256(ZeroBlob(size), Control()) == hashlib.sha256(bytes(size)).hexdigest()


def test_holes_are_not_read() -> None:
    class Hole(ZeroBlob):
        def read_at(self, at: int, size: int) -> bytes:
            raise AssertionError

    assert sha256(Hole(5000), Control()) == hashlib.sha256(bytes(5000)).hexdigest()


def test_cancelled() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        sha256(ZeroBlob(1 << 40), control)
