"""dm-verity: vectors of cryptsetup, a naive tree beside ours, and every flipped bit found."""

from __future__ import annotations

import hashlib
import random
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.blob import BytesBlob, SliceBlob, ZeroBlob
from imgcore.disk.verity import ALGORITHMS, VerityOptions, hash_tree, read_superblock, verify
from imgcore.engine import Engine, get_engine, native_available
from imgcore.errors import Cancelled, Corrupt, ImgcoreError, NotThisFormat, Unsupported, VerificationFailed
from imgcore.events import Control

ENGINES = ["pure", *(["native"] if native_available()[0] else [])]
SALT = bytes.fromhex("e48da609055204e89ae53b655ca2216dd983cf3cb829f34f63a297d106d53e2d")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return get_engine(request.param)


@pytest.mark.parametrize(
    ("block", "salt", "kind", "algorithm", "root"),
    [
        (512, SALT, 1, "sha256", "9de18652fe74edfb9b805aaed72ae2aa48f94333f1ba5c452ac33b1c39325174"),
        (1024, SALT, 1, "sha256", "54d92778750495d1f80832b486ebd007617d746271511bbf0e295e143da2b3df"),
        (4096, SALT, 1, "sha256", "e522df0f97da4febb882ac40f30b37dc0b444bf6df418929463fa25280f09d5c"),
        (4096, SALT, 0, "sha256", "cbbf4ebd004ef65e29b935bb635a39cf754d677f3fa10b0126da725bbdf10f7d"),
        (4096, b"", 1, "sha256", "ef29c902d87350f1da4bfa536e16cebc162a909bf89abe448b81ec500d4fb9bf"),
        (1024, SALT, 1, "sha1", "d0e9163ca8844aaa2e88fe5265a8c5d9ee494a99"),
        (1024, bytes.fromhex("dadada"), 1, "sha1", "73509e8e868be6b8ac939817a98a3d35121413b2"),
    ],
)
def test_vectors_of_cryptsetup(engine: Engine, block: int, salt: bytes, kind: int, algorithm: str, root: str) -> None:
    options = VerityOptions(salt, uuid.UUID(int=1), algorithm, block, block, kind)
    assert hash_tree(ZeroBlob(8 << 20), options, jobs=2, engine=engine).root.hex() == root


def naive(data: bytes, options: VerityOptions) -> tuple[bytes, bytes]:
    """Return root hash and levels, written down as the format is told."""
    size = hashlib.new(options.algorithm).digest_size
    slot = size if not options.hash_type else 1 << (size - 1).bit_length()
    per = max(2**n for n in range(16) if 2**n * size <= options.hash_block)

    def digest(block: bytes) -> bytes:
        salted = options.salt + block if options.hash_type else block + options.salt
        return hashlib.new(options.algorithm, salted).digest()

    level = [data[at : at + options.data_block] for at in range(0, len(data), options.data_block)]
    levels = []
    while len(level) > 1:
        digests = [digest(block).ljust(slot, b"\0") for block in level]
        level = [b"".join(digests[at : at + per]).ljust(options.hash_block, b"\0") for at in range(0, len(digests), per)]
        levels.append(b"".join(level))
    return digest(level[0]), b"".join(reversed(levels))


OPTIONS = st.builds(
    VerityOptions,
    salt=st.binary(max_size=256),
    uuid=st.uuids(),
    algorithm=st.sampled_from(ALGORITHMS),
    data_block=st.sampled_from((512, 1024, 2048, 4096)),
    hash_block=st.sampled_from((512, 1024, 2048, 4096)),
    hash_type=st.sampled_from((0, 1)),
)


