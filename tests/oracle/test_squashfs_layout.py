"""Images with hints and codec settings, read by the kernel and by unsquashfs; those of the peers, read by us."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import AtomicFile, BytesBlob, FileBlob, read_chunks
from imgcore.codec.xz import XzCodec
from imgcore.engine import get_engine
from imgcore.events import Control
from imgcore.formats.squashfs import CAPABILITIES, Options, open_image, write_image
from imgcore.formats.squashfs.check import check_blob
from imgcore.formats.squashfs.options import FILTERS
from imgcore.hosts import unpack
from imgcore.limits import Limits
from imgcore.model import File, FileHints, Hints, Meta, Node, Tree, tree
from imgcore.testing.strategies import trees
from imgcore.transforms.order import read_sort_file, read_sort_rules
from tests.kit.oracles import differences, host_records, missing, mounted, run, tool, tree_records
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import write

pytestmark = pytest.mark.oracle
VERSIONS = pytest.mark.parametrize("newest", [False, True], ids=["system", "newest"])


def to_file(what: Tree, path: Path, options: Options) -> None:
    with AtomicFile(path, replace=True, sync=False) as sink:
        write_image(what, sink, options, Control(), get_engine("auto"))


def with_code() -> Tree:
    """Return everything and programs: what filters and settings are for."""
    root = everything().root
    more: dict[bytes, Node] = {}
    for name in ("/bin/sh", "/bin/ls"):
        more[name.replace("/", "-").encode()] = File(Meta(0o755), BytesBlob(Path(name).read_bytes()))
    return Tree(type(root)(root.meta, {**root.children, **more}))


def some_hints(path: bytes, node: File) -> FileHints | None:
    """Return hints of every kind, for one file or another."""
    kinds = (
        None,
        FileHints(priority=5),
        FileHints(compress=False),
        FileHints(fragment=False),
        FileHints(dedup=False, align=8192),
        FileHints(holes=False, priority=-3),
        FileHints(align=65536),
        FileHints(7, False, False, False, False, 4096),
    )
    return kinds[sum(path) % len(kinds)]


EVERY_PART = ("inodes", "data", "fragments", "xattrs", "ids")
LAYOUTS: list[dict[str, object]] = [
    {"hints": some_hints},
    {"hints": some_hints, "fragments": "none", "compression": "none"},
    {"hints": some_hints, "dedup": False, "order": "suffix", "compression": "lz4"},
    {"align": 4096, "fragments": "small"},
    {"align": 1 << 20, "compression": "gzip"},
    *({"uncompressed": (part,)} for part in EVERY_PART),
    {"uncompressed": EVERY_PART, "compression": "xz"},
    {"holes": False},
    {"compression": "xz", "filters": ("x86",), "uncompressed": ("inodes",)},
]


def agrees(what: Tree, image: Path, place: Path, *, mounts: bool = True) -> None:
    """Require that the kernel, `check` and both versions of unsquashfs read what is in `what`."""
    ours = tree_records(what)
    with FileBlob(image) as blob:
        assert list(check_blob(blob, Limits.default(), Control())) == []
    if mounts:
        with mounted(image, place / "mnt") as taken:
            assert taken
            assert differences(ours, host_records(place / "mnt")) == []
    if os.geteuid() != 0:
        missing("restoring owners needs root")
    for newest in (False, True):
        out = place / f"out-{newest}"
        run(tool("unsquashfs", newest=newest), "-no-progress", "-d", out, image)
        assert differences(ours, host_records(out), ignore=("time",)) == []


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: str({**layout, "hints": "hints" in layout}))
def test_layouts(layout: dict[str, object], tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    to_file(everything(), image, Options(**{"block_size": 4096, **layout}))  # type: ignore[arg-type]
    agrees(everything(), image, tmp_path)


def test_every_name_its_own_inode(tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    to_file(everything(), image, Options(block_size=4096, hardlinks=False))
    with mounted(image, tmp_path / "mnt") as taken:
        assert taken
        theirs = host_records(tmp_path / "mnt")
    assert differences(tree_records(everything()), theirs, ignore=("links", "group")) == []
    assert {record.get("links", 1) for record in theirs.values()} == {1}


SETTINGS: list[tuple[dict[str, object], list[str]]] = [
    ({"compression": "gzip", "window": 10}, ["window-size 10", "compression-level 9"]),
    ({"compression": "gzip", "strategy": ("default", "huffman", "rle")}, ["huffman_only, run_length_encoded"]),
    ({"compression": "gzip", "strategy": ("filtered", "fixed"), "window": 8, "level": 2}, ["filtered, fixed", "window-size 8"]),
    ({"compression": "gzip", "optimize": True}, []),
    ({"compression": "zstd", "optimize": True}, ["compression-level 22"]),
    ({"compression": "lz4", "acceleration": 9}, []),
    ({"compression": "lz4", "optimize": True}, ["High Compression"]),
    ({"compression": "xz", "optimize": True, "level": 1}, ["Dictionary size 32768", "x86"]),
    ({"compression": "xz", "dict_size": 3 << 13}, ["Dictionary size 24576", "No filters"]),
    ({"compression": "xz", "lc": 0, "lp": 3, "pb": 4, "extreme": True}, []),
    *(
        ({"compression": "xz", "filters": (bcj,)}, [f"Filters selected: {bcj}"])
        for bcj in FILTERS
        if bcj not in ("ia64", "arm64", "riscv") and XzCodec.has_filter(bcj)
    ),
    ({"compression": "xz", "filters": ("x86", "armthumb", "sparc"), "dict_size": 16384}, ["x86, armthumb, sparc", "16384"]),
]


@pytest.mark.parametrize(("chosen", "shown"), SETTINGS, ids=lambda value: str(value)[:60])
def test_settings_of_codecs(chosen: dict[str, object], shown: list[str], tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    what = with_code()
    to_file(what, image, Options(**{"block_size": 32768, **chosen}))  # type: ignore[arg-type]
    agrees(what, image, tmp_path)
    for newest in (False, True):
        said = run(tool("unsquashfs", newest=newest), "-s", image)
        assert "rror" not in said.stdout + said.stderr
        assert all(words in re.sub(r"\s+", " ", said.stdout) for words in shown), said.stdout


@pytest.mark.parametrize("bcj", ["ia64", "arm64", "riscv"])
def test_filters_that_not_everyone_knows(bcj: str, tmp_path: Path) -> None:
    """The kernel of this machine may lack IA-64's, and unsquashfs 4.5 knows no name for ARM64's and RISC-V's."""
    if not XzCodec.has_filter(bcj):
        pytest.skip(f"liblzma has no filter {bcj}")
    image = tmp_path / "o.raw"
    chance = random.Random(4)
    words = [chance.randbytes(2) + b"\x00\x94" for _ in range(40)]  # calls of ARM64: relative, and so each another
    calls = b"".join(chance.choice(words) for _ in range(30000))
    what = tree({"/calls": calls, "/sh": Path("/bin/sh").read_bytes()})
    to_file(what, image, Options("xz", block_size=131072, filters=(bcj,)))
    said = run(tool("unsquashfs", newest=True), "-s", image)
    assert f"Filters selected: {bcj}" in said.stdout
    with mounted(image, tmp_path / "mnt") as taken:
        assert taken
        if bcj != "ia64":
            assert differences(tree_records(what), host_records(tmp_path / "mnt")) == []
    with FileBlob(image) as blob:
        found = open_image(blob).tree
        assert tree_records(found) == tree_records(what)


