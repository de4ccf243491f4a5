"""Sources that are compressed as a whole, forced kinds, and packing by suffix."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
from pathlib import Path

import pytest
import zstandard

from imgcore.blob import BytesBlob, MemorySink, read_all
from imgcore.build.pack import pack
from imgcore.build.source import open_blob, open_source
from imgcore.build.spec import parse_source
from imgcore.errors import Corrupt, LimitExceeded, NotThisFormat
from imgcore.events import Control
from imgcore.formats import FORMATS, by_suffix, cpio, squashfs, tar
from imgcore.limits import Limits
from imgcore.model import File, Tree, tree
from tests.kit.archives import written

WHAT = {"/etc/name": b"text", "/zeros": bytes(3 << 20)}


def image(name: str) -> bytes:
    sink = MemorySink()
    pack(tree(WHAT), sink, format=name)
    return sink.value()


def content(found: Tree, path: str) -> bytes:
    node = found[path]
    assert isinstance(node, File)
    return read_all(node.content)


@pytest.mark.parametrize("undo", ["gzip", "bzip2", "xz", "zstd"])
@pytest.mark.parametrize("form", [known.name for known in FORMATS if known.name in ("squashfs", "tar", "cpio")])
def test_every_format_in_every_stream(form: str, undo: str, tmp_path: Path) -> None:
    packer = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstandard.compress}[undo]
    where = tmp_path / "packed"
    where.write_bytes(packer(image(form)))
    before = set(os.listdir("/proc/self/fd"))
    for source in (where, parse_source(f"{form}:{where}"), BytesBlob(where.read_bytes())):
        with open_source(source) as opened:
            assert (opened.format is not None and opened.format.name, opened.stream) == (form, undo)
            assert content(opened.tree, "/etc/name") == b"text"
            assert undo in opened.describe()
    with open_source(parse_source("-"), stdin=io.BytesIO(where.read_bytes())) as opened:
        assert opened.stream == undo and content(opened.tree, "/zeros") == bytes(3 << 20)
    for spec, stdin in ((parse_source(str(where)), None), (parse_source("-"), io.BytesIO(where.read_bytes()))):
        with open_blob(spec, limits=Limits(), stdin=stdin) as (blob, found):
            assert found.name == form
            assert list(found.check_blob(blob, Limits(), Control())) == []
    assert set(os.listdir("/proc/self/fd")) == before


def test_nested_ones(tmp_path: Path) -> None:
    inner = gzip.compress(written(tar.FORMAT, tree({"/deep/file": b"inner"})))
    where = tmp_path / "outer.tar.xz"
    pack(tree({"/images/inner.tgz": inner}), where)
    with open_source(parse_source(f"{where}@/images/inner.tgz@/deep")) as opened:
        assert content(opened.tree, "/file") == b"inner" and opened.stream == "gzip"
    for text, stdin in ((f"{where}@/images/inner.tgz", None), ("-@/images/inner.tgz", io.BytesIO(where.read_bytes()))):
        with open_blob(parse_source(text), limits=Limits(), stdin=stdin) as (blob, found):
            assert found is tar.FORMAT and blob.size == 10240


def test_errors_name_the_source_and_leave_nothing_open(tmp_path: Path) -> None:
    packed = gzip.compress(image("cpio"))
    where = tmp_path / "broken.tar.gz"
    before = set(os.listdir("/proc/self/fd"))
    where.write_bytes(packed[:-20])
    with pytest.raises(Corrupt, match="gzip stream is cut") as caught:
        open_source(where)
    assert caught.value.image == str(where) and caught.value.offset == len(packed) - 20
    where.write_bytes(packed)
    with pytest.raises(LimitExceeded) as limit:
        open_source(where, limits=Limits(max_stream=1 << 20))
    assert limit.value.field == "max_stream"
    with pytest.raises(LimitExceeded) as limit:
        open_source(parse_source("-"), stdin=io.BytesIO(bytes(3 << 20)), limits=Limits(max_stream=1 << 20))
    assert limit.value.field == "max_stream"
    where.write_bytes(gzip.compress(b"just text"))
    with pytest.raises(NotThisFormat, match="known"):
        open_source(where)
    with pytest.raises(NotThisFormat):
        open_source(BytesBlob(gzip.compress(b"just text")))
    with pytest.raises(NotThisFormat, match="not a tar"):
        where.write_bytes(image("squashfs"))
        open_source(parse_source(f"tar:{where}"))
    with pytest.raises(NotThisFormat, match="not a cpio"):
        open_source(parse_source(f"cpio:{where}"))
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("name", "form", "magic"),
    [
        ("x.tar", tar.FORMAT, b"./\0"),
        ("x.TGZ", tar.FORMAT, b"\x1f\x8b"),
        ("x.tar.xz", tar.FORMAT, b"\xfd7zXZ"),
        ("x.tzst", tar.FORMAT, b"\x28\xb5\x2f\xfd"),
        ("x.tar.bz2", tar.FORMAT, b"BZh9"),
        ("x.cpio", cpio.FORMAT, b"070701"),
        ("x.cpio.zst", cpio.FORMAT, b"\x28\xb5\x2f\xfd"),
        ("x.raw", squashfs.FORMAT, b"hsqs"),
    ],
)
def test_suffixes(name: str, form: object, magic: bytes, tmp_path: Path) -> None:
    assert by_suffix(name) is form
    report = pack(tree({"/x": b"1"}), tmp_path / name, verify=True)
    data = (tmp_path / name).read_bytes()
    assert data.startswith(magic) and report.size == len(data)
    pack(tree({"/x": b"1"}), tmp_path / "again", format=by_suffix(name).name, options=form.options_for(name))  # type: ignore[attr-defined, union-attr]
    assert (tmp_path / "again").read_bytes() == data
