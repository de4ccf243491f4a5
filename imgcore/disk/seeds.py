"""UUIDs and the salt that follow from a seed, as systemd-repart derives them (its function derive_uuid).

Everything is an HMAC-SHA256 keyed by the seed's 16 bytes, in the order of its text, of a word that says what it is for. Who
has seed and type of a partition knows its UUID, on every machine.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid

__all__ = ["derive", "disk_uuid", "file_system_uuid", "partition_uuid", "verity_salt", "verity_uuid"]


def derive(key: uuid.UUID, message: bytes) -> uuid.UUID:
    """Return the UUID, marked as one of version 4, that follows from `key` for `message`."""
    found = bytearray(hmac.digest(key.bytes, message, hashlib.sha256)[:16])
    found[6] = found[6] & 0x0F | 0x40
    found[8] = found[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(found))


def disk_uuid(seed: uuid.UUID) -> uuid.UUID:
    """Return the UUID of the disk."""
    return derive(seed, b"disk-uuid")


def partition_uuid(seed: uuid.UUID, kind: uuid.UUID, earlier: int = 0) -> uuid.UUID:
    """Return the UUID of a partition of this type, behind so many `earlier` ones of it."""
    return derive(seed, kind.bytes + (earlier.to_bytes(8, "little") if earlier else b""))


def file_system_uuid(partition: uuid.UUID) -> uuid.UUID:
    """Return the UUID of the file system in the partition that `partition_uuid` named, whatever verity calls that one."""
    return derive(partition, b"file-system-uuid")


def verity_uuid(seed: uuid.UUID) -> uuid.UUID:
    """Return the UUID of the superblock of a dm-verity tree."""
    return derive(seed, b"verity-uuid")


def verity_salt(seed: uuid.UUID) -> bytes:
    """Return the salt of a dm-verity tree, 32 bytes."""
    return hmac.digest(seed.bytes, b"verity-salt", hashlib.sha256)
