"""What a store of compressed blocks is: keys, the form of an object, and how one run uses a store.

The key is the SHA-256 of a preamble and of the SHA-256 of the raw bytes. The preamble names the codec with its library's
version and all of its settings, the block size, and whether (and by which version of LZ4) the block is looked at before it
is compressed, as blocks are and fragments are not: whatever may change the stored bytes changes the key. So an object never
goes out of date, and two builds with one store need no agreement.

An object is a header and the compressed bytes; of a block that is stored raw it is the header alone. The header has a
checksum of everything, the key among it: a flipped bit, a cut file or an object under a wrong name is `damaged`, and made
anew. It is no protection from an author of wrong objects: who can write to a store decides what is in the images.
"""

from __future__ import annotations

import struct
import threading
from typing import Final, NamedTuple, Protocol

from imgcore.codec import Codec

__all__ = [
    "BlockStore",
    "Kept",
    "KnownBlocks",
    "StoreUse",
    "block_key",
    "digest_of",
    "key_prefix",
    "most_object_size",
    "pack_object",
    "unpack_object",
]

_MAGIC: Final = b"imgcore\x01"
_HEADER: Final = struct.Struct("<8sII32s")  # magic, bytes raw, bytes stored (0: raw), SHA-256 of key, sizes and bytes
_PREAMBLE: Final = "imgcore block 2"
_LONGEST_WAIT: Final = 1.0  # seconds


class Kept(NamedTuple):
    """The stored form of a block: whether it is compressed, and the compressed bytes (b"" otherwise)."""

    compressed: bool
    data: bytes


class BlockStore(Protocol):
    """Where compressed blocks are kept.

    All methods may be called from several threads, and none raises: a store that cannot be read or written is as good as
    an empty one, and `warnings` says so. One whose `get` waits for others (a network) says in a number `at_once` how many
    calls at a time pay.
    """

    def get(self, key: bytes, raw_size: int) -> Kept | None:
        """Return what was kept under `key` for a block of `raw_size` bytes; None where there is nothing sound."""
        ...

    def put(self, key: bytes, raw_size: int, kept: Kept) -> None:
        """Keep a block."""
        ...

    def close(self, *, wait: bool = True) -> None:
        """End what is under way, and make room where there is too much; twice is fine.

        Without `wait`, what is not sent yet is given up: the build has failed, and somebody waits for its end.
        """
        ...

    def warnings(self) -> list[str]:
        """Return what the user ought to know: damaged objects, a full disk."""
        ...


def key_prefix(codec: Codec, block_size: int, look: str) -> bytes:
    """Return what keys of a run begin with; `look` names what looks at the block before the codec, "" for nothing."""
    return "\0".join((_PREAMBLE, codec.fingerprint, str(block_size), look, "")).encode()


def digest_of(data: bytes | memoryview) -> bytes:
    """Return the SHA-256 of raw bytes."""
    import hashlib  # late: OpenSSL takes a while to load, and few have a store

    return hashlib.sha256(data).digest()


def block_key(prefix: bytes, digest: bytes) -> bytes:
    """Return the key of the block whose raw bytes have this digest: 32 bytes."""
    return digest_of(prefix + digest)


def pack_object(key: bytes, raw_size: int, kept: Kept) -> bytes:
    """Return a block as an object."""
    check = digest_of(key + struct.pack("<II", raw_size, len(kept.data)) + kept.data)
    return _HEADER.pack(_MAGIC, raw_size, len(kept.data), check) + kept.data


def unpack_object(data: bytes, key: bytes, raw_size: int) -> Kept | None:
    """Return the block in an object, None when it is damaged or another."""
    if len(data) < _HEADER.size:
        return None
    magic, size, stored, check = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != _MAGIC or size != raw_size or stored != len(payload) or stored >= raw_size:
        return None
    if digest_of(key + data[8:16] + payload) != check:
        return None
    return Kept(stored != 0, payload)


def most_object_size(raw_size: int) -> int:
    """Return the most bytes that the object of a block can have."""
    return _HEADER.size + raw_size


class KnownBlocks(Protocol):
    """Compressed blocks that are there already, by the SHA-256 of their raw bytes."""

    def get(self, digest: bytes, raw_size: int, looked_at: bool) -> Kept | None:
        """Return the stored form of a block, or of a fragment, which is not `looked_at`; None where it is not known."""
        ...


class StoreUse:
    """One run's use of a store, and of blocks that are known before it, by either engine: keys and counts.

    Keys begin with `prefix`, those of fragments with `fragment_prefix`. With `makers`, no more than so many threads make
    blocks at a time, however many ask the store: one that has nothing returns from `recall` when it is its turn.
    """

    def __init__(
        self,
        store: BlockStore | None,
        prefix: bytes,
        fragment_prefix: bytes,
        known: KnownBlocks | None = None,
        makers: int | None = None,
    ) -> None:
        self._store, self._known = store, known
        self._prefix, self._fragment_prefix = prefix, fragment_prefix
        self._turns = None if makers is None else threading.Semaphore(makers)
        self._local = threading.local()
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def recall(self, raw: bytes | memoryview, *, looked_at: bool) -> Kept | None:
        """Return the stored form of a block, or of a fragment, which is not `looked_at`.

        None says that it has to be made; `keep` is to follow in the same thread then.
        """
        self._end_turn()  # one that failed to make its block told nobody
        size = len(raw)
        digest = digest_of(raw)
        kept = None if self._known is None else self._known.get(digest, size, looked_at)
        if kept is None and self._store is not None:
            self._local.key = block_key(self._prefix if looked_at else self._fragment_prefix, digest)
            kept = self._store.get(self._local.key, size)
        with self._lock:
            if kept is None:
                self.misses += 1
            else:
                self.hits += 1
        if kept is None and self._turns is not None:
            # Not for ever: who ends in the middle of a block does not give back its turn.
            self._local.has_turn = self._turns.acquire(timeout=_LONGEST_WAIT)
        return kept

    def _end_turn(self) -> None:
        if self._turns is not None and getattr(self._local, "has_turn", False):
            self._local.has_turn = False
            self._turns.release()

    def keep(self, raw_size: int, kept: Kept) -> None:
        """Keep the block that this thread asked for last."""
        self._end_turn()
        if self._store is not None:
            self._store.put(self._local.key, raw_size, kept)
