"""Changes of an image in place that survive being stopped at any point: kill -9 and power failure included.

What goes behind the old end is written first: nobody looks there yet. What changes live bytes goes into a journal beside
the image, which counts once it is whole and on disk; only then is the image changed, and the journal removed at the end. A
journal that is found later is either whole, and is applied again, or it is not, and the image is cut to its old length.

    with hold(path) as held:  # nobody else changes it meanwhile; a change that was stopped is finished or undone
        result = modify(held.blob, edits)
        held.apply(result.size, result.patches)

Who changes an image holds a lock on it (flock) from before it is read, who makes another image of it a shared one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from imgcore.blob import Blob, FileBlob
from imgcore.build import journal
from imgcore.build.half_changed import is_half_changed, journal_of
from imgcore.build.iso_edits import Patched
from imgcore.errors import OutputError, SourceUnreadable

__all__ = ["HeldImage", "hold"]

_READ: Final = 1 << 20


class HeldImage:
    """An image that nobody else changes meanwhile: its `blob`, and what became of a change that was stopped (`recovered`)."""

    def __init__(self, path: bytes, fd: int, blob: Blob, recovered: str | None) -> None:
        self._path, self._fd = path, fd
        self.blob, self.recovered = blob, recovered

    def apply(self, new_size: int, patches: Sequence[tuple[int, Blob]], *, sync: bool = True) -> None:
        """Change the image by patches in their order; it then has `new_size` bytes. Raises OutputError.

        The patches may read the image itself. Where an error happens before the journal is whole, the image is as it was.
        """
        name, old_size = journal_of(self._path), self.blob.size
        if os.fstat(self._fd).st_size != old_size:
            raise OutputError("the image changed meanwhile", path=self._path)
        try:
            log = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OutputError(f"cannot write a journal: {error.strerror}", path=name) from None
        whole = False
        try:
            places = _places(patches, min(old_size, new_size))
            live = Patched(self.blob, new_size, [one for one in patches if one[0] < old_size])
            try:
                journal.begin(log, self._fd, old_size, new_size)
                if sync:
                    os.fsync(log)
                _write_behind(self._fd, patches, old_size)
                journal.fill(log, self._fd, old_size, places, live)
                if sync:
                    os.fsync(self._fd)
                    os.fsync(log)
                journal.commit(log)
                if sync:
                    os.fsync(log)
                whole = True
                journal.replay(log, self._fd, new_size, sync=sync)
            except OSError as error:
                raise OutputError(f"cannot write: {error.strerror}", path=self._path) from None
        except BaseException:
            if not whole:  # else the journal stays, to be applied later
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, old_size)
                os.unlink(name)
            raise
        finally:
            os.close(log)
        os.unlink(name)


@contextlib.contextmanager
def hold(path: str | bytes | os.PathLike[str], *, change: bool = True, sync: bool = True) -> Iterator[HeldImage]:
    """Give an image that nobody else changes until the block ends; `change`: which may be changed here.

    A change that was stopped is finished or undone before. Raises SourceUnreadable, OutputError where another process
    holds the image, Corrupt for a journal that is none, or of another image.
    """
    name = os.fsencode(path)
    half = is_half_changed(path)
    with _opened(name, write=change or half) as fd:
        _lock(fd, name, exclusive=change or half)
        recovered = _recover(fd, name, sync=sync) if is_half_changed(path) else None
        if half and not change:
            _lock(fd, name, exclusive=False)
        with FileBlob(name) as blob:
            yield HeldImage(name, fd, blob, recovered)


@contextlib.contextmanager
def _opened(path: bytes, *, write: bool) -> Iterator[int]:
    try:
        fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
    except OSError as error:
        kind = OutputError if write and os.path.exists(path) else SourceUnreadable
        raise kind(f"cannot {'write' if kind is OutputError else 'open'}: {error.strerror}", path=path) from None
    try:
        if write and not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OutputError("not a regular file: only such an image is changed in place", path=path)
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, path: bytes, *, exclusive: bool) -> None:
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError("another process changes this image, or makes one of it", path=path) from None
    except OSError:
        return  # a file system without locks
    try:
        same = os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        same = False
    if not same:
        raise OutputError("the image was replaced meanwhile", path=path)


def _recover(fd: int, path: bytes, *, sync: bool) -> str | None:
    """Finish or undo a change that was stopped; return which, None where there is nothing to be done."""
    name = journal_of(path)
    try:
        log = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SourceUnreadable(f"cannot open a journal: {error.strerror}", path=name) from None
    try:
        done = journal.settle(log, fd, name, sync=sync)
        os.unlink(name)
        return done
    except OSError as error:
        raise OutputError(f"cannot finish a change: {error.strerror}", path=name) from None
    finally:
        os.close(log)


def _places(patches: Sequence[tuple[int, Blob]], end: int) -> list[journal.Place]:
    """Return the live bytes that change, in whole sectors, in order, none twice; the last one ends with the image."""
    out: list[journal.Place] = []
    for at, content in sorted(((at, content) for at, content in patches if at < end and content.size), key=lambda one: one[0]):
        first = at - at % journal.SECTOR
        last = min(-(-(at + content.size) // journal.SECTOR) * journal.SECTOR, end)
        if out and first <= out[-1][0] + out[-1][1]:
            before, size = out.pop()
            first, last = before, max(last, before + size)
        out.append((first, last - first))
    return out


def _write_behind(fd: int, patches: Sequence[tuple[int, Blob]], old_size: int) -> None:
    """Write what goes behind the old end, in the patches' order."""
    for at, content in patches:
        skip = min(max(old_size - at, 0), content.size)
        for done in range(skip, content.size, _READ):
            journal.write_at(fd, content.read_at(done, min(_READ, content.size - done)), at + done)
