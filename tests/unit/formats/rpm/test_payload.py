"""Contents of a package that are asked for one by one: in any order, only right ones, until the package is closed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import VerificationFailed
from imgcore.formats import rpm
from imgcore.hosts import unpack
from imgcore.model import File
from tests.kit.packages import COMPRESS, Entry, Rpm, folder


def package(compression: str = "zstd") -> bytes:
    chance = random.Random(3)
    files = [folder(b"/d"), *(Entry(b"/d/%03d" % number, chance.randbytes(9000 + number)) for number in range(60))]
    files += [Entry(b"/d/h1", chance.randbytes(70_000), inode=900), Entry(b"/d/h2", files[-1].content, inode=901)]
    files += [Entry(b"/d/z", bytes(400_000)), Entry(b"/d/zz", b"end")]
    return Rpm(files=files, compression=compression).build()


def content_of(image: rpm.RpmImage, path: str) -> bytes:
    node = image.tree[path]
    assert isinstance(node, File)
    return read_all(node.content)


@pytest.mark.parametrize("compression", sorted(COMPRESS))
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled", "twice", "parts"])
def test_any_order_gives_the_same(compression: str, order: str) -> None:
    data = package(compression)
    with rpm.open_image(BytesBlob(data), verify=False) as image:
        right = {path: read_all(node.content) for path, node in image.tree.walk() if isinstance(node, File)}
    assert len(right) == 64 and right[b"/d/zz"] == b"end"
    with rpm.open_image(BytesBlob(data)) as image:
        paths = sorted(right)
        if order == "backward":
            paths.reverse()
        elif order == "shuffled":
            random.Random(5).shuffle(paths)
        elif order == "twice":
            paths *= 2
        for path in paths:
            node = image.tree[path]
            assert isinstance(node, File)
            if order == "parts":
                parts = (node.content.read_at(at, 1000) for at in range(0, node.content.size, 1000))
                assert b"".join(parts) == right[path]
            else:
                assert read_all(node.content) == right[path]


def test_a_wrong_content_is_not_given_out(tmp_path: Path) -> None:
    made = Rpm(files=[Entry(b"/a", b"a" * 70_000), Entry(b"/b", b"b" * 70_000), Entry(b"/c", b"c")], compression="zstd")
    made.payload = made.cpio().replace(b"b" * 70_000, b"b" * 69_999 + b"x")
    with rpm.open_image(BytesBlob(made.build())) as image:
        assert content_of(image, "/a") == b"a" * 70_000
        for _ in range(2):
            with pytest.raises(VerificationFailed) as caught:
                content_of(image, "/b")
            assert (caught.value.path, caught.value.image) == (b"/b", "demo-1.0-1.x86_64")
        with pytest.raises(VerificationFailed):
            unpack(image.tree, tmp_path / "out", jobs=2)
        assert content_of(image, "/c") == b"c"
    assert not (tmp_path / "out/b").exists()


def test_closed_in_the_middle() -> None:
    image = rpm.open_image(BytesBlob(package()))
    node = image.tree["/d/010"]
    assert isinstance(node, File) and node.content.read_at(0, 5)
    image.close()
    with pytest.raises(ValueError, match="closed"):
        node.content.read_at(0, 5)
