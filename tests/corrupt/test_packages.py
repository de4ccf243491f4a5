"""Broken packages and repositories: every entry of every header changed, every cut, bytes by chance.

Only ImgcoreError comes out.
"""

from __future__ import annotations

import gzip
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, read_chunks
from imgcore.errors import ImgcoreError, LimitExceeded
from imgcore.events import Control
from imgcore.formats import deb, rpm
from imgcore.formats.base import Format
from imgcore.formats.rpm.layout import HeaderIntro, IndexEntry, Lead
from imgcore.limits import Limits
from imgcore.model import Accounts, File
from imgcore.packages import Repository, install, resolve
from tests.kit.packages import Entry, Rpm, ar, member, sample
from tests.kit.repodata import Repo
from tests.unit.formats.deb.test_reader import package as deb_package
from tests.unit.packages.test_repository import PACKAGES

LIMITS = Limits(max_entries=2000, max_metadata=4 << 20, max_file_size=1 << 33, max_xattrs=1 << 20, max_stream=64 << 20)
_MOST_READ = 1 << 20


def exercise(form: Format, image: bytes) -> int:
    """Read all of a package in every way; return how many errors there were. Only ImgcoreError is caught."""
    errors = 0
    try:
        with form.open(BytesBlob(image), LIMITS) as opened:
            opened.info()
            list(opened.layout())
            Accounts.of_tree(opened.tree)
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


