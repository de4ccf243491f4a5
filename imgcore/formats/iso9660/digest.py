"""Digests of a whole image that media checks look for, kept in the application use field of the volume descriptor.

`isomd5`: Fedora's. MD5 of everything but the last 15 blocks, with application use as spaces, and for each of 20
fragments three hexadecimal digits of the state so far, so that a check may stop early (isomd5sum, `libimplantisomd5.c`).
`tagmedia`: SUSE's. SHA-256 with the MBR as zeros, application use as spaces and the padding at the end as zeros; a
partition has a digest of its own (checkmedia). Both are computed while the image is written.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from imgcore.blob import Blob
from imgcore.formats.iso9660.layout import BLOCK, FIRST_DESCRIPTOR

__all__ = ["APPLICATION_USE", "MediaDigest", "Stored", "blank", "stored_digest", "verify"]

APPLICATION_USE: Final = FIRST_DESCRIPTOR * BLOCK + 883
_SIZE: Final = 512
_SKIPPED: Final = 15
_FRAGMENTS: Final = 20
_CHUNK: Final = 32768
_MBR: Final = 512
_READ: Final = 1 << 20


def blank() -> bytes:
    """Return what application use holds before a digest is written."""
    return b" " * _SIZE


class MediaDigest:
    """Sees an image's bytes in order, and then says what goes into application use. `blocks` is what the descriptor says."""

    def __init__(self, kind: Literal["isomd5", "tagmedia"], blocks: int, pad: int = 0) -> None:
        self._kind = kind
        self._pad = pad
        self._at = 0
        self._end = (blocks - (_SKIPPED if kind == "isomd5" else pad)) * BLOCK
        self._total = blocks * BLOCK
        self._hash = hashlib.md5(usedforsecurity=False) if kind == "isomd5" else hashlib.sha256()
        self._fragments = ""
        self._done_fragments = 0
        self._rest = b""
        self._hashed = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the image."""
        start, end = self._at, self._at + len(data)
        self._at = end
        if (start < APPLICATION_USE + _SIZE and end > APPLICATION_USE) or (self._kind == "tagmedia" and start < _MBR):
            data = self._masked(bytes(data), start)
        view = memoryview(data)
        if end > self._end:
            view = view[: max(self._end - start, 0)]
        if self._kind == "isomd5":
            self._fragment(view)
        else:
            self._hash.update(view)

    def _masked(self, data: bytes, start: int) -> bytes:
        out = bytearray(data)
        places = [(APPLICATION_USE, b" " * _SIZE)]
        if self._kind == "tagmedia":
            places.append((0, bytes(_MBR)))
        for at, filling in places:
            first, last = max(at, start), min(at + len(filling), start + len(data))
            if first < last:
                out[first - start : last - start] = filling[first - at : last - at]
        return bytes(out)

    def _fragment(self, view: memoryview) -> None:
        """Hash in pieces of 32 KiB, and note the state after each that begins in another one of 21 parts than the last one."""
        data = memoryview(self._rest + view) if self._rest else view
        whole = len(data) - len(data) % _CHUNK
        size = self._end // (_FRAGMENTS + 1)
        done = self._hashed
        for at in range(0, whole, _CHUNK):
            self._hash.update(data[at : at + _CHUNK])
            self._note(done, size)
            done += _CHUNK
        self._hashed = done
        self._rest = bytes(data[whole:])

    def _note(self, done: int, size: int) -> None:
        number = done // size if size else 0
        if number > self._done_fragments:
            if self._done_fragments < _FRAGMENTS:
                digest = self._hash.copy().digest()
                self._fragments += "".join(f"{byte:x}"[:1] for byte in digest[:3])
            self._done_fragments = number

    def finish(self) -> bytes:
        """Return the 512 bytes of application use."""
        if self._kind == "tagmedia":
            rest = self._pad * BLOCK
            self._hash.update(bytes(rest))
            text = f"check=1;pad={self._pad};sha256sum={self._hash.hexdigest()}"
            return text.encode().ljust(_SIZE)
        if self._rest:
            self._hash.update(self._rest)
            self._note(self._hashed, self._end // (_FRAGMENTS + 1))
        text = (
            f"ISO MD5SUM = {self._hash.hexdigest()};SKIPSECTORS = {_SKIPPED};RHLISOSTATUS=0;"
            f"FRAGMENT SUMS = {self._fragments[: 3 * _FRAGMENTS]};FRAGMENT COUNT = {_FRAGMENTS};"
            "THIS IS NOT THE SAME AS RUNNING MD5SUM ON THIS ISO!!"
        )
        return text.encode().ljust(_SIZE)


class Stored(NamedTuple):
    """A digest that an image carries: its kind, its value in hexadecimal, and all fields of the text."""

    kind: Literal["isomd5", "tagmedia"]
    value: str
    fields: Mapping[str, str]


def stored_digest(application_use: bytes) -> Stored | None:
    """Return the digest that is in an application use field, None where there is none."""
    text = application_use.split(b"\0")[0].decode("latin-1").strip()
    fields = {key.strip(): value.strip() for key, _, value in (part.partition("=") for part in text.split(";"))}
    if re.fullmatch("[0-9a-f]{32}", fields.get("ISO MD5SUM", "")):
        return Stored("isomd5", fields["ISO MD5SUM"], fields)
    if re.fullmatch("[0-9a-f]{64}", fields.get("sha256sum", "")):
        return Stored("tagmedia", fields["sha256sum"], fields)
    return None


def verify(blob: Blob, stored: Stored, blocks: int) -> bool:
    """Return whether the image has the digest that it carries; reads all of it."""
    skipped = stored.fields.get("SKIPSECTORS", str(_SKIPPED))
    pad = stored.fields.get("pad", "0")
    if not (skipped.isascii() and skipped.isdigit() and pad.isascii() and pad.isdigit()):
        return False
    if stored.kind == "isomd5" and int(skipped) != _SKIPPED:
        blocks -= int(skipped) - _SKIPPED
    if stored.kind == "tagmedia" and int(pad) > blocks:
        return False
    digest = MediaDigest(stored.kind, blocks, int(pad) if stored.kind == "tagmedia" else 0)
    for at in range(0, min(blob.size, blocks * BLOCK), _READ):
        digest.update(blob.read_at(at, _READ))
    found = stored_digest(digest.finish())
    return found is not None and found.value == stored.value
