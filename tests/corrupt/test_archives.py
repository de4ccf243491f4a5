"""Broken archives: every field of every header changed, every cut at a block, bytes by chance. Only ImgcoreError comes out."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, read_chunks
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.errors import ImgcoreError, LimitExceeded
from imgcore.events import Control
from imgcore.formats import cpio, tar
from imgcore.formats.base import Format
from imgcore.formats.cpio.layout import NewcHeader
from imgcore.formats.tar.layout import BLOCK, GnuSparse, Header, checksum_fits
from imgcore.limits import Limits
from imgcore.model import File
from tests.kit.archives import END, hard, member, pax, written
from tests.unit.formats.tar.test_reader import gnu_sparse, long_name

LIMITS = Limits(max_entries=2000, max_metadata=4 << 20, max_file_size=1 << 40, max_xattrs=1 << 20)
_MOST_READ = 4 << 20


def small(path: bytes, node: object) -> object:
    return None if path.startswith((b"/many", b"/deep")) else node


def tars() -> dict[str, bytes]:
    text = pax(GNU__sparse__major=b"1", GNU__sparse__minor=b"0", GNU__sparse__name=b"s", GNU__sparse__realsize=b"5000")
    return {
        "ours": written(tar.FORMAT, hard().map(small)),  # type: ignore[arg-type]
        "gnu": long_name(b"n" * 200)
        + member(b"n", b"1")
        + gnu_sparse(b"x" * 300, 99_999, [(n * 50, 10) for n in range(30)])
        + END,
        "pax": text + member(b"x", b"1\n10\n3\n".ljust(512, b"\0") + b"abc") + member(b"h", kind=b"1", linkname=b"s") + END,
    }


def resealed(image: bytearray, at: int) -> None:
    """Give the header at `at` a checksum that fits, so that its other fields are looked at."""
    image[at + 148 : at + 156] = b" " * 8
    image[at + 148 : at + 156] = b"%06o\0 " % sum(image[at : at + BLOCK])


def exercise(form: Format, image: bytes) -> int:
    """Read all of an image in every way; return how many errors there were. Only ImgcoreError is caught."""
    errors = 0
    try:
        with form.open(BytesBlob(image), LIMITS) as opened:
            opened.info()
            list(opened.layout())
            for _, node in opened.tree.walk():
                if isinstance(node, File):
                    list(zip(range(64), node.content.segments(), strict=False))
                    left = _MOST_READ
                    for chunk in read_chunks(node.content, 1 << 16):
                        left -= len(chunk)
                        if left < 0:
                            break
    except ImgcoreError as error:
        assert error.offset is not None or error.field is not None, error
        errors += 1
    try:
        errors += len(list(form.check_blob(BytesBlob(image), LIMITS, Control())))
    except ImgcoreError:
        errors += 1
    return errors


VALUES = [
    b"",
    b"\xff" * 155,
    b"\x80" + b"\0" * 154,
    b"\x80" + b"\x7f" * 154,
    b"7" * 155,
    b"8" * 155,
    b"-1",
    b" " * 155,
    b"/",
    b"..",
]


def field_mutants(image: bytes) -> Iterator[bytes]:
    heads = [at for at in range(0, len(image), BLOCK) if image[at] and checksum_fits(image[at : at + BLOCK])]
    for at in heads[:40]:
        for kind in (Header, GnuSparse):
            for place in kind.LAYOUT:
                if place.name in ("chksum", "before"):
                    continue
                for value in VALUES:
                    changed = bytearray(image)
                    changed[at + place.offset : at + place.offset + place.width] = value[: place.width].ljust(
                        place.width, b"\0"
                    )
                    resealed(changed, at)
                    yield bytes(changed)


@pytest.mark.parametrize("name", ["gnu", "pax"])
def test_every_field_of_tar(name: str) -> None:
    errors = sum(exercise(tar.FORMAT, image) > 0 for image in field_mutants(tars()[name]))
    assert errors > 50


@pytest.mark.parametrize("kind", list("\0001234567ADIKLMNSVXgxZ~"))
def test_every_kind_of_member(kind: str) -> None:
    for name, image in tars().items():
        if name == "ours":
            continue
        for at in [at for at in range(0, len(image), BLOCK) if image[at] and checksum_fits(image[at : at + BLOCK])]:
            changed = bytearray(image)
            changed[at + 156] = ord(kind)
            resealed(changed, at)
            exercise(tar.FORMAT, bytes(changed))


@pytest.mark.parametrize("name", ["ours", "gnu", "pax"])
def test_every_cut_of_tar(name: str) -> None:
    image = tars()[name]
    whole = image.rstrip(b"\0")
    step = BLOCK if len(image) < 100_000 else 16 * BLOCK
    for length in [*range(0, len(whole), step), *range(1, len(whole), step)]:
        exercise(tar.FORMAT, image[:length])


@pytest.mark.parametrize("form", [tar.FORMAT, cpio.FORMAT], ids=["tar", "cpio"])
def test_bytes_by_chance(form: Format) -> None:
    chance = random.Random(11)
    images = list(tars().values())[1:] if form is tar.FORMAT else [small_cpio()]
    for number in range(3000):
        changed = bytearray(images[number % len(images)])
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(changed))
            changed[at] = chance.choice([0, 0xFF, 0x80, 0x2F, 0x2E, 0x39, chance.randrange(256)])
            if form is tar.FORMAT and chance.random() < 0.9:
                resealed(changed, at - at % BLOCK)
        exercise(form, bytes(changed))


def small_cpio() -> bytes:
    tree = hard(sockets=True, xattrs=False).map(
        lambda path, node: None if path.startswith((b"/many", b"/hole", b"/sparse", b"/all", b"/deep", b"/zz")) else node
    )
    options = cpio.Options(allow_loss=("time",))
    return written(cpio.FORMAT, tree, options)[: 60 << 10].rpartition(b"070701")[0] + written(cpio.FORMAT, tree, options)[-512:]


def test_every_field_and_cut_of_cpio() -> None:
    plain = written(cpio.FORMAT, hard(xattrs=False).map(small), cpio.Options(allow_loss=("time",)))  # type: ignore[arg-type]
    image = plain[:8000].rpartition(b"070701")[0]
    image += plain[plain.rindex(b"070701") :]
    exercise(cpio.FORMAT, image)
    at = -1
    while (at := image.find(b"070701", at + 1)) >= 0:
        for place in NewcHeader.LAYOUT:
            for value in (
                b"00000000",
                b"FFFFFFFF",
                b"7FFFFFFF",
                b"80000000",
                b"0000000g",
                b"\xff" * 8,
                b"00000001",
                b"00001000",
            ):
                changed = bytearray(image)
                changed[at + place.offset : at + place.offset + place.width] = value[: place.width]
                exercise(cpio.FORMAT, bytes(changed))
    for length in range(0, len(image.rstrip(b"\0")), 37):
        assert exercise(cpio.FORMAT, image[:length]) > 0


def test_compressed_ones_by_chance() -> None:
    chance = random.Random(12)
    packed = gzip.compress(tars()["pax"])
    for _ in range(300):
        changed = bytearray(packed)
        changed[chance.randrange(10, len(changed))] ^= 1 << chance.randrange(8)
        try:
            with open_source(BytesBlob(bytes(changed)), limits=LIMITS) as source:
                list(source.tree.walk())
        except ImgcoreError as error:
            assert str(error)


@pytest.mark.parametrize("count", [1, 5])
def test_a_bomb_of_holes_is_not_packed(count: int, tmp_path: Path) -> None:
    """A few hundred bytes that stand for terabytes of zeros, in one file or in several."""
    size = (8 << 40) // count
    archive = tmp_path / "a.tar"
    parts = []
    for number in range(count):
        records = {"GNU__sparse__major": b"1", "GNU__sparse__minor": b"0", "GNU__sparse__name": b"s%d" % number}
        parts += [pax(GNU__sparse__realsize=b"%d" % size, **records), member(b"x", b"1\n0\n10\n".ljust(512, b"\0") + b"x" * 10)]
    archive.write_bytes(b"".join(parts) + END)
    with pytest.raises(LimitExceeded) as caught:
        pack(archive, tmp_path / "out.raw")
    assert caught.value.field == ("max_file_size" if count == 1 else "max_total_size")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
