"""XZ streams undone without their checks: the same bytes, the same errors, but for a wrong check."""

from __future__ import annotations

import lzma
import random
from collections.abc import Iterator

import pytest

from imgcore.codec import binding, stream
from imgcore.codec.stream import StreamDecoder
from imgcore.errors import Corrupt, LimitExceeded

DATA = random.Random(1).randbytes(200_000) + bytes(3 << 20) + b"end"
PACKED = lzma.compress(DATA)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def undone(data: bytes, size: int = 1000, *, memory: int = 256 << 20, strict: bool = True) -> bytes:
    out = list(StreamDecoder("xz", pieces(data, size), memory=memory, strict=strict, checked=False))
    assert all(0 < len(one) <= 1 << 20 for one in out)
    return b"".join(out)


@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_what_comes_out(size: int) -> None:
    plain = DATA if size > 1 else DATA[-5000:]
    assert undone(lzma.compress(plain), size) == plain
    assert undone(lzma.compress(b"") + bytes(8) + lzma.compress(b"x"), size) == b"x"


def test_the_package_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "lzma_library", lambda: None)
    assert undone(PACKED) == DATA


@pytest.mark.skipif(binding.lzma_library() is None, reason="liblzma cannot be reached")
def test_a_wrong_check_is_passed_over() -> None:
    small = lzma.compress(b"hello", check=lzma.CHECK_CRC64)
    for at in range(-28, -20):  # 12 bytes of footer and 8 of index come behind
        wrong = bytearray(small)
        wrong[at] ^= 1
        with pytest.raises(Corrupt, match="Corrupt input data"):
            list(StreamDecoder("xz", [bytes(wrong)]))
        assert undone(bytes(wrong)) == b"hello"


def test_errors() -> None:
    with pytest.raises(Corrupt, match="cut"):
        undone(PACKED[:-1])
    with pytest.raises(Corrupt, match="Corrupt input data") as caught:
        undone(PACKED[:14] + b"\xff" + PACKED[15:])
    assert caught.value.offset is not None
    with pytest.raises(LimitExceeded, match="dictionary"):
        undone(PACKED, memory=1 << 20)
    with pytest.raises(Corrupt, match="behind the end"):
        undone(PACKED + b"more")
    assert undone(PACKED + b"more", strict=False) == DATA
