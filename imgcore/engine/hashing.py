"""The digest of each of many blocks of one size, salted: the leaves and the inner nodes of a dm-verity tree.

`hash_each` is what both engines do, in Python: hashlib hands the GIL to others while it works on a block, and the salt's part
of the state is computed once. The native engine has SHA-256 in C, two blocks at a time, where the processor has instructions
for it. One call is for one thread; who has several gives each a part of the blocks.
"""

from __future__ import annotations

import hashlib

from imgcore.values import value_class

__all__ = ["BlockHash", "hash_each"]


@value_class
class BlockHash:
    """How blocks are hashed.

    `algorithm` is hashlib's name of it; a block has `block` bytes; the salt comes before the block or, with `salt_last`,
    behind it; digests lie at every `slot` bytes, with zeros between them.
    """

    algorithm: str
    block: int
    salt: bytes
    salt_last: bool
    slot: int


def hash_each(data: bytes, how: BlockHash) -> bytes:
    """Return the slots of the digests of the blocks of `data`, whose length is a multiple of `how.block`."""
    block, slot = how.block, how.slot
    view = memoryview(data)
    start = hashlib.new(how.algorithm, b"" if how.salt_last else how.salt, usedforsecurity=False)
    digests = []
    for at in range(0, len(data), block):
        state = start.copy()
        state.update(view[at : at + block])
        if how.salt_last:
            state.update(how.salt)
        digests.append(state.digest())
    if slot == start.digest_size:
        return b"".join(digests)
    return b"".join(digest.ljust(slot, b"\0") for digest in digests)
