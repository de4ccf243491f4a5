"""dm-verity: a tree of digests beside a device, whose root stands for every byte of it.

    level 0   one digest for each data block, packed into hash blocks
    level 1   one digest for each hash block of level 0
    ...       until a level is one hash block: its digest is the root hash

On disk a superblock comes first, alone in its block, then the levels, the top one first. Digests fill slots: in type 1 of the
next power of two of bytes, with the salt before the block; in type 0 (Chrome OS) without a gap, with the salt behind it. One
data block has no level at all: its digest is the root hash. This is what `veritysetup format` writes.

Hashing goes in pieces, on several threads, by an engine. `verify` computes the tree again and compares all of it, with
the bytes between and behind digests, which are zeros; the first difference is reported, by the data block or the byte of
the hash area where it lies.

Sources: Linux, Documentation/admin-guide/device-mapper/verity.rst and drivers/md/dm-verity-target.c; cryptsetup,
lib/verity.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Final

from imgcore.blob import Blob, BytesBlob, SliceBlob
from imgcore.engine import Engine, get_engine
from imgcore.engine.hashing import BlockHash
from imgcore.engine.threads import on_threads
from imgcore.errors import Corrupt, NotThisFormat, Unsupported, VerificationFailed
from imgcore.events import Control
from imgcore.limits import Limits
from imgcore.values import value_class
from imgcore.wire import Record, one_of, power_of_two, raw, record, u16, u32, u64, within

__all__ = [
    "ALGORITHMS",
    "VERITY_MAGIC",
    "HashTree",
    "VerityOptions",
    "VeritySuperblock",
    "hash_tree",
    "read_superblock",
    "verify",
]

VERITY_MAGIC: Final = b"verity\0\0"
ALGORITHMS: Final = ("sha1", "sha256", "sha512")
_LEAST_BLOCK, _MOST_BLOCK = 512, 4096
_MOST_SALT: Final = 256
_PIECE: Final = 1 << 20  # bytes that one thread hashes between looks at the cancel flag


@record("<", spec="cryptsetup, lib/verity/verity.c: struct verity_sb")
class VeritySuperblock(Record):
    """The first 512 bytes of a hash device."""

    magic: Annotated[bytes, raw(8)]
    version: Annotated[u32, one_of(1)]
    hash_type: Annotated[u32, one_of(0, 1)]
    uuid: Annotated[bytes, raw(16)]
    algorithm: Annotated[bytes, raw(32)]
    data_block_size: Annotated[u32, power_of_two(_LEAST_BLOCK, 1 << 19)]
    hash_block_size: Annotated[u32, power_of_two(_LEAST_BLOCK, 1 << 19)]
    data_blocks: u64
    salt_size: Annotated[u16, within(0, _MOST_SALT)]
    padding: Annotated[bytes, raw(6)]
    salt: Annotated[bytes, raw(_MOST_SALT)]
    rest: Annotated[bytes, raw(168)]


assert VeritySuperblock.SIZE == 512


@value_class
class VerityOptions:
    """How a tree is made.

    `data_block` and `hash_block` are bytes, powers of two from 512 to 4096; `salt` has at most 256 bytes; `hash_type` 0 is
    that of Chrome OS. Raises ValueError for others.
    """

    salt: bytes = b""
    uuid: uuid.UUID = uuid.UUID(int=0)
    algorithm: str = "sha256"
    data_block: int = 4096
    hash_block: int = 4096
    hash_type: int = 1

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"`{self.algorithm}` is not a hash for dm-verity here; known: {', '.join(ALGORITHMS)}")
        for size in (self.data_block, self.hash_block):
            if not _LEAST_BLOCK <= size <= _MOST_BLOCK or size & (size - 1):
                raise ValueError(f"a block of {size} bytes: not a power of two from {_LEAST_BLOCK} to {_MOST_BLOCK}")
        if len(self.salt) > _MOST_SALT:
            raise ValueError(f"a salt of {len(self.salt)} bytes; at most {_MOST_SALT}")
        if self.hash_type not in (0, 1):
            raise ValueError(f"hash type {self.hash_type} is neither 0 nor 1")

    def how(self, block: int) -> BlockHash:
        """Return how blocks of this size are hashed."""
        size = hashlib.new(self.algorithm).digest_size
        slot = 1 << (size - 1).bit_length() if self.hash_type else size
        return BlockHash(self.algorithm, block, self.salt, not self.hash_type, slot)

    @property
    def per_block(self) -> int:
        """Return how many digests a hash block holds: a power of two."""
        size = hashlib.new(self.algorithm).digest_size
        return 1 << ((self.hash_block // size).bit_length() - 1)

    def levels(self, data_blocks: int) -> list[int]:
        """Return how many hash blocks each level has, from level 0 up; [] for a single data block."""
        found, count = [], data_blocks
        while count > 1:
            count = -(-count // self.per_block)
            found.append(count)
        return found

    def superblock(self, data_blocks: int) -> VeritySuperblock:
        """Return the superblock for so many data blocks."""
        return VeritySuperblock(
            VERITY_MAGIC,
            1,
            self.hash_type,
            self.uuid.bytes,
            self.algorithm.encode().ljust(32, b"\0"),
            self.data_block,
            self.hash_block,
            data_blocks,
            len(self.salt),
            bytes(6),
            self.salt.ljust(_MOST_SALT, b"\0"),
            bytes(168),
        )


@value_class(eq=False)
class HashTree:
    """What a hash device holds: `root` is the root hash, `area` all bytes of it, superblock first."""

    root: bytes
    area: bytes
    data_blocks: int


def hash_tree(
    data: Blob, options: VerityOptions, *, jobs: int = 1, engine: Engine | None = None, control: Control | None = None
) -> HashTree:
    """Return the tree over `data`, whose size is a multiple of the data block and not 0.

    Raises ValueError for another size, SourceError, Cancelled.
    """
    if not data.size or data.size % options.data_block:
        raise ValueError(f"{data.size} bytes are not one or more data blocks of {options.data_block}")
    root, levels = _tree(data, options, jobs, engine or get_engine(), control or Control())
    blocks = data.size // options.data_block
    head = options.superblock(blocks).pack().ljust(options.hash_block, b"\0")
    return HashTree(root, b"".join((head, *reversed(levels))), blocks)


def _tree(data: Blob, options: VerityOptions, jobs: int, engine: Engine, control: Control) -> tuple[bytes, list[bytes]]:
    """Return the root hash, and the bytes of each level from level 0 up."""
    size = hashlib.new(options.algorithm).digest_size
    levels: list[bytes] = []
    blob, block = data, options.data_block
    while True:
        digests = _digests(blob, options.how(block), jobs, engine, control)
        if blob.size == block:
            return digests[:size], levels
        levels.append(_padded(digests, options))
        blob, block = BytesBlob(levels[-1]), options.hash_block


def _digests(blob: Blob, how: BlockHash, jobs: int, engine: Engine, control: Control) -> bytes:
    def piece(at: int) -> bytes:
        control.check()
        wanted = min(_PIECE, blob.size - at)
        data = blob.read_at(at, wanted)
        if len(data) != wanted:
            raise AssertionError(f"{type(blob).__name__} ended at {at + len(data)} of {blob.size} bytes")
        return engine.hash_blocks(data, how)

    if engine.name == "pure":
        jobs = 1  # hashlib holds the GIL between blocks: two threads are slower than one
    return b"".join(on_threads(piece, range(0, blob.size, _PIECE), jobs))


def _padded(digests: bytes, options: VerityOptions) -> bytes:
    """Return slots cut into hash blocks, each padded with zeros."""
    used = options.per_block * options.how(options.hash_block).slot
    if used == options.hash_block:
        return digests + bytes(-len(digests) % used)
    return b"".join(digests[at : at + used].ljust(options.hash_block, b"\0") for at in range(0, len(digests), used))


def read_superblock(area: Blob) -> tuple[VerityOptions, int]:
    """Return what the superblock of a hash device says: (options, number of data blocks).

    Raises NotThisFormat without one, Corrupt for one that cannot be right, Unsupported for a hash or a block size that is
    not read here.
    """
    head = area.read_at(0, VeritySuperblock.SIZE)
    if head[:8] != VERITY_MAGIC or len(head) < VeritySuperblock.SIZE:
        raise NotThisFormat("no dm-verity superblock", offset=0, structure="VeritySuperblock", field="magic")
    block = VeritySuperblock.unpack_unchecked(head)
    for place, value, allowed in block.violations():
        raise Corrupt(
            "cannot be right", offset=place.offset, structure="VeritySuperblock", field=place.name, found=value, allowed=allowed
        )
    name = block.algorithm.partition(b"\0")[0].decode("ascii", "backslashreplace")
    try:
        options = VerityOptions(
            block.salt[: block.salt_size],
            uuid.UUID(bytes=block.uuid),
            name,
            block.data_block_size,
            block.hash_block_size,
            block.hash_type,
        )
    except ValueError as error:
        raise Unsupported(str(error), structure="VeritySuperblock") from None
    if not block.data_blocks:
        raise Corrupt("no data blocks", structure="VeritySuperblock", field="data_blocks", found=0, allowed="at least 1")
    if options.superblock(block.data_blocks).pack() != head:
        raise Corrupt("bytes that have to be zero are not", structure="VeritySuperblock")
    return options, block.data_blocks


def verify(
    data: Blob,
    area: Blob,
    root: bytes,
    *,
    jobs: int = 1,
    engine: Engine | None = None,
    control: Control | None = None,
    limits: Limits | None = None,
) -> VerityOptions:
    """Check every byte of `data` and of the tree in `area` against the root hash; return what the superblock says.

    Raises VerificationFailed, which names the first data block or the byte of the hash area that is wrong, Corrupt for an
    area that is too short or covers more than there is, and what `read_superblock` raises.
    """
    options, blocks = read_superblock(area)
    (limits or Limits.default()).require("max_file_size", blocks * options.data_block)
    if blocks * options.data_block > data.size:
        raise Corrupt(
            "the tree covers more data than there is",
            structure="VeritySuperblock",
            field="data_blocks",
            found=blocks,
            allowed=f"at most {data.size // options.data_block}",
        )
    levels = options.levels(blocks)
    end = options.hash_block * (1 + sum(levels))
    if end > area.size:
        raise Corrupt(
            "the tree is cut", offset=area.size, structure="verity tree", found=area.size, allowed=f"at least {end} bytes"
        )
    covered = SliceBlob(data, 0, blocks * options.data_block)
    found, made = _tree(covered, options, jobs, engine or get_engine(), control or Control())
    at = end
    for level, expected in enumerate(made):
        at -= len(expected)
        wrong = _first_difference(area, at, expected)
        if wrong is not None:
            raise _wrong(options, level, wrong, at)
    if found != root:
        raise VerificationFailed("the root hash is another one", structure="verity tree", found=found.hex(), allowed=root.hex())
    return options


def _wrong(options: VerityOptions, level: int, wrong: int, at: int) -> VerificationFailed:
    """Return the error for byte `wrong` of a level that begins at byte `at` of the hash area."""
    slot = options.how(options.hash_block).slot
    hash_block, inside = divmod(wrong, options.hash_block)
    number = hash_block * options.per_block + inside // slot
    if inside // slot >= options.per_block:
        return VerificationFailed("a byte behind digests is not zero", offset=at + wrong, structure="verity tree")
    if level == 0:
        return VerificationFailed(
            f"data block {number} does not match its digest",
            offset=number * options.data_block,
            structure="verity data",
            hint=f"the digest is at byte {at + wrong // slot * slot} of the hash area",
        )
    return VerificationFailed(
        f"hash block {number} of level {level - 1} does not match its digest", offset=at + wrong, structure="verity tree"
    )


def _first_difference(area: Blob, at: int, expected: bytes) -> int | None:
    """Return the first byte of `expected` that `area` does not have from `at` on, None where all are there."""
    for start in range(0, len(expected), _PIECE):
        want = expected[start : start + _PIECE]
        have = area.read_at(at + start, len(want))
        if have != want:
            return start + next((i for i, (a, b) in enumerate(zip(have, want, strict=False)) if a != b), len(have))
    return None
