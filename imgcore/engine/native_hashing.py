"""Digests of many blocks by the C core, which has SHA-256 for processors with instructions for it; see `hashing.py`."""

from __future__ import annotations

from imgcore._core import ffi, lib
from imgcore.engine.hashing import BlockHash, hash_each

__all__ = ["hash_blocks"]

_HAS_SHA256 = bool(lib.imgcore_sha256_ready())


def hash_blocks(data: bytes, how: BlockHash) -> bytes:
    """Return the digests of the blocks of `data`; see `Engine.hash_blocks`. Raises MemoryError."""
    if how.algorithm != "sha256" or not _HAS_SHA256:
        return hash_each(data, how)
    count = len(data) // how.block
    out = bytearray(count * how.slot)
    blocks, digests = ffi.from_buffer(data), ffi.from_buffer(out)
    if lib.imgcore_sha256_blocks(blocks, count, how.block, how.salt, len(how.salt), how.salt_last, how.slot, digests):
        raise MemoryError
    return bytes(out)