@given(options=OPTIONS, blocks=st.integers(1, 300), seed=st.integers(0, 1 << 32), jobs=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_as_a_naive_tree(options: VerityOptions, blocks: int, seed: int, jobs: int) -> None:
    data = random.Random(seed).randbytes(blocks * options.data_block)
    root, levels = naive(data, options)
    for name in ENGINES:
        made = hash_tree(BytesBlob(data), options, jobs=jobs, engine=get_engine(name))
        assert (made.root, made.area[options.hash_block :]) == (root, levels)
        assert read_superblock(BytesBlob(made.area)) == (options, blocks)
        assert verify(BytesBlob(data), BytesBlob(made.area), root, engine=get_engine(name)) == options


def test_a_block_of_the_root_alone_has_no_level() -> None:
    made = hash_tree(BytesBlob(bytes(4096)), VerityOptions(SALT))
    assert len(made.area) == 4096
    assert made.root == hashlib.sha256(SALT + bytes(4096)).digest()


def test_every_flipped_bit_is_found() -> None:
    chance = random.Random(1)
    data = chance.randbytes(150 * 512)
    options = VerityOptions(SALT, uuid.UUID(int=3), "sha256", 512, 512)
    made = hash_tree(BytesBlob(data), options)
    places = [(False, at) for at in range(0, len(data), 331)] + [
        (True, at) for at in range(len(made.area)) if not 16 <= at < 32
    ]  # its UUID, which nothing depends on
    for in_area, at in places:
        changed = [bytearray(data), bytearray(made.area)]
        changed[in_area][at] ^= 1 << chance.randrange(8)
        with pytest.raises(ImgcoreError):
            verify(BytesBlob(bytes(changed[0])), BytesBlob(bytes(changed[1])), made.root)


def test_errors_name_the_place() -> None:
    data = bytearray(random.Random(2).randbytes(200 * 4096))
    made = hash_tree(BytesBlob(bytes(data)), VerityOptions(SALT))
    area = bytearray(made.area)
    data[130 * 4096 + 7] ^= 1
    with pytest.raises(VerificationFailed, match="data block 130 does not match") as caught:
        verify(BytesBlob(bytes(data)), BytesBlob(bytes(area)), made.root)
    assert caught.value.offset == 130 * 4096
    data[130 * 4096 + 7] ^= 1
    area[4096 + 32] ^= 1
    with pytest.raises(VerificationFailed, match="hash block 1 of level 0"):
        verify(BytesBlob(bytes(data)), BytesBlob(bytes(area)), made.root)
    area[4096 + 32] ^= 1
    area[4096 + 64] ^= 1
    with pytest.raises(VerificationFailed, match=r"not match|not zero"):
        verify(BytesBlob(bytes(data)), BytesBlob(bytes(area)), made.root)
    area[4096 + 64] ^= 1
    with pytest.raises(VerificationFailed, match="root hash is another"):
        verify(BytesBlob(bytes(data)), BytesBlob(bytes(area)), bytes(32))


def test_areas_that_cannot_be_right() -> None:
    data = BytesBlob(bytes(20 * 4096))
    made = hash_tree(data, VerityOptions(SALT))
    with pytest.raises(NotThisFormat):
        verify(data, BytesBlob(bytes(8192)), made.root)
    with pytest.raises(Corrupt, match="covers more data"):
        verify(SliceBlob(data, 0, 19 * 4096), BytesBlob(made.area), made.root)
    with pytest.raises(Corrupt, match="is cut"):
        verify(data, BytesBlob(made.area[:-1]), made.root)
    for at, value, kind in ((8, 2, Corrupt), (12, 7, Corrupt), (64, 3, Corrupt), (80, 0xFF, Corrupt), (32, 0x41, Unsupported)):
        area = bytearray(made.area)
        area[at : at + 2] = bytes([value, value])
        with pytest.raises(kind):
            verify(data, BytesBlob(bytes(area)), made.root)
    area = bytearray(made.area)
    area[72:80] = b"\xff" * 8
    with pytest.raises(ImgcoreError):
        verify(data, BytesBlob(bytes(area)), made.root)


def test_options_that_are_refused() -> None:
    for wrong in ({"algorithm": "md5"}, {"data_block": 100}, {"hash_block": 8192}, {"salt": bytes(257)}, {"hash_type": 2}):
        with pytest.raises(ValueError):
            VerityOptions(**wrong)  # type: ignore[arg-type]
    for size in (0, 100, 4097):
        with pytest.raises(ValueError, match="data blocks"):
            hash_tree(ZeroBlob(size), VerityOptions())


def test_it_stops_when_asked() -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        hash_tree(ZeroBlob(1 << 30), VerityOptions(), control=control)
