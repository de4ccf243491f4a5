"""The journal of a change in place: a file beside the image, which counts once it is whole.

    magic · old size, new size (64 bits each, little-endian) · SHA-256 of the image's first 64 KiB
    length of a listing (64 bits) · the listing, JSON · the new bytes of each place, one behind the other · `committed`

Places are whole sectors of the old image, so that each of them is the old or the new one whenever the machine stops. The
listing has a digest of every old sector too: a journal is applied where all that it would overwrite is old or new, and what
the change put behind the old end is there. Anything else is another image under the same name, which stays as it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from imgcore.blob import Blob
from imgcore.errors import Corrupt

__all__ = ["SECTOR", "Place", "begin", "commit", "fill", "replay", "settle", "write_at"]

SECTOR: Final = 512
_MAGIC: Final = b"imgcore journal 2\n"
_SIZES: Final = struct.Struct("<QQ32s")
_HEAD: Final = len(_MAGIC) + _SIZES.size
_COMMIT: Final = b"committed\n"
_READ: Final = 1 << 20
_MOST_LISTING: Final = 256 << 20
_HEAD_OF_IMAGE: Final = 64 << 10
_DIGEST: Final = 8  # bytes for each old sector
_SAMPLES: Final = 64  # of what is behind the old end

Place: TypeAlias = tuple[int, int]
"""Where live bytes change: the first one and how many, whole sectors."""


def begin(journal: int, image: int, old_size: int, new_size: int) -> None:
    """Write the head, after which what is behind the old end of the image may change."""
    _append(journal, _MAGIC + _SIZES.pack(old_size, new_size, _head_of(image, old_size)))


def fill(journal: int, image: int, old_size: int, places: Sequence[Place], content: Blob) -> None:
    """Write the places, and what they become: the bytes of `content`, the image as it is to be."""
    new, old = hashlib.sha256(), bytearray()
    for at, size in _chunks(places):
        new.update(content.read_at(at, size))
        old += _digests(os.pread(image, size, at))
    size = os.fstat(image).st_size
    listing = {
        "sha256": new.hexdigest(),
        "places": list(map(list, places)),
        "old": base64.b64encode(old).decode(),
        "size": size,
        "behind": _behind(image, old_size, size),
    }
    text = json.dumps(listing).encode()
    _append(journal, struct.pack("<Q", len(text)) + text)
    for at, size in _chunks(places):
        _append(journal, content.read_at(at, size))


def commit(journal: int) -> None:
    """Make the journal count."""
    _append(journal, _COMMIT)


def settle(journal: int, image: int, name: bytes, *, sync: bool) -> str | None:
    """Apply a journal that was found, or undo what was begun; return "finished", "undone", or None for neither.

    Raises Corrupt for what is no journal, and for one of another image.
    """
    head = os.pread(journal, _HEAD, 0)
    if len(head) < _HEAD:
        return "undone"  # nothing was done yet
    if not head.startswith(_MAGIC):
        raise Corrupt("not a journal of an image", path=name)
    old_size, new_size, first = _SIZES.unpack_from(head, len(_MAGIC))
    found = _whole(journal)
    if found is None or any(place + count > min(old_size, new_size) for place, count in found[0]["places"]):
        if os.fstat(image).st_size < old_size or _head_of(image, old_size) != first:
            return None  # another image, of which nothing is known and nothing was done
        os.ftruncate(image, old_size)
        return "undone"
    listing, at = found
    if not _is_of(listing, at, journal, image, old_size, new_size):
        hint = "another image has taken its name: remove the journal"
        raise Corrupt("the journal of a change that was stopped is not of this image", path=name, hint=hint)
    replay(journal, image, new_size, sync=sync)
    return "finished"


def replay(journal: int, image: int, new_size: int, *, sync: bool) -> None:
    """Write what a whole journal holds into the image, as often as one likes."""
    found = _listing(journal)
    assert found is not None
    listing, at = found
    for place, size in _chunks(listing["places"]):
        write_at(image, os.pread(journal, size, at), place)
        at += size
    os.ftruncate(image, new_size)
    if sync:
        os.fsync(image)


def write_at(fd: int, data: bytes, at: int) -> None:
    """Write all of the bytes at an offset."""
    view = memoryview(data)
    while len(view):
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _append(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(fd, view) :]


def _chunks(places: Sequence[Place]) -> Iterator[Place]:
    """Yield the places in pieces of at most a mebibyte."""
    for at, size in places:
        for done in range(0, size, _READ):
            yield at + done, min(_READ, size - done)


def _digests(data: bytes) -> bytes:
    """Return a digest of each sector."""
    view = memoryview(data)
    parts = (hashlib.blake2b(view[at : at + SECTOR], digest_size=_DIGEST).digest() for at in range(0, len(data), SECTOR))
    return b"".join(parts)


def _head_of(image: int, old_size: int) -> bytes:
    return hashlib.sha256(os.pread(image, min(_HEAD_OF_IMAGE, old_size), 0)).digest()


def _behind(image: int, old_size: int, size: int) -> str:
    """Return a digest of samples of what is behind the old end: its first and last bytes, and some between."""
    digest = hashlib.sha256()
    step = max((size - old_size) // _SAMPLES, SECTOR)
    for at in (*range(old_size, size, step), max(size - SECTOR, old_size)):
        digest.update(os.pread(image, min(SECTOR, size - at), at))
    return digest.hexdigest()


def _listing(journal: int) -> tuple[dict[str, Any], int] | None:
    """Return (the listing, where the new bytes begin), None where it is not whole."""
    head = os.pread(journal, 8, _HEAD)
    if len(head) < 8:
        return None
    (size,) = struct.unpack("<Q", head)
    raw = os.pread(journal, size, _HEAD + 8) if size <= _MOST_LISTING else b""
    if len(raw) < size or not size:
        return None
    try:
        listing = json.loads(raw)
    except ValueError:
        return None
    return (listing, _HEAD + 8 + size) if _is_listing(listing) else None


def _is_listing(found: Any) -> bool:
    """Whether a listing is one that `fill` could have written."""
    if not isinstance(found, dict) or not all(isinstance(found.get(key), str) for key in ("sha256", "old", "behind")):
        return False
    places, end, sectors = found.get("places"), 0, 0
    if not isinstance(places, list) or type(found.get("size")) is not int:
        return False
    for place in places:
        if not isinstance(place, list) or [type(one) for one in place] != [int, int] or place[0] < end or place[1] <= 0:
            return False
        if place[0] % SECTOR:
            return False
        end, sectors = place[0] + place[1], sectors - (-place[1] // SECTOR)
    try:
        return len(base64.b64decode(found["old"], validate=True)) == _DIGEST * sectors
    except ValueError:
        return False


def _whole(journal: int) -> tuple[dict[str, Any], int] | None:
    """Return what `_listing` does, None where the journal does not count."""
    size = os.fstat(journal).st_size
    found = _listing(journal)
    if found is None or os.pread(journal, len(_COMMIT), size - len(_COMMIT)) != _COMMIT:
        return None
    listing, at = found
    digest = hashlib.sha256()
    for _, count in _chunks(listing["places"]):
        digest.update(os.pread(journal, count, at))
        at += count
    return found if digest.hexdigest() == listing["sha256"] else None


def _is_of(listing: dict[str, Any], at: int, journal: int, image: int, old_size: int, new_size: int) -> bool:
    """Whether the image is the one that the journal was made for: each sector is the old or the new one."""
    size = os.fstat(image).st_size
    if size not in (listing["size"], new_size):
        return False
    if size == listing["size"] and _behind(image, old_size, size) != listing["behind"]:
        return False
    old, seen = base64.b64decode(listing["old"]), 0
    for place, count in _chunks(listing["places"]):
        now = _digests(os.pread(image, count, place))
        new = _digests(os.pread(journal, count, at))
        was = old[seen : seen + len(new)]
        for one in range(0, len(new), _DIGEST):
            if now[one : one + _DIGEST] not in (was[one : one + _DIGEST], new[one : one + _DIGEST]):
                return False
        at, seen = at + count, seen + len(new)
    return True
