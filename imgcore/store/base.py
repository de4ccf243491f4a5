"""What a store of compressed blocks is: keys, the form of an object, and how one run uses a store.

The key is the SHA-256 of a preamble and the raw bytes. The preamble names the codec with its library's version and all of
its settings, the block size, and whether (and by which version of LZ4) blocks are looked at before they are compressed:
whatever may change the stored bytes changes the key. So an object never goes out of date, and two builds with one store
need no agreement.

An object is a header and the compressed bytes; of a block that is stored raw it is the header alone. The header has a
checksum of everything, the key among it: a flipped bit, a cut file or an object under a wrong name is `damaged`, and made
anew. It is no protection from an author of wrong objects: who can write to a store decides what is in the images.
"""

from __future__ import annotations

import struct
import threading
from typing import Final, NamedTuple, Protocol

from imgcore.codec import Codec

__all__ = ["BlockStore", "Kept", "StoreUse", "block_key", "key_prefix", "most_object_size", "pack_object", "unpack_object"]

_MAGIC: Final = b"imgcore\x01"
_HEADER: Final = struct.Struct("<8sII32s")  # magic, bytes raw, bytes stored (0: raw), SHA-256 of key, sizes and bytes
_PREAMBLE: Final = "imgcore block 1"


class Kept(NamedTuple):
    """The stored form of a block: whether it is compressed, and the compressed bytes (b"" otherwise)."""

    compressed: bool
    data: bytes


class BlockStore(Protocol):
    """Where compressed blocks are kept.

    All methods may be called from several threads, and none raises: a store that cannot be read or written is as good as
    an empty one, and `warnings` says so.
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
    """Return what every key of a run begins with; `look` names what looks at blocks before the codec, "" for nothing."""
    return "\0".join((_PREAMBLE, codec.fingerprint, str(block_size), look, "")).encode()


def block_key(prefix: bytes, raw: bytes | memoryview) -> bytes:
    """Return the key of a block: 32 bytes."""
    import hashlib  # late: OpenSSL takes a while to load, and few have a store

    digest = hashlib.sha256(prefix)
    digest.update(raw)
    return digest.digest()


def pack_object(key: bytes, raw_size: int, kept: Kept) -> bytes:
    """Return a block as an object."""
    check = block_key(key + struct.pack("<II", raw_size, len(kept.data)), kept.data)
    return _HEADER.pack(_MAGIC, raw_size, len(kept.data), check) + kept.data


def unpack_object(data: bytes, key: bytes, raw_size: int) -> Kept | None:
    """Return the block in an object, None when it is damaged or another."""
    if len(data) < _HEADER.size:
        return None
    magic, size, stored, check = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != _MAGIC or size != raw_size or stored != len(payload) or stored >= raw_size:
        return None
    if block_key(key + data[8:16], payload) != check:
        return None
    return Kept(stored != 0, payload)


def most_object_size(raw_size: int) -> int:
    """Return the most bytes that the object of a block can have."""
    return _HEADER.size + raw_size


class StoreUse:
    """One run's use of a store, by either engine: keys and counts."""

    def __init__(self, store: BlockStore, prefix: bytes) -> None:
        self._store, self._prefix = store, prefix
        self._local = threading.local()
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    def recall(self, raw: bytes | memoryview) -> Kept | None:
        """Return the stored form of a block, None when it has to be made; `keep` is to follow in the same thread then."""
        size = len(raw)
        key = self._local.key = block_key(self._prefix, raw)
        kept = self._store.get(key, size)
        with self._lock:
            if kept is None:
                self.misses += 1
            else:
                self.hits += 1
        return kept

    def keep(self, raw_size: int, kept: Kept) -> None:
        """Keep the block that this thread asked for last."""
        self._store.put(self._local.key, raw_size, kept)
