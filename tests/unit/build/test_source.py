from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, MemorySink, read_all
from imgcore.build.pack import pack
from imgcore.build.source import open_blob, open_source, open_sources
from imgcore.build.spec import parse_source
from imgcore.errors import (
    LimitExceeded,
    MergeConflict,
    NotThisFormat,
    PathError,
    SourceUnreadable,
    Unsupported,
)
from imgcore.limits import Limits
from imgcore.model import File, diff, tree


def image_of(entries: dict[str, bytes]) -> bytes:
    sink = MemorySink()
    pack(tree(entries), sink, format="squashfs")
    return sink.value()


@pytest.fixture
def nested(tmp_path: Path) -> str:
    inner = image_of({"/etc/name": b"inner", "/link": b""})
    (tmp_path / "outer.raw").write_bytes(image_of({"/images/inner.raw": inner, "/plain": b"x"}))
    return str(tmp_path / "outer.raw")


def content(source_tree: object, path: str) -> bytes:
    node = source_tree[path]  # type: ignore[index]
    assert isinstance(node, File)
    return read_all(node.content)


def test_directory_image_and_blob(tmp_path: Path, nested: str) -> None:
    (tmp_path / "d").mkdir()
    with open_source(tmp_path / "d") as source:
        assert source.image is None and source.format is None
        assert source.describe() == f"directory `{tmp_path}/d`"
    for what in (nested, os.fsencode(nested), Path(nested)):
        with open_source(what) as source:
            assert source.image is not None
            assert content(source.tree, "/plain") == b"x"
            assert source.describe() == f"squashfs image `{nested}`"
    with open_source(BytesBlob(Path(nested).read_bytes())) as source:
        assert content(source.tree, "/plain") == b"x"


def test_going_down(nested: str) -> None:
    with open_source(parse_source(f"{nested}@/images/inner.raw@/etc")) as source:
        assert content(source.tree, "/name") == b"inner"
    with open_source(parse_source(f"{nested}@images")) as source:
        assert [path for path, _ in source.tree.walk()] == [b"/", b"/inner.raw"]
    with pytest.raises(NotThisFormat):
        open_source(parse_source(f"{nested}@/plain"))
    with pytest.raises(PathError):
        open_source(parse_source(f"{nested}@/nothing"))
    with pytest.raises(LimitExceeded):
        open_source(parse_source(f"{nested}@/images/inner.raw"), limits=Limits(max_nesting=1))


def test_closing_closes_the_file(nested: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with open_source(parse_source(f"{nested}@/images/inner.raw")):
        assert set(os.listdir("/proc/self/fd")) > before
    with pytest.raises(PathError):
        open_source(parse_source(f"{nested}@/nothing"))
    assert set(os.listdir("/proc/self/fd")) == before


def test_places_and_joining(tmp_path: Path, nested: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"f")
    specs = [parse_source(f"/opt/x={nested}"), parse_source(f"{tmp_path}/d")]
    with open_sources(specs) as source:
        assert content(source.tree, "/opt/x/plain") == b"x"
        assert content(source.tree, "/f") == b"f"
    with pytest.raises(MergeConflict):
        open_sources([nested, nested])


def test_standard_input(nested: str) -> None:
    with open_source(parse_source("-@/images"), stdin=io.BytesIO(Path(nested).read_bytes())) as source:
        assert b"/inner.raw" in source.tree
    with pytest.raises(ValueError, match="standard input"):
        open_source(parse_source("-"))


def test_kinds(tmp_path: Path, nested: str) -> None:
    with open_source(parse_source(f"squashfs:{nested}")) as source:
        assert source.format is not None
    with open_source(parse_source(f"dir:{tmp_path}")) as source:
        assert source.format is None
    for text in (f"dir:{nested}", f"squashfs:{tmp_path}"):
        with pytest.raises(SourceUnreadable):
            open_source(parse_source(text))
    with pytest.raises(NotThisFormat):
        open_source(parse_source(f"tar:{nested}"))
    with pytest.raises(Unsupported):
        open_source(parse_source(f"erofs:{nested}"))
    for text in (f"{nested}#1", f"{nested}#offset:-1"):
        with pytest.raises(PathError, match="no partition"):
            open_source(parse_source(text))
    with pytest.raises(Unsupported, match="a directory has no partitions"):
        open_source(parse_source(f"{nested}@/images#root"))


def test_an_image_at_an_offset(tmp_path: Path, nested: str) -> None:
    (tmp_path / "app").write_bytes(b"x" * 4096 + Path(nested).read_bytes())
    with open_source(nested) as one, open_source(parse_source(f"{tmp_path}/app#offset:4K")) as two:
        assert list(diff(one.tree, two.tree)) == []
    with pytest.raises(NotThisFormat, match="behind the end"):
        open_source(parse_source(f"{tmp_path}/app#offset:1M"))
    with open_blob(parse_source(f"{tmp_path}/app#offset:4096"), limits=Limits.default()) as (blob, form):
        assert form.name == "squashfs"
        assert blob.read_at(0, 4) == b"hsqs"


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"hello")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty"):
        with pytest.raises(NotThisFormat, match="known"):
            open_source(tmp_path / name)
    with pytest.raises(SourceUnreadable):
        open_source(tmp_path / "none")


def test_a_compressed_bomb_is_refused_at_its_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgcore.codec.bounded._SMALL", 1 << 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bytes(16 << 20)))
    with pytest.raises(LimitExceeded, match="max_ratio") as caught:
        open_source(tmp_path / "bomb.tar.gz")
    assert caught.value.offset is not None
    with pytest.raises(LimitExceeded, match="max_stream"):
        open_source(tmp_path / "bomb.tar.gz", limits=Limits(max_ratio=10**9, max_stream=8 << 20))


def test_a_manifest_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "m").write_text('{"path":"/a","type":"dir"}\n')
    with open_source(tmp_path / "m") as source:
        assert source.listing == "manifest"
        assert source.describe().startswith("manifest ")
    with open_source(tmp_path) as source:
        assert source.listing is None
        assert source.describe().startswith("directory ")
