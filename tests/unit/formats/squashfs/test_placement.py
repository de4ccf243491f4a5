"""Where content goes: what is shared, what is copied, and that a duplicate is never compressed."""

from __future__ import annotations

import random

import pytest

from imgcore.blob import BytesBlob, MemorySink
from imgcore.engine.protocol import Kind, Piece
from imgcore.formats.squashfs import Options
from imgcore.formats.squashfs.content import FileContent
from imgcore.formats.squashfs.data import Placer
from imgcore.formats.squashfs.layout import BLOCK_RAW
from imgcore.model import File, Meta, Tree, tree
from tests.kit.squashfs_io import ENGINES, read, write_report

BLOCK = 4096
A, B, C, D = (random.Random(seed).randbytes(BLOCK) for seed in range(4))
HOLE = bytes(BLOCK)


def start(found: Tree, path: str) -> int:
    content = found[path].content  # type: ignore[union-attr]
    assert isinstance(content, FileContent)
    return content._inode.start


def written(*contents: bytes, **options: object) -> tuple[Tree, int, object]:
    files = {f"/{number}": content for number, content in enumerate(contents)}
    image, report = write_report(tree(files), Options(compression="none", block_size=BLOCK, **options))  # type: ignore[arg-type]
    found = read(image)
    for number, content in enumerate(contents):
        assert found[f"/{number}"].content.read_at(0, 1 << 30) == content  # type: ignore[union-attr]
    return found, report.bytes_stored // BLOCK, report


@pytest.mark.parametrize(
    ("contents", "blocks", "offsets"),
    [
        ((A + B, A + B), 2, (0, 0)),
        ((A + B + C, B + C), 3, (0, 1)),
        ((A + B + C, A + B), 3, (0, 0)),
        ((A + B + C, B), 3, (0, 1)),
        ((A + B, C + D, B + C), 4, (0, 2, 1)),  # a run across two files
        ((A + B, A + C, A + C), 4, (0, 2, 2)),  # the block A stands twice, the second time before C
        ((A + B, A + C), 4, (0, 2)),  # a copy of A, since its blocks have to lie together
        ((A + B, B + A), 4, (0, 2)),
        ((A, A + A, A + A + A), 3, (0, 1, 0)),  # three copies of A lie together by then
        ((A + HOLE + B, A + B, HOLE + A + B + HOLE), 2, (0, 0, 0)),
        ((A + B, C + A + B), 5, (0, 2)),
        ((HOLE + HOLE, A), 1, (0, 0)),
        ((A + B + C + D, A + B + D), 7, (0, 4)),
    ],
)
def test_runs(contents: tuple[bytes, ...], blocks: int, offsets: tuple[int, ...]) -> None:
    found, stored, _ = written(*contents)
    assert stored == blocks
    first = (
        min(start(found, f"/{number}") for number in range(len(contents)) if any(contents[number]))
        if any(map(any, contents))
        else 0
    )
    for number, offset in enumerate(offsets):
        if any(contents[number]):
            assert (start(found, f"/{number}") - first) // BLOCK == offset, number


def test_without_dedup_everything_is_stored() -> None:
    assert written(A + B, A + B, dedup=False)[1] == 4


def test_equal_tails_share_their_place() -> None:
    found, _, report = written(A + b"tail", B + b"tail", b"tail", b"other")
    inodes = [found[f"/{number}"].content._inode for number in range(4)]  # type: ignore[union-attr]
    assert [(inode.fragment, inode.offset) for inode in inodes] == [(0, 0), (0, 0), (0, 0), (0, 4)]
    assert report.duplicate_tails == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(("fragments", "words", "tails"), [("all", 1, 2), ("small", 2, 1), ("none", 2, 0)])
def test_which_tails_are_packed(fragments: str, words: int, tails: int) -> None:
    found, _, _ = written(A + b"tail", b"small", fragments=fragments)
    first, second = (found[f"/{number}"].content for number in (0, 1))  # type: ignore[union-attr]
    assert len(first.words()) == words
    assert sum(content._inode.fragment != 0xFFFFFFFF for content in (first, second)) == tails


@pytest.mark.parametrize("engine", ENGINES)
def test_a_duplicate_is_never_compressed(engine: str) -> None:
    text = b"".join(b"%d lines of text\n" % number for number in range(40000))
    one = tree({"/a": text})
    ten = tree({f"/{number}": text for number in range(10)})
    options = Options(compression="gzip", block_size=BLOCK)
    image, report = write_report(ten, options, engine)  # type: ignore[arg-type]
    single, _ = write_report(one, options, engine)  # type: ignore[arg-type]
    assert report.duplicate_blocks == 9 * (len(text) // BLOCK)
    assert len(image) - len(single) <= 4096
    assert report.files == 10
    assert report.bytes_in == 10 * len(text)


def test_sparse_counts_holes_and_never_the_whole_file() -> None:
    files = {"/hole": BytesBlob(HOLE * 3), "/mixed": HOLE + A + HOLE, "/short": bytes(10), "/plain": A, "/empty": b""}
    image, _ = write_report(
        tree({path: File(Meta(), data if isinstance(data, BytesBlob) else BytesBlob(data)) for path, data in files.items()})
    )
    found = read(image)
    sparse = {path: found[path].content._inode.sparse for path in files}  # type: ignore[union-attr]
    assert sparse == {"/hole": 3 * BLOCK - 1, "/mixed": 2 * BLOCK, "/short": 0, "/plain": 0, "/empty": 0}


def test_placer_copies_the_stored_bytes_of_a_match_that_ends() -> None:
    sink = MemorySink()
    placer = Placer(sink)
    pieces = [
        Piece(Kind.BLOCK, 0, BLOCK, compressed=True, data=b"first"),
        Piece(Kind.BLOCK, 1, BLOCK, compressed=False, data=b"second"),
        Piece(Kind.END, 0, 2 * BLOCK),
        Piece(Kind.SAME, 0, BLOCK),
        Piece(Kind.ZERO, 0, BLOCK, count=1),
        Piece(Kind.SAME, 1, BLOCK),
        Piece(Kind.BLOCK, 2, BLOCK, compressed=True, data=b"third"),
        Piece(Kind.END, 1, 4 * BLOCK),
    ]
    placer.feed_all(pieces)
    assert sink.value() == b"firstsecond" + b"firstsecondthird"
    assert placer.files[1].start_block == 11
    assert list(placer.files[1].words) == [5, 0, 6 | BLOCK_RAW, 5]
    assert placer.files[1].sparse == BLOCK