def headers(image: bytes) -> list[tuple[int, int, int]]:
    """Return (where it begins, entries, where its store begins) of both headers."""
    found, at = [], Lead.SIZE
    for _ in range(2):
        count, size = struct.unpack_from(">II", image, at + 8)
        store = at + HeaderIntro.SIZE + count * IndexEntry.SIZE
        found.append((at, count, store))
        at = -(-(store + size) // 8) * 8
    return found


def numbers(image: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield (name, offset, width) of every number of the structure."""
    for at, count, _ in headers(image):
        yield "HeaderIntro.il", at + 8, 4
        yield "HeaderIntro.dl", at + 12, 4
        for number in range(count):
            for field in IndexEntry.LAYOUT:
                place = at + HeaderIntro.SIZE + number * IndexEntry.SIZE + field.offset
                yield f"IndexEntry.{field.name} {number}", place, field.width


def values(value: int, width: int, chance: random.Random) -> set[int]:
    most = (1 << 8 * width) - 1
    tries = {0, 1, most, most >> 1, (value + 1) & most, (value - 1) & most}
    tries |= {chance.randrange(most + 1), value ^ 1 << chance.randrange(8 * width)}
    return tries - {value}


@pytest.mark.parametrize("version", [3, 4, 6])
def test_every_field(version: int) -> None:
    # Without digests, which would end every reading at once; what is behind them has to hold by itself.
    whole = sample(format=version, form="stripped" if version == 6 else "newc")
    image = whole.but(signature={269: None, 273: None, 279: None, 1000: None, 1004: None}, tags={5112: None}).build()
    chance = random.Random(version)
    wrong = 0
    assert exercise(rpm.FORMAT, image) == 0 or version == 3  # of which no digest is left
    for name, at, width in numbers(image):
        value = int.from_bytes(image[at : at + width], "big")
        for other in sorted(values(value, width, chance)):
            changed = bytearray(image)
            changed[at : at + width] = other.to_bytes(width, "big")
            try:
                wrong += exercise(rpm.FORMAT, bytes(changed)) > 0
            except AssertionError:
                raise
            except Exception as error:
                raise AssertionError(f"{name} at {at:#x}: {value:#x} -> {other:#x}") from error
    assert wrong > 200


@pytest.mark.parametrize("version", [3, 4, 6])
def test_every_value(version: int) -> None:
    """Bytes of the stores: modes, sizes, numbers of directories, names, flags."""
    image = sample(format=version, signature={269: None, 273: None, 279: None, 1004: None}).build()
    chance = random.Random(version)
    (_, _, first), (at, _, store) = headers(image)
    end = store + struct.unpack_from(">I", image, at + 12)[0]
    for place in (*range(first, at, 7), *range(store, end, 3)):
        changed = bytearray(image)
        changed[place] = chance.choice([0, 0xFF, 0x2F, 0x2E, image[place] ^ 1 << chance.randrange(8)])
        exercise(rpm.FORMAT, bytes(changed))


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd", "bzip2", "lzma"])
def test_cut_rpms(compression: str) -> None:
    image = sample(compression=compression, form="stripped").build()
    for size in (*range(0, min(len(image), 300)), *range(300, len(image), 97), len(image) - 1):
        assert exercise(rpm.FORMAT, image[:size])


@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_cut_payloads_without_a_size(compression: str) -> None:
    image = sample(compression=compression, format=3, signature={1000: None, 1004: None}).build()
    begin = headers(image)[1][2]
    for size in range(begin + 2200, len(image) - 1, 41):
        assert exercise(rpm.FORMAT, image[:size])


def test_payloads_by_chance() -> None:
    chance = random.Random(4)
    package = sample()
    cpio = bytearray(package.cpio())
    heads = [at for at in range(0, len(cpio) - 6, 4) if cpio[at : at + 6] == b"070701"]
    for _ in range(400):
        changed = bytearray(cpio)
        for _ in range(chance.randrange(1, 4)):
            at = chance.choice(heads) + chance.randrange(6, 130)
            if at < len(changed):
                changed[at] = chance.choice(b"0123456789abcdefF./\0")
        broken = package.but(payload=bytes(changed), tags={**package.tags, 5092: None, 5097: None})
        exercise(rpm.FORMAT, broken.build())


NAMES = [b"../../etc/passwd", b"./../x", b"/etc/passwd", b"./usr/bin/a/../../x", b"", b".", b"./", b"x\0y", b"." + b"/a" * 9000]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere(name: bytes) -> None:
    end = member(b"TRAILER!!!", b"", 0)
    package = Rpm(sample().files[:3], payload=member(name, b"x", 0o100644) + end)
    assert exercise(rpm.FORMAT, package.build())


def test_many_names_of_one_long_directory() -> None:
    files = [Entry(b"/" + b"d" * 30_000 + b"/%d" % number) for number in range(300)]
    with pytest.raises(LimitExceeded, match="max_metadata"):
        rpm.open_image(BytesBlob(Rpm(files).build()), LIMITS)
    with pytest.raises(LimitExceeded, match="max_path"):
        rpm.open_image(BytesBlob(Rpm([Entry(b"/" + b"d" * 70_000)]).build()))


def test_a_bomb_is_bounded() -> None:
    plain = member(b"./a", b"x", 0o100644) + member(b"TRAILER!!!", b"", 0)
    package = Rpm([Entry(b"/a", b"x")], payload=gzip.compress(plain + bytes(80 << 20)))
    with pytest.raises(ImgcoreError, match="max_stream"), rpm.open_image(BytesBlob(package.build()), LIMITS) as image:
        list(read_chunks(image.tree["/a"].content))  # type: ignore[union-attr]


def test_broken_debs() -> None:
    chance = random.Random(6)
    for compression in ("none", "gzip", "xz", "zstd"):
        image = deb_package(compression=compression)
        for size in (*range(0, min(len(image), 400), 3), *range(400, len(image) - 1, 211)):
            assert exercise(deb.FORMAT, image[:size]), size
        for _ in range(300):
            changed = bytearray(image)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(8, len(changed))] = chance.randrange(256)
            exercise(deb.FORMAT, bytes(changed))
    for name, _, width in (("size", 48, 10), ("name", 0, 16), ("fmag", 58, 2)):
        for value in (b"", b"9" * width, b"-1", b"\0" * width, b"\xff" * width, b"0", b"1"):
            changed = bytearray(ar(("debian-binary", b"2.0\n")) + deb_package()[72:])
            at = 72 + {"size": 48, "name": 0, "fmag": 58}[name]
            changed[at : at + width] = value.ljust(width)
            assert exercise(deb.FORMAT, bytes(changed))


def test_broken_repositories(tmp_path: Path) -> None:
    chance = random.Random(8)
    for number in range(250):
        kind = ("repomd", "primary", "filelists")[number % 3]

        def change(text: str) -> str:
            data = bytearray(text.encode())
            for _ in range(chance.randrange(1, 5)):
                at = chance.randrange(len(data))
                data[at : at + chance.randrange(4)] = bytes(chance.choices(b"<>&\"'/= a0\0\xff", k=chance.randrange(4)))
            return data[: chance.choice([len(data), chance.randrange(len(data))])].decode("utf-8", "replace")

        place = Repo(PACKAGES, bytes, change={kind: change}).write(tmp_path / str(number))
        try:
            source = Repository(str(place), limits=LIMITS)
            found = resolve(["app"], [source], arch="x86_64")
            with install(found.packages, limits=LIMITS) as made:
                list(made.tree.walk())
        except ImgcoreError as error:
            assert error.message
