from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import EMPTY, Blob, BytesBlob, Segment, SliceBlob, ZeroBlob, read_all, read_chunks
from imgcore.testing import blobs
from imgcore.testing.strategies import HolesBlob


@given(blobs(block_size=64), st.integers(-2, 300), st.integers(0, 300))
def test_every_blob_reads_as_its_bytes(blob: Blob, at: int, size: int) -> None:
    whole = read_all(blob)
    assert isinstance(blob, Blob)
    assert len(whole) == blob.size
    if at >= 0:
        assert blob.read_at(at, size) == whole[at : at + size]
    assert b"".join(read_chunks(blob, 7)) == whole


@given(blobs(block_size=64), st.data())
def test_segments_cover_a_blob_and_its_slices(blob: Blob, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, blob.size))
    part = SliceBlob(blob, start, data.draw(st.integers(0, blob.size - start)))
    assert read_all(part) == read_all(blob)[start : start + part.size]
    for one in (blob, part):
        at = 0
        for segment in one.segments():
            assert segment.at == at and segment.size > 0
            if segment.hole:
                assert not any(one.read_at(at, segment.size))
            at += segment.size
        assert at == one.size


def test_slices_lie_inside() -> None:
    for start, size in ((-1, 1), (0, 4), (4, 0), (2, 2), (0, -1)):
        with pytest.raises(ValueError, match="inside"):
            SliceBlob(BytesBlob(b"abc"), start, size)
    assert read_all(SliceBlob(BytesBlob(b"abc"), 3, 0)) == b""


def test_zeros_and_nothing() -> None:
    assert ZeroBlob(5).read_at(3, 10) == b"\0\0"
    assert ZeroBlob(5).read_at(9, 10) == b""
    assert list(EMPTY.segments()) == list(ZeroBlob(0).segments()) == []
    assert list(ZeroBlob(1 << 50).segments()) == [Segment(0, 1 << 50, True)]


def test_a_blob_that_ends_early_is_a_mistake() -> None:
    class Short:
        size = 10

        def read_at(self, at: int, size: int) -> bytes:
            return b"x" if at == 0 else b""

    with pytest.raises(AssertionError, match="Short"):
        read_all(Short())  # type: ignore[arg-type]


def test_the_strategys_own_blob() -> None:
    blob = HolesBlob([b"ab", 3, 4, b"c", b"d"])
    assert list(blob.segments()) == [Segment(0, 2, False), Segment(2, 7, True), Segment(9, 2, False)]
