"""The window over a payload: what it keeps, what it forgets, against a plain string of bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, Segment, read_all
from imgcore.errors import VerificationFailed
from imgcore.formats import rpm
from imgcore.formats.rpm import payload as payloads
from imgcore.formats.rpm.window import Forgotten, Window
from imgcore.hosts import unpack
from imgcore.model import File
from tests.kit.packages import Entry, Rpm, folder

BLOCK = 64 << 10


@given(
    st.lists(st.tuples(st.integers(1, 3 * BLOCK), st.booleans(), st.booleans()), max_size=12),
    st.integers(0, 4 * BLOCK),
    st.integers(0, 1 << 30),
)
def test_what_is_kept_is_right_and_the_rest_is_forgotten(chunks: list[tuple[int, bool, bool]], room: int, seed: int) -> None:
    data, wanted, chance = b"", bytearray(), random.Random(seed)
    window = Window(lambda start, end: 1 in wanted[start:end], room)
    try:
        for size, zeros, needed in chunks:
            wanted += bytes([needed]) * size
            piece = bytes(size) if zeros else chance.randbytes(size)
            data += piece
            window.append(piece)
            assert window.flush() == window.size == len(data)
            for _ in range(4):
                at, length = chance.randrange(len(data) + 1), chance.randrange(3 * BLOCK)
                end = min(at + length, len(data))
                try:
                    assert window.read_at(at, length) == data[at:end]
                    segments = list(window.segments_in(at, length))
                    assert sum(one.size for one in segments) == end - at
                    assert not b"".join(data[one.at : one.at + one.size] for one in segments if one.hole).strip(b"\0")
                except Forgotten:
                    # Only where something is that nobody needed, and never of what is young enough; chunks go as a whole.
                    assert 0 in wanted[at:end] and at < len(data) - room + 3 * BLOCK
    finally:
        window.close()
        window.close()
    with pytest.raises(Forgotten):
        window.read_at(0, 1)


def test_holes_are_whole_blocks() -> None:
    window = Window(lambda start, end: True, BLOCK)
    for piece in (b"x" * BLOCK, bytes(2 * BLOCK), b"y" * 10, bytes(BLOCK)):
        window.append(piece)
    assert list(window.segments()) == [
        Segment(0, BLOCK, False),
        Segment(BLOCK, 2 * BLOCK, True),
        Segment(3 * BLOCK, BLOCK + 10, False),
    ]
    window.close()


def package(compression: str = "zstd", **more: object) -> bytes:
    chance = random.Random(3)
    files = [folder(b"/d"), *(Entry(b"/d/%03d" % number, chance.randbytes(9000 + number)) for number in range(60))]
    files += [Entry(b"/d/h1", chance.randbytes(70_000), inode=900), Entry(b"/d/h2", files[-1].content, inode=901)]
    files += [Entry(b"/d/z", bytes(400_000)), Entry(b"/d/zz", b"end")]
    return Rpm(files=files, compression=compression, **more).build()  # type: ignore[arg-type]


@pytest.mark.parametrize("compression", ["zstd", "gzip", "xz", "bzip2", "lzma"])
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled", "twice", "parts"])
def test_any_order_gives_the_same(compression: str, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = package(compression)
    with rpm.open_image(BytesBlob(data), verify=False) as image:
        right = {path: read_all(node.content) for path, node in image.tree.walk() if isinstance(node, File)}
    monkeypatch.setattr(payloads, "Window", SmallWindow)
    with rpm.open_image(BytesBlob(data)) as image:
        paths = sorted(right)
        if order == "backward":
            paths.reverse()
        elif order == "shuffled":
            random.Random(5).shuffle(paths)
        elif order == "twice":
            paths *= 2
        for path in paths:
            content = image.tree[path].content  # type: ignore[union-attr]
            if order == "parts":
                assert b"".join(content.read_at(at, 1000) for at in range(0, content.size, 1000)) == right[path]
            else:
                assert read_all(content) == right[path]


class SmallWindow(Window):
    """A window that has no room."""

    def __init__(self, needed: object) -> None:
        super().__init__(needed, 50_000)  # type: ignore[arg-type]


def test_a_wrong_content_is_not_given_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(payloads, "Window", SmallWindow)
    made = Rpm(files=[Entry(b"/a", b"a" * 70_000), Entry(b"/b", b"b" * 70_000), Entry(b"/c", b"c")], compression="zstd")
    made.payload = made.cpio().replace(b"b" * 70_000, b"b" * 69_999 + b"x")
    with rpm.open_image(BytesBlob(made.build())) as image:
        assert read_all(image.tree["/a"].content) == b"a" * 70_000  # type: ignore[union-attr]
        for _ in range(2):
            with pytest.raises(VerificationFailed):
                read_all(image.tree["/b"].content)  # type: ignore[union-attr]
        with pytest.raises(VerificationFailed):
            unpack(image.tree, tmp_path / "out", jobs=2)
    assert not (tmp_path / "out/b").exists()


@pytest.mark.parametrize("jobs", [1, 3])
def test_unpacked_by_threads(jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(payloads, "Window", SmallWindow)
    with rpm.open_image(BytesBlob(package())) as image:
        unpack(image.tree, tmp_path / "out", jobs=jobs)
        for path, node in image.tree.walk():
            if isinstance(node, File):
                assert (tmp_path / "out" / path[1:].decode()).read_bytes() == read_all(node.content)
    assert (tmp_path / "out/d/z").stat().st_blocks * 512 < 300_000  # its zeros are holes


def test_closed_in_the_middle() -> None:
    image = rpm.open_image(BytesBlob(package()))
    content = image.tree["/d/010"].content  # type: ignore[union-attr]
    assert content.read_at(0, 5)
    image.close()
    with pytest.raises(ValueError, match="closed"):
        content.read_at(0, 5)
