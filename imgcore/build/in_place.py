"""Changes of an image in place that survive being stopped at any point: kill -9 and power failure included.

What goes behind the old end is written first: nobody looks there yet. What changes live bytes goes into a journal beside
the image, which counts once it is whole and on disk; only then is the image changed, and the journal removed at the end. A
journal that is found later is either whole, and is applied again, or it is not, and the image is cut to its old length.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Sequence
from typing import Final

from imgcore.blob import Blob
from imgcore.errors import Corrupt, OutputError, SourceUnreadable

__all__ = ["apply_in_place", "journal_of", "recover"]

_MAGIC: Final = b"imgcore journal 1\n"
_SUFFIX: Final = b".imgcore-journal"
_COMMIT: Final = b"committed\n"
_READ: Final = 1 << 20
_MOST_HEAD: Final = 64 << 20


def journal_of(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return the name of the journal of an image."""
    return os.path.realpath(os.fsencode(path)) + _SUFFIX


def apply_in_place(
    path: str | bytes | os.PathLike[str],
    old_size: int,
    new_size: int,
    patches: Sequence[tuple[int, Blob]],
    *,
    sync: bool = True,
) -> None:
    """Change the file at `path`, which has `old_size` bytes, by patches in their order. Raises OutputError.

    The patches may read the file itself. Where an error happens before the journal is whole, the file is as it was.
    """
    name = journal_of(path)
    try:
        fd = os.open(os.fsencode(path), os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", path=os.fsencode(path)) from None
    try:
        if os.fstat(fd).st_size != old_size:
            raise OutputError("the image changed meanwhile", path=os.fsencode(path))
        try:
            journal = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise OutputError("another change of this image is under way, or was stopped", path=name) from None
        except OSError as error:
            raise OutputError(f"cannot write a journal: {error.strerror}", path=name) from None
        whole = False
        try:
            try:
                _begin(journal, old_size, new_size)
                if sync:
                    os.fsync(journal)
                pieces = _pieces(patches, old_size)
                _write_ahead(fd, [piece for piece in pieces if piece[0] >= old_size])
                _fill(journal, [piece for piece in pieces if piece[0] < old_size])
                if sync:
                    os.fsync(fd)
                    os.fsync(journal)
                _append(journal, _COMMIT)
                if sync:
                    os.fsync(journal)
                whole = True
                _replay(fd, journal, new_size, sync=sync)
            except OSError as error:
                raise OutputError(f"cannot write: {error.strerror}", path=os.fsencode(path)) from None
        except BaseException:
            if not whole:  # else the journal stays, to be applied later
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, old_size)
                os.unlink(name)
            raise
        finally:
            os.close(journal)
        os.unlink(name)
    finally:
        os.close(fd)


def recover(path: str | bytes | os.PathLike[str], *, sync: bool = True) -> str | None:
    """Finish or undo a change of an image that was stopped; return which ("finished", "undone"), None where there was none.

    Raises OutputError, Corrupt for a journal that is none.
    """
    name = journal_of(path)
    try:
        journal = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceUnreadable(f"cannot open a journal: {error.strerror}", path=name) from None
    try:
        head = os.pread(journal, len(_MAGIC) + 16, 0)
        if len(head) < len(_MAGIC) + 16:
            os.unlink(name)  # nothing was done yet
            return "undone"
        if not head.startswith(_MAGIC):
            raise Corrupt("not a journal of an image", path=name)
        old_size, new_size = struct.unpack_from("<QQ", head, len(_MAGIC))
        fd = os.open(os.fsencode(path), os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(journal).st_size
            whole = os.pread(journal, len(_COMMIT), size - len(_COMMIT)) == _COMMIT and _is_whole(journal)
            if whole:
                _replay(fd, journal, new_size, sync=sync)
            else:
                os.ftruncate(fd, old_size)
        finally:
            os.close(fd)
        os.unlink(name)
        return "finished" if whole else "undone"
    except OSError as error:
        raise OutputError(f"cannot finish a change: {error.strerror}", path=name) from None
    finally:
        os.close(journal)


def _pieces(patches: Sequence[tuple[int, Blob]], old_size: int) -> list[tuple[int, Blob, int, int]]:
    """Return (place, content, first byte of it, bytes), cut where the old end is."""
    out = []
    for at, content in patches:
        inside = min(max(old_size - at, 0), content.size)
        if inside:
            out.append((at, content, 0, inside))
        if content.size > inside:
            out.append((at + inside, content, inside, content.size - inside))
    return out


def _begin(journal: int, old_size: int, new_size: int) -> None:
    _append(journal, _MAGIC + struct.pack("<QQ", old_size, new_size))


def _append(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(fd, view) :]


def _write_ahead(fd: int, pieces: list[tuple[int, Blob, int, int]]) -> None:
    for at, content, first, size in pieces:
        for done in range(0, size, _READ):
            _write_at(fd, content.read_at(first + done, min(_READ, size - done)), at + done)


def _write_at(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while len(view):
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _fill(journal: int, pieces: list[tuple[int, Blob, int, int]]) -> None:
    """Write a list of places, its length and digest before it, and then the bytes for them."""
    digest = hashlib.sha256()
    for _, content, first, size in pieces:
        for done in range(0, size, _READ):
            digest.update(content.read_at(first + done, min(_READ, size - done)))
    listing = json.dumps({"sha256": digest.hexdigest(), "places": [[at, size] for at, _, _, size in pieces]}).encode()
    _append(journal, struct.pack("<Q", len(listing)) + listing)
    for _, content, first, size in pieces:
        for done in range(0, size, _READ):
            _append(journal, content.read_at(first + done, min(_READ, size - done)))


def _listing(journal: int) -> tuple[dict[str, object], int] | None:
    """Return (the list of places, where their bytes begin), None where it is not whole."""
    at = len(_MAGIC) + 16
    head = os.pread(journal, 8, at)
    if len(head) < 8:
        return None
    (size,) = struct.unpack("<Q", head)
    raw = os.pread(journal, size, at + 8) if size <= _MOST_HEAD else b""
    if len(raw) < size or not size:
        return None
    try:
        return json.loads(raw), at + 8 + size
    except ValueError:
        return None


def _is_whole(journal: int) -> bool:
    found = _listing(journal)
    if found is None:
        return False
    digest, at = hashlib.sha256(), found[1]
    for _, size in found[0]["places"]:  # type: ignore[attr-defined]
        for done in range(0, size, _READ):
            digest.update(os.pread(journal, min(_READ, size - done), at + done))
        at += size
    return digest.hexdigest() == found[0]["sha256"]


def _replay(fd: int, journal: int, new_size: int, *, sync: bool) -> None:
    """Write what the journal holds into the image, as often as one likes."""
    found = _listing(journal)
    assert found is not None
    at = found[1]
    for place, size in found[0]["places"]:  # type: ignore[attr-defined]
        for done in range(0, size, _READ):
            _write_at(fd, os.pread(journal, min(_READ, size - done), at + done), place + done)
        at += size
    os.ftruncate(fd, new_size)
    if sync:
        os.fsync(fd)
