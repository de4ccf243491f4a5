"""The reader: how little it reads, and which of the trees of an image it shows."""

from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob, MemorySink
from imgcore.engine import get_engine
from imgcore.errors import Unsupported
from imgcore.events import Control
from imgcore.formats import iso9660
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Tree


class Counted(BytesBlob):
    """Bytes that count how many of them were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.read = 0

    def read_at(self, at: int, size: int) -> bytes:
        data = super().read_at(at, size)
        self.read += len(data)
        return data


def image(options: iso9660.Options) -> bytes:
    files = {b"file %03d" % number: File(Meta(), BytesBlob(b"x" * 3000)) for number in range(100)}
    dirs = {b"Directory %03d" % number: Dir(Meta(0o750), files) for number in range(50)}
    sink = MemorySink()
    plain = Tree(Dir(Meta(0o755), {name: Dir(one.meta, dict(one.children)) for name, one in dirs.items()}))
    iso9660.FORMAT.write(plain, sink, options, Control(), get_engine("pure"))
    return sink.value()


def test_one_directory_is_read_and_not_the_others() -> None:
    blob = Counted(image(iso9660.Options(allow_loss=("link",))))
    tree = IsoImage(blob, Limits.default()).tree
    opened = blob.read
    assert opened < 8 * 2048
    assert len(tree["/Directory 007"].children) == 100  # type: ignore[union-attr]
    listed = blob.read - opened
    assert listed < 20 * 2048 < blob.size / 20
    node = tree["/Directory 007/file 042"]
    assert isinstance(node, File)
    before = blob.read
    assert node.content.read_at(2990, 100) == b"x" * 10
    assert blob.read - before == 10


def test_the_trees_of_an_image() -> None:
    data = BytesBlob(image(iso9660.Options(joliet="long", allow_loss=("link",))))
    shown = {}
    for world in ("rock ridge", "joliet", "plain", None):
        opened = IsoImage(data, Limits.default(), world)  # type: ignore[arg-type]
        shown[world] = sorted(opened.tree.root.children)[7]
        assert opened.tree.root.meta.mode == (0o755 if opened.world == "rock ridge" else 0o555)
    assert shown == {
        "rock ridge": b"Directory 007",
        "joliet": b"Directory 007",
        "plain": b"directory_007",
        None: b"Directory 007",
    }
    with pytest.raises(Unsupported, match="no joliet tree"):
        IsoImage(BytesBlob(image(iso9660.Options(allow_loss=("link",)))), Limits.default(), "joliet")


def test_a_bound_on_entries() -> None:
    from imgcore.errors import LimitExceeded

    data = BytesBlob(image(iso9660.Options(allow_loss=("link",))))
    with pytest.raises(LimitExceeded, match="max_entries"):
        list(IsoImage(data, Limits(max_entries=300)).tree.walk())
    with pytest.raises(LimitExceeded, match="max_metadata"):
        list(IsoImage(data, Limits(max_metadata=10000)).tree.walk())
