"""Our images, read by the kernel, by unsquashfs and by rdsquashfs."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings

from imgcore.blob import AtomicFile, BytesBlob, FileBlob, ZeroBlob
from imgcore.engine import get_engine
from imgcore.errors import NotRepresentable
from imgcore.events import Control
from imgcore.formats.squashfs import CAPABILITIES, Options, open_image, write_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.hosts import scan
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Tree, diff, tree
from imgcore.testing.strategies import HolesBlob, trees
from tests.kit.oracles import differences, host_records, missing, mounted, run, tool, tree_records
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, read, write

pytestmark = pytest.mark.oracle

CODECS = [
    ("gzip", None),
    ("gzip", 12),
    ("zstd", 1),
    ("zstd", None),
    ("zstd", 22),
    ("xz", 0),
    ("xz", None),
    ("lz4", None),
    ("lz4", 12),
    ("lzo", None),
    ("none", None),
]


def to_file(what: Tree, path: Path, options: Options, engine: str = "auto") -> None:
    with AtomicFile(path, replace=True, sync=False) as sink:
        write_image(what, sink, options, Control(), get_engine(engine))  # type: ignore[arg-type]


def mount_equals(what: Tree, image: Path, at: Path) -> None:
    with mounted(image, at) as taken:
        assert taken
        assert differences(tree_records(what), host_records(at)) == []


@pytest.mark.parametrize(("codec", "level"), CODECS)
def test_kernel_reads_every_codec(codec: str, level: int | None, tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    for block_size in (4096, 131072, 1 << 20):
        to_file(everything(block_size), image, Options(compression=codec, level=level, block_size=block_size))
        mount_equals(everything(block_size), image, tmp_path / "mnt")


@pytest.mark.parametrize("fragments", ["all", "small", "none"])
@pytest.mark.parametrize("export", [True, False])
def test_kernel_reads_every_layout(fragments: str, export: bool, tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    to_file(everything(), image, Options(block_size=4096, fragments=fragments, export=export))  # type: ignore[arg-type]
    mount_equals(everything(), image, tmp_path / "mnt")


def test_kernel_shows_holes_and_link_counts(tmp_path: Path) -> None:
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    to_file(
        tree({"/hole": HolesBlob([b"x" * 4096, 8 * 4096, b"y" * 5000]), "/d/e/": b"", "/d/f/": b""}),
        image,
        Options(block_size=4096),
    )
    with mounted(image, at) as taken:
        assert taken
        found = os.stat(at / "hole")
        assert found.st_size == 9 * 4096 + 5000
        assert found.st_blocks == -(-(4096 + 5000) // 512)
        assert os.stat(at / "d").st_nlink == 4
        fd = os.open(at / "hole", os.O_RDONLY)
        try:
            if os.lseek(fd, 0, os.SEEK_HOLE) != found.st_size:  # Linux before 6.18 does not tell holes
                assert os.lseek(fd, 0, os.SEEK_HOLE) == 4096
                assert os.lseek(fd, 4096, os.SEEK_DATA) == 9 * 4096
        finally:
            os.close(fd)


@settings(max_examples=25)
@given(what=trees(CAPABILITIES, block_size=4096))
def test_kernel_reads_random_trees(what: Tree, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("random")
    image = place / "o.raw"
    image.write_bytes(write(what))
    mount_equals(what, image, place / "mnt")


def extracted(what: Tree, image: Path, out: Path, reader: str) -> None:
    """Extract with a tool, and compare what a tool can restore."""
    if os.geteuid() != 0:
        missing("restoring owners needs root")
    if reader.endswith("unsquashfs"):
        run(tool("unsquashfs", newest=reader.startswith("newest")), "-no-progress", "-d", out, image)
    else:
        out.mkdir()
        run(
            tool("rdsquashfs"),
            "--unpack-path",
            "/",
            "--unpack-root",
            out,
            "--chmod",
            "--chown",
            "--set-times",
            "--set-xattr",
            image,
        )
    ignore = ("links", "group", "time", "xattrs") if reader == "rdsquashfs" else ("time",)
    ours, theirs = tree_records(what), host_records(out)
    assert differences(ours, theirs, ignore=ignore) == []


@pytest.mark.parametrize("reader", ["unsquashfs", "newest unsquashfs", "rdsquashfs"])
@pytest.mark.parametrize("codec", ["gzip", "zstd", "xz", "lz4", "lzo", "none"])
def test_tools_extract_every_codec(codec: str, reader: str, tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    what = everything()
    if reader == "rdsquashfs":  # it sets no attributes on devices and sockets, and gives up
        what = what.map(
            lambda path, node: None if path in (b"/block", b"/char", b"/fifo", b"/socket", b"/sub/symlink") else node
        )
    to_file(what, image, Options(compression=codec, block_size=4096))
    extracted(what, image, tmp_path / "out", reader)


@settings(max_examples=15)
@given(what=trees(CAPABILITIES, block_size=4096, max_entries=12))
def test_unsquashfs_lists_random_trees(what: Tree, tmp_path_factory: pytest.TempPathFactory) -> None:
    image = tmp_path_factory.mktemp("random") / "o.raw"
    image.write_bytes(write(what))
    listed = run(tool("unsquashfs"), "-no-progress", "-lc", image)
    assert "FATAL" not in listed.stderr
    assert "rror" not in run(tool("unsquashfs"), "-s", image).stderr
    assert run(tool("rdsquashfs"), "--describe", image).stderr == ""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("source", ["/usr/lib/python3", "/usr/include", "/usr/bin"])
def test_real_trees(source: str, engine: str, tmp_path: Path) -> None:
    if not Path(source).is_dir():
        missing(f"{source} is not here")
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    what = scan(source)
    to_file(what, image, Options(compression="lz4", jobs=2), engine)
    with mounted(image, at) as taken:
        assert taken
        theirs = host_records(at)
        assert differences(host_records(Path(source)), theirs, ignore=("links", "group")) == []
    with FileBlob(image) as blob:
        opened = open_image(blob)
        assert list(diff(what, opened.tree)) == []
        assert list(check_blob(blob, Limits.default(), Control())) == []


def test_100_000_names_in_one_directory(tmp_path: Path) -> None:
    names: dict[bytes, Node] = {b"%05d-%s" % (number, b"n" * (number % 40)): File(Meta()) for number in range(100_000)}
    what = Tree(Dir(Meta(), {b"many": Dir(Meta(), names)}))
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    to_file(what, image, Options(compression="lz4"))
    with mounted(image, at) as taken:
        assert taken
        assert len(os.listdir(at / "many")) == 100_000
        for name in names:
            os.lstat(os.fsencode(at / "many") + b"/" + name)  # by name: what a wrong index would hide
    whole = image.read_bytes()
    assert len(read(whole)["/many"].children) == 100_000  # type: ignore[union-attr]
    assert list(check_blob(BytesBlob(whole), Limits.default(), Control())) == []


def owners(count: int) -> Tree:
    return Tree(Dir(Meta(), {b"%d" % number: File(Meta(uid=2 * number, gid=2 * number + 1)) for number in range(count)}))


def test_65_535_owners_and_not_one_more(tmp_path: Path) -> None:
    most = owners(32767)
    most = Tree(Dir(Meta(uid=70000, gid=0), most.root.children))
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    to_file(most, image, Options(compression="lz4"))
    mount_equals(most, image, at)
    one_more = Tree(Dir(Meta(uid=70000, gid=70001), most.root.children))
    with pytest.raises(NotRepresentable, match="65535"):
        write(one_more)


def test_numbers_far_apart_in_one_directory(tmp_path: Path) -> None:
    """A hard link whose inode number is further from its neighbours' than 16 bits can say."""
    shared = File(Meta())
    first: dict[bytes, Node] = {b"a": Dir(Meta(), {b"%05d" % number: File(Meta()) for number in range(40_000)}), b"b": shared}
    what = Tree(Dir(Meta(), {**first, b"z": Dir(Meta(), {b"x": File(Meta()), b"y": shared, b"z": File(Meta())})}))
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    to_file(what, image, Options(compression="lz4"))
    mount_equals(what, image, at)


@pytest.mark.parametrize("engine", ENGINES)
def test_4_GiB_and_one_byte_in_little_memory(engine: str, tmp_path: Path) -> None:
    size = (1 << 32) + 1
    source = tmp_path / "source"
    source.mkdir()
    with open(source / "large", "wb") as stream:
        stream.truncate(size)
        stream.seek((1 << 31) + 5)
        stream.write(b"in the middle")
        stream.seek(size - 1)
        stream.write(b"!")
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    to_file(scan(source), image, Options(compression="lz4", jobs=2), engine)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10  # KiB
    with mounted(image, at) as taken:
        assert taken
        with open(at / "large", "rb") as stream:
            assert os.fstat(stream.fileno()).st_size == size
            stream.seek((1 << 31) + 5)
            assert stream.read(13) == b"in the middle"
            stream.seek(size - 1)
            assert stream.read() == b"!"
    shutil.rmtree(source)


def test_20_GB_of_holes() -> None:
    found = read(write(tree({"/hole": ZeroBlob(20 << 30)}), Options(block_size=1 << 20)))
    content = found["/hole"].content  # type: ignore[union-attr]
    assert content.size == 20 << 30
    assert content.read_at((20 << 30) - 5, 10) == bytes(5)
