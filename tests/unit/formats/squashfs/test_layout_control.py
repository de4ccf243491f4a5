"""Hints, order, alignment, raw parts, holes and hard links: where they put content, and what the superblock says of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, FileBlob, MemorySink, PlainFile, SliceBlob
from imgcore.engine import get_engine
from imgcore.engine.protocol import Kind, Piece
from imgcore.events import Control
from imgcore.formats.squashfs import FORMAT, Options, SquashfsImage, open_image, write_image
from imgcore.formats.squashfs.content import FileContent
from imgcore.formats.squashfs.data import Placer
from imgcore.formats.squashfs.layout import BLOCK_RAW, METADATA_RAW, NO_FRAGMENT
from imgcore.limits import Limits
from imgcore.model import File, FileHints, Meta, Tree, diff, tree
from imgcore.transforms.order import read_access_order, read_sort_file
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, EngineName, read, write, write_report

BLOCK = 4096
TEXT = (b"text that shrinks; " * 300)[:BLOCK]
OTHER = (b"other text, that shrinks too; " * 300)[:BLOCK]
NOISE = random.Random(1).randbytes(BLOCK)


def content(found: Tree, path: str) -> FileContent:
    node = found[path]
    assert isinstance(node, File) and isinstance(node.content, FileContent)
    return node.content


def start(found: Tree, path: str) -> int:
    return content(found, path)._inode.start


def hinted(**hints: FileHints) -> Callable[[bytes, File], FileHints | None]:
    return lambda path, node: hints.get(path[1:].decode())


def checked(what: Tree, options: Options, engine: EngineName = "pure") -> Tree:
    """Return the tree of the image of `what`, which is equal and has no finding."""
    image = write(what, options, engine)
    assert list(FORMAT.check_blob(BytesBlob(image), Limits.default(), Control())) == []
    found = read(image)
    assert list(diff(what, found)) == []
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_priorities_move_content_and_nothing_else(engine: EngineName) -> None:
    what = tree({f"/{name}": random.Random(name).randbytes(BLOCK + 7) for name in "abcde"})
    hints = hinted(b=FileHints(priority=-1), d=FileHints(priority=2), e=FileHints(priority=2))
    found = checked(what, Options(block_size=BLOCK, hints=hints), engine)
    assert sorted("abcde", key=lambda name: start(found, f"/{name}")) == ["d", "e", "a", "c", "b"]
    tails = [content(found, f"/{name}")._inode.offset for name in "deacb"]
    assert tails == [0, 7, 14, 21, 28]
    plain = checked(what, Options(block_size=BLOCK), engine)
    numbers = [[content(of, f"/{name}")._inode.number for name in "abcde"] for of in (found, plain)]
    assert numbers[0] == numbers[1]


def test_order_by_suffix() -> None:
    names = ["a.txt", "b.c", "c.txt", ".d.c", "e", "d/f.c", ".hidden"]
    what = tree({f"/{name}": random.Random(name).randbytes(BLOCK) for name in names})
    found = checked(what, Options(block_size=BLOCK, order="suffix"))
    by_place = sorted(names, key=lambda name: start(found, f"/{name}"))
    assert by_place == [".hidden", "e", ".d.c", "b.c", "d/f.c", "a.txt", "c.txt"]
    hints = hinted(e=FileHints(priority=-5))
    found = checked(what, Options(block_size=BLOCK, order="suffix", hints=hints))
    assert max(names, key=lambda name: start(found, f"/{name}")) == "e"


def test_sort_file_and_access_order_are_hints() -> None:
    what = tree({f"/{name}": random.Random(name).randbytes(BLOCK) for name in ("a", "b", "d/c", "d/e")})
    for hints in (read_sort_file(b"d 5\nd/e 9\na -1\n"), read_access_order(b"/d/e\n/d/c\n/b\n/gone\n")):
        found = checked(what, Options(block_size=BLOCK, hints=hints))
        assert start(found, "/d/e") < start(found, "/d/c") < start(found, "/b") < start(found, "/a")
    assert [line.names for line in hints.unused()] == [b"/gone"]


def test_hard_links_are_asked_by_all_names() -> None:
    shared = File(Meta(), BytesBlob(NOISE))
    what = tree({"/a": TEXT, "/b": shared, "/c": shared})
    hints = read_access_order(b"/c\n/b\n")
    found = checked(what, Options(block_size=BLOCK, hints=hints))
    assert start(found, "/b") == start(found, "/c") < start(found, "/a")
    assert hints.unused() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_asks_for_raw_blocks(engine: EngineName) -> None:
    what = tree({"/a": TEXT + b"tail", "/b": TEXT + b"tail", "/c": TEXT + b"tail", "/d": TEXT})
    raw = FileHints(compress=False)
    found = checked(what, Options(block_size=BLOCK, hints=hinted(b=raw, c=raw)), engine)
    assert [word & BLOCK_RAW != 0 for word in content(found, "/a").words()] == [False]
    assert list(content(found, "/b").words()) == [BLOCK | BLOCK_RAW, 4 | BLOCK_RAW]
    assert content(found, "/b")._inode.fragment == NO_FRAGMENT != content(found, "/a")._inode.fragment
    assert start(found, "/b") == start(found, "/c") != start(found, "/a") == start(found, "/d")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_asks_for_its_own(engine: EngineName) -> None:
    what = tree({"/a": NOISE + b"tail", "/b": NOISE + b"tail", "/c": NOISE + b"tail", "/d": bytes(2 * BLOCK) + b"x"})
    asked = hinted(b=FileHints(dedup=False), c=FileHints(fragment=False), d=FileHints(holes=False))
    found = checked(what, Options(block_size=BLOCK, hints=asked), engine)
    assert start(found, "/a") != start(found, "/b")
    assert content(found, "/a")._inode.offset != content(found, "/b")._inode.offset
    assert len(content(found, "/c").words()) == 2 and content(found, "/c")._inode.fragment == NO_FRAGMENT
    assert all(content(found, "/d").words()) and content(found, "/d")._inode.sparse == 0
    plain = checked(what, Options(block_size=BLOCK), engine)
    assert start(plain, "/a") == start(plain, "/b") == start(plain, "/c")
    assert not any(content(plain, "/d").words())


@pytest.mark.parametrize("engine", ENGINES)
def test_alignment(engine: EngineName) -> None:
    pieces = [random.Random(seed).randbytes(BLOCK) for seed in range(3)]
    what = tree(
        {
            "/a": pieces[0] + pieces[1] + b"tail",
            "/b": pieces[1],  # not aligned within a
            "/c": pieces[0],  # aligned as a is
            "/d": bytes(BLOCK) + pieces[2],
            "/small": b"in a fragment only",
            "/hole": bytes(3 * BLOCK),
        }
    )
    for align in (4096, 16384, 1 << 20):
        found = checked(what, Options(block_size=BLOCK, align=align), engine)
        assert all(start(found, f"/{name}") % align == 0 for name in "abcd")
        assert start(found, "/a") == start(found, "/c") != start(found, "/b")
    hints = hinted(b=FileHints(align=65536))
    found = checked(what, Options(block_size=BLOCK, hints=hints), engine)
    assert start(found, "/b") % 65536 == 0 and start(found, "/a") % 4096
    assert start(found, "/c") == start(found, "/a")
    unhinted = checked(what, Options(block_size=BLOCK), engine)
    assert start(unhinted, "/b") == start(unhinted, "/a") + BLOCK


def test_placer_aligns_runs_that_begin_with_a_match() -> None:
    sink = MemorySink()
    placer = Placer(sink, lambda job: 16 if job else 1)
    sink.append(b"head!")
    placer.feed_all(
        [
            Piece(Kind.BLOCK, 0, BLOCK, compressed=True, data=b"first"),
            Piece(Kind.END, 0, BLOCK),
            Piece(Kind.SAME, 0, BLOCK),  # at 5: has to be written anew, at 16
            Piece(Kind.END, 1, BLOCK),
            Piece(Kind.ZERO, 0, BLOCK, count=1),
            Piece(Kind.SAME, 0, BLOCK),  # shares the one at 16
            Piece(Kind.BLOCK, 1, BLOCK, compressed=True, data=b"second"),  # until the run ends: both are copied to 32
            Piece(Kind.END, 2, 3 * BLOCK),
            Piece(Kind.SAME, 0, BLOCK),
            Piece(Kind.SAME, 1, BLOCK),
            Piece(Kind.END, 3, 2 * BLOCK),
        ]
    )
    assert [file.start_block for file in placer.files] == [5, 16, 32, 32]
    assert sink.value() == b"head!first" + bytes(6) + b"first" + bytes(11) + b"firstsecond"
    assert placer.totals.gap_bytes == 17


PART_FLAGS = {"inodes": 1, "data": 2, "fragments": 8, "xattrs": 256, "ids": 2048}


def raw_parts(image: SquashfsImage) -> set[str]:
    """Return which parts of an image are stored raw, by its blocks; each has something that would shrink."""
    sb = image.superblock

    def is_raw(position: int) -> bool:
        return bool(int.from_bytes(image.blob.read_at(position, 2), "little") & METADATA_RAW)

    lookups = {"fragments": sb.fragment_table_start, "ids": sb.id_table_start}
    tables = {part: int.from_bytes(image.blob.read_at(at, 8), "little") for part, at in lookups.items()}
    tables["inodes"] = sb.inode_table_start
    tables["xattrs"] = int.from_bytes(image.blob.read_at(sb.xattr_id_table_start, 8), "little")
    found = {part for part, at in tables.items() if is_raw(at)}
    words = content(image.tree, "/link").words()
    return found | ({"data"} if all(word & BLOCK_RAW for word in words) else set())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "parts", [(), ("inodes",), ("ids",), ("data",), ("fragments",), ("xattrs",), tuple(PART_FLAGS)], ids=str
)
def test_raw_parts(parts: tuple[str, ...], engine: EngineName) -> None:
    more = {f"/more/{number}": File(Meta(uid=number), BytesBlob(b"%d" % number * 100)) for number in range(300)}
    what = everything()
    what = Tree(type(what.root)(what.root.meta, {**what.root.children, **tree(more).root.children}))
    options = Options(block_size=BLOCK, uncompressed=parts, compression="zstd")
    found = checked(what, options, engine)
    assert list(diff(what, found)) == []
    with open_image(BytesBlob(write(what, options, engine))) as image:
        assert raw_parts(image) == set(parts)
        flags = sum(PART_FLAGS[part] for part in parts)
        assert image.superblock.flags & sum(PART_FLAGS.values()) == flags
        entries = [image.fragment(number) for number in range(image.superblock.fragments)]
        assert all(entry.size & BLOCK_RAW for entry in entries) == ("fragments" in parts)
        export = int.from_bytes(image.blob.read_at(image.superblock.lookup_table_start, 8), "little")
        assert bool(image.blob.read_at(export + 1, 1)[0] & 0x80) == ("inodes" in parts)


def test_holes_are_stored() -> None:
    what = tree({"/hole": bytes(4 * BLOCK), "/half": bytes(BLOCK) + TEXT})
    found = checked(what, Options(block_size=BLOCK, holes=False))
    assert all(content(found, "/hole").words()) and all(content(found, "/half").words())
    _, report = write_report(what, Options(block_size=BLOCK, holes=False))
    assert (report.hole_bytes, report.duplicate_blocks) == (0, 4)


def test_every_name_its_own_inode() -> None:
    shared = File(Meta(), BytesBlob(NOISE + b"tail"))
    what = tree({"/a": shared, "/b": shared, "/d/c": shared})
    image, report = write_report(what, Options(block_size=BLOCK, hardlinks=False))
    found = read(image)
    assert not found.links() and (report.files, report.hard_links) == (3, 0)
    assert len({content(found, path)._inode.number for path in ("/a", "/b", "/d/c")}) == 3
    assert {start(found, path) for path in ("/a", "/b", "/d/c")} == {96}
    assert list(FORMAT.check_blob(BytesBlob(image), Limits.default(), Control())) == []
    assert content(found, "/d/c").read_at(0, 9000) == NOISE + b"tail"


@pytest.mark.parametrize("offset", [4096, 12345])
def test_an_image_inside_of_a_file(offset: int, tmp_path: Path) -> None:
    """Positions, also aligned ones, count from where the image begins; nothing outside of it is touched."""
    target = tmp_path / "disk"
    options = Options(block_size=BLOCK, align=16384)
    size = len(write(everything(), options))
    target.write_bytes(b"#" * (offset + size + 5000))
    with PlainFile(target, start=offset, sync=False) as sink:
        write_image(everything(), sink, options, Control(), get_engine("pure"))
    whole = target.read_bytes()
    assert whole[:offset] == b"#" * offset and whole[offset + size :] == b"#" * 5000
    assert whole[offset : offset + size] == write(everything(), options)
    with FileBlob(target) as blob:
        inside = SliceBlob(blob, offset, size)
        assert list(diff(everything(), open_image(inside).tree)) == []
        assert list(FORMAT.check_blob(inside, Limits.default(), Control())) == []


SETTINGS: list[dict[str, object]] = [
    {"compression": "gzip", "window": 9},
    {"compression": "gzip", "strategy": ("default", "filtered", "huffman", "rle", "fixed"), "level": 3},
    {"compression": "gzip", "strategy": ("rle",), "optimize": True},
    {"compression": "gzip", "optimize": True},
    {"compression": "zstd", "optimize": True},
    {"compression": "zstd", "level": -20},
    {"compression": "lz4", "acceleration": 50},
    {"compression": "lz4", "optimize": True},
    {"compression": "xz", "optimize": True, "level": 1},
    {"compression": "xz", "filters": ("x86", "armthumb"), "dict_size": 3 << 13, "block_size": 32768},
    {"compression": "xz", "lc": 0, "lp": 2, "pb": 0, "extreme": True, "level": 0},
    {"compression": "lzo", "algorithm": "lzo1x_999"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_settings_of_codecs(settings: dict[str, object]) -> None:
    options = Options(**{"block_size": BLOCK, **settings})  # type: ignore[arg-type]
    what = everything()
    checked(what, options)
    if len(ENGINES) == 2:
        assert write(what, options, "pure") == write(what, options, "native")


@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "lz4"])
def test_optimize_is_never_larger(compression: str) -> None:
    source = [Path(name).read_bytes() for name in (random.__file__, __file__, "/proc/self/exe")]
    what = tree({f"/{number}": data[: 1 << 19] for number, data in enumerate(source)})
    stored = [
        write_report(what, Options(compression=compression, optimize=optimize), ENGINES[-1])[1].bytes_stored
        for optimize in (False, True)
    ]
    assert stored[1] < stored[0]