def test_fast_zstd(tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    to_file(with_code(), image, Options("zstd", -5, block_size=32768))
    agrees(with_code(), image, tmp_path)
    assert "compression-level -5" in run(tool("unsquashfs", newest=True), "-s", image).stdout


@VERSIONS
def test_shown_flags(newest: bool, tmp_path: Path) -> None:
    image = tmp_path / "o.raw"
    lines = {
        "inodes": "Inodes are uncompressed",
        "data": "Data is uncompressed",
        "fragments": "Fragments are uncompressed",
        "xattrs": "Xattrs are uncompressed",
        "ids": "Uids/Gids (Id table) are uncompressed",
    }
    for part in EVERY_PART:
        to_file(everything(), image, Options(block_size=4096, uncompressed=(part,)))
        said = run(tool("unsquashfs", newest=newest), "-s", image).stdout
        implied = ["ids"] if part == "inodes" else []  # by what unsquashfs says; each block says the truth
        assert [one for one, line in lines.items() if line in said] == [part, *implied]


HINTS = st.builds(
    FileHints,
    priority=st.integers(-2, 2),
    compress=st.booleans(),
    fragment=st.booleans(),
    dedup=st.booleans(),
    holes=st.booleans(),
    align=st.sampled_from([1, 4096, 32768]),
)


@settings(max_examples=25)
@given(what=trees(CAPABILITIES, block_size=4096), chosen=st.lists(HINTS, min_size=1, max_size=4))
def test_kernel_reads_random_hints(what: Tree, chosen: list[FileHints], tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("random")
    hints: Hints = lambda path, node: chosen[sum(path) % len(chosen)]  # noqa: E731
    image = place / "o.raw"
    image.write_bytes(write(what, Options(block_size=4096, hints=hints)))
    with mounted(image, place / "mnt") as taken:
        assert taken
        assert differences(tree_records(what), host_records(place / "mnt")) == []


# --- Theirs ---


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of noise, whose places in an image show the order they were packed in."""
    place = tmp_path_factory.mktemp("numbered") / "source"
    for name in ("a", "b c", "d/e", "d/f", "d/sub/g", "h", "i.txt", "j.txt"):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(8192))
    return place


def places(image: Path) -> dict[str, int]:
    with FileBlob(image) as blob:
        found = open_image(blob).tree
        assert all(list(read_chunks(node.content)) for _, node in found.walk() if isinstance(node, File))
        return {
            path.decode()[1:]: node.content._inode.start  # type: ignore[attr-defined]
            for path, node in found.walk()
            if isinstance(node, File)
        }


def in_groups(places_of: dict[str, int], priority_of: dict[str, int]) -> bool:
    """Return whether files of a higher priority lie before those of a lower one."""
    priorities = [priority_of[name] for name in sorted(places_of, key=lambda name: places_of[name])]
    return priorities == sorted(priorities, reverse=True)


@VERSIONS
def test_mksquashfs_understands_a_sort_file_as_we_do(newest: bool, numbered: Path, tmp_path: Path) -> None:
    sort_file, theirs, ours = tmp_path / "sort", tmp_path / "m.sqfs", tmp_path / "o.sqfs"
    sort_file.write_bytes(
        b"# comment\n h 30\nb\\ c -5\nd 7\nd/sub/g 40\n d/f -32768\n" + os.fsencode(numbered) + b"/i.txt 31\n"
    )
    mksquashfs = tool("mksquashfs", newest=newest)
    run(mksquashfs, numbered, theirs, "-no-progress", "-quiet", "-no-fragments", "-sort", sort_file)
    order = read_sort_file(sort_file.read_bytes(), source=os.fsencode(numbered))
    from imgcore.hosts import scan

    to_file(scan(numbered), ours, Options(fragments="none", hints=order))
    assert order.unused() == []
    given_priorities = {"h": 30, "b c": -5, "d/e": 7, "d/f": -32768, "d/sub/g": 40, "i.txt": 31, "a": 0, "j.txt": 0}
    for image in (theirs, ours):
        assert in_groups(places(image), given_priorities)


def test_gensquashfs_understands_a_sort_file_as_we_do(numbered: Path, tmp_path: Path) -> None:
    sort_file, theirs, ours = tmp_path / "sort", tmp_path / "g.sqfs", tmp_path / "o.sqfs"
    sort_file.write_bytes(
        b"# comment\n -8 [glob] d/*\n3 [glob_no_path,align] *g\n-7 b c\n9 [dont_compress, dont_fragment] h\n 5 [glob]\t*.t?t\n"
    )
    run(tool("gensquashfs"), "--pack-dir", numbered, "--quiet", "--sort-file", sort_file, theirs)
    order = read_sort_rules(sort_file.read_bytes())
    from imgcore.hosts import scan

    to_file(scan(numbered), ours, Options(hints=order, block_size=131072, fragments="none"))
    assert order.unused() == []
    given_numbers = {"d/e": -8, "d/f": -8, "d/sub/g": 3, "b c": -7, "h": 9, "i.txt": 5, "j.txt": 5, "a": 0}
    assert in_groups(places(ours), {name: -number for name, number in given_numbers.items()})
    with FileBlob(theirs) as blob:  # theirs are in fragments; the offsets there show the order
        found = open_image(blob).tree
        offsets = {
            path.decode()[1:]: (node.content._inode.fragment, node.content._inode.offset)  # type: ignore[attr-defined]
            for path, node in found.walk()
            if isinstance(node, File) and path not in (b"/h", b"/d/sub/g")
        }
    numbers = [given_numbers[name] for name in sorted(offsets, key=lambda name: offsets[name])]
    assert numbers == sorted(numbers)


THEIRS = [
    ("xz", "-Xbcj", "x86,arm,armthumb,powerpc,sparc"),
    ("xz", "-Xbcj", "x86", "-Xdict-size", "75%"),
    ("gzip", "-Xstrategy", "huffman_only,run_length_encoded,fixed", "-Xwindow-size", "8"),
    ("gzip", "-noI", "-noId", "-noX"),
    ("zstd", "-noD"),
    ("zstd", "-noF"),
    ("lz4", "-noI", "-noD", "-noF", "-noX"),
    ("gzip", "-no-sparse", "-no-fragments", "-no-duplicates"),
]
THEIR_NEWEST = [("xz", "-Xbcj", "arm64"), ("zstd", "-Xcompression-level", "-20"), ("gzip", "-no-hardlinks")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if os.geteuid() != 0:
        missing("devices and owners need root")
    place = tmp_path_factory.mktemp("theirs") / "source"
    unpack(with_code(), place)
    return place


@pytest.mark.parametrize(
    ("words", "newest"), [*((words, False) for words in THEIRS), *((w, True) for w in THEIRS + THEIR_NEWEST)]
)
def test_their_images(words: tuple[str, ...], newest: bool, source: Path, tmp_path: Path) -> None:
    image = tmp_path / "m.sqfs"
    run(tool("mksquashfs", newest=newest), source, image, "-no-progress", "-quiet", "-b", "32768", "-comp", *words)
    ignore = ("links", "group") if "-no-hardlinks" in words else ()
    with FileBlob(image) as blob:
        assert differences(host_records(source), tree_records(open_image(blob).tree), ignore=ignore) == []
        assert [one for one in check_blob(blob, Limits.default(), Control()) if one.severity == "error"] == []
