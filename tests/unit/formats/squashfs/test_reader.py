"""The reader: lazy, shared by threads, and clear about what it refuses."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, LimitExceeded, NotThisFormat, PathError, Unsupported
from imgcore.formats.squashfs import Options, open_image
from imgcore.limits import Limits
from imgcore.model import Dir, File, tree
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import read, write


class CountedBlob(BytesBlob):
    """Counts the bytes that are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes_read = 0

    def read_at(self, at: int, size: int) -> bytes:
        data = super().read_at(at, size)
        self.bytes_read += len(data)
        return data


def test_one_file_costs_little() -> None:
    chance = random.Random(5)
    image = write(tree({f"/{number:03}/{name:03}": chance.randbytes(3000) for number in range(60) for name in range(60)}))
    blob = CountedBlob(image)
    with open_image(blob) as opened:
        assert blob.bytes_read <= 200
        found = opened.tree["/030/030"]
        assert isinstance(found, File) and len(found.content.read_at(0, 1 << 20)) == 3000
    assert blob.bytes_read < 100_000 < len(image) // 50


def test_threads_share_an_image() -> None:
    what = everything()
    image = write(what, Options(block_size=4096, compression="zstd"))
    expected = {path: node.content.read_at(0, 1 << 20) for path, node in what.walk() if isinstance(node, File)}
    opened = open_image(BytesBlob(image)).tree

    def work(seed: int) -> dict[bytes, int]:
        chance = random.Random(seed)
        paths = sorted(expected)
        chance.shuffle(paths)
        nodes = {}
        for path in paths:
            node = opened[path]
            assert isinstance(node, File)
            assert node.content.read_at(0, 1 << 20) == expected[path]
            nodes[path] = id(node)
        return nodes

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert all(nodes == results[0] for nodes in results)  # one node for each name, whoever asks first
    assert results[0][b"/link"] == results[0][b"/sub/sub/other-name"]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NotThisFormat),
        (b"hsq", NotThisFormat),
        (b"sqsh" + bytes(200), NotThisFormat),
        (b"\x7fELF" + bytes(200), NotThisFormat),
        (b"hsqs" + bytes(200), Unsupported),
        (b"hsqs" + bytes(20), Corrupt),
    ],
)
def test_what_is_no_image(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_image(BytesBlob(data))


@pytest.mark.parametrize(
    "limits",
    [Limits(max_entries=20), Limits(max_depth=1), Limits(max_path=100), Limits(max_metadata=100), Limits(max_xattrs=10)],
)
def test_limits(limits: Limits) -> None:
    image = write(everything())
    with pytest.raises(LimitExceeded) as caught:
        for _, node in open_image(BytesBlob(image), limits).tree.walk():
            if isinstance(node, Dir):
                len(node.children)
    assert caught.value.field is not None and getattr(limits, caught.value.field) != getattr(Limits(), caught.value.field)


def test_lookup() -> None:
    found = read(write(everything()))
    assert found.lookup("/bin/sh", follow=True) is found["/a"]
    for path in ("/nope", "/a/b", "/bin/tool/x"):
        with pytest.raises(PathError):
            found.lookup(path)
    assert b"/bin/tool" in found and "/bin/nope" not in found
