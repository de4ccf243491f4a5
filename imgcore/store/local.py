"""A store in a directory: a file for each block, `objects/ab/cdef…`, named by its key.

A file is written under a name of its own and renamed, so that builds may share a directory, and a build that is killed
leaves at most such a name behind, which `prune` removes. Nothing is forced to disk: what a power failure cuts is found by
its checksum. The time of modification says when an object was last used, to the hour; `close` removes those that were not
used for longest when there is more than the limit. A full disk or a directory that cannot be written ends writing, never
the build.

The directory is marked by a file of its own; one that has other things in it and no mark is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from typing import Final

from imgcore.errors import OutputError, SourceUnreadable
from imgcore.store.base import Kept, most_object_size, pack_object, unpack_object
from imgcore.store.info import CacheInfo, Stored, beyond

__all__ = ["DEFAULT_LIMIT", "CacheInfo", "LocalStore"]

DEFAULT_LIMIT: Final = 5 << 30
"""Bytes of objects that a store keeps unless told otherwise."""

_MARK: Final = b"imgcore-cache"
_MARK_TEXT: Final = b"1\n"
_TAG: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of imgcore: it can be deleted. See bford.info/cachedir\n"
_USED_STEP: Final = 3600  # seconds: how exactly the time of the last use is kept
_NAME: Final = re.compile(rb"[0-9a-f]{62}(\.[0-9]+-[0-9]+-[0-9a-f]+\.part)?\Z")
_SHARD: Final = re.compile(rb"[0-9a-f]{2}\Z")
_IN_THE_WAY: Final = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENOENT)
_STALE: Final = 3600  # seconds after which an unfinished file belongs to nobody
_PRUNE_TO: Final = 0.9  # of the limit, so that not every build has to look


class LocalStore:
    """A store in the directory `path`, which is made when it is missing. Raises OutputError, SourceUnreadable."""

    def __init__(self, path: str | bytes | os.PathLike[str], *, limit: int = DEFAULT_LIMIT, create: bool = True) -> None:
        self.path = os.fsencode(path)
        self.limit = limit
        self.damaged = self.unkept = 0
        self._objects = os.path.join(self.path, b"objects")
        self._lock = threading.Lock()
        self._number = 0
        self._written = 0
        self._refused: str | None = None
        self._closed = False
        self._open(create)

    def _open(self, create: bool) -> None:
        mark = os.path.join(self.path, _MARK)
        try:
            with open(mark, "rb") as stream:
                version = stream.read(64)
        except FileNotFoundError:
            self._make(mark, create)
            return
        except OSError as error:
            raise SourceUnreadable(f"cannot read cache: {error.strerror}", path=self.path) from None
        if version != _MARK_TEXT:
            raise SourceUnreadable("a cache of another version of imgcore", path=self.path, hint="name another directory")

    def _make(self, mark: bytes, create: bool) -> None:
        if not create:
            raise SourceUnreadable("no cache of imgcore", path=self.path)
        try:
            os.makedirs(self.path, exist_ok=True)
            if not all(_is_ours(name) for name in os.listdir(self.path)):
                raise OutputError("the directory for the cache has other things in it", path=self.path)
            os.makedirs(self._objects, exist_ok=True)
            for name, text in ((b"CACHEDIR.TAG", _TAG), (_MARK, _MARK_TEXT)):
                self._write_new(os.path.join(self.path, name), text)
        except OSError as error:
            raise OutputError(f"cannot make cache: {error.strerror}", path=self.path) from None

    def _place(self, key: bytes) -> bytes:
        name = key.hex().encode()
        return os.path.join(self._objects, name[:2], name[2:])

    def get(self, key: bytes, raw_size: int) -> Kept | None:
        """Return what was kept under `key`; a damaged object is counted, and None."""
        place = self._place(key)
        try:
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            found = os.fstat(fd)
            data = b""
            if stat.S_ISREG(found.st_mode) and found.st_size <= most_object_size(raw_size):
                data = _read_all(fd, found.st_size)
            kept = unpack_object(data, key, raw_size)
            if kept is None:
                with self._lock:
                    self.damaged += 1
            elif time.time() - found.st_mtime > _USED_STEP:
                with contextlib.suppress(OSError):  # a cache that cannot be written is used all the same
                    os.utime(fd)
            return kept
        except OSError:
            return None
        finally:
            os.close(fd)

    def put(self, key: bytes, raw_size: int, kept: Kept) -> None:
        """Keep a block, unless writing failed before."""
        if self._refused is not None:
            return
        data = pack_object(key, raw_size, kept)
        try:
            self._write_new(self._place(key), data)
        except OSError as error:
            if error.errno in _IN_THE_WAY:  # of this one alone
                with self._lock:
                    self.unkept += 1
            else:
                self._refused = error.strerror or str(error)
            return
        with self._lock:
            self._written += len(data)

    def _write_new(self, place: bytes, data: bytes) -> None:
        """Make a file appear whole."""
        with self._lock:
            self._number += 1
            number = self._number
        unfinished = b"%s.%d-%d-%s.part" % (place, os.getpid(), number, os.urandom(4).hex().encode())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(unfinished, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            fd = os.open(unfinished, flags, 0o666)
        try:
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
            os.rename(unfinished, place)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise

    def close(self, *, wait: bool = True) -> None:
        """Make room when objects were written and there is more than the limit; twice is fine."""
        if self._closed:
            return
        self._closed = True
        if self._written:
            with contextlib.suppress(OSError):
                self._evict(self.limit)

    def warnings(self) -> list[str]:
        """Return what went wrong, a line for each kind."""
        found = []
        if self.damaged:
            found.append(f"cache: {self.damaged} damaged objects were made anew")
        if self.unkept:
            found.append(f"cache: {self.unkept} objects could not be kept: something else has their names")
        if self._refused is not None:
            found.append(f"cache: nothing more is kept: {self._refused}")
        return found

    def info(self) -> CacheInfo:
        """Count what there is. Raises SourceUnreadable."""
        return CacheInfo.of(*self._list())

    def prune(self, *, limit: int | None = None, older_than: float | None = None) -> CacheInfo:
        """Remove what is not needed; return what was removed.

        That is unfinished files older than an hour, objects not used for `older_than` seconds, and then those not used for
        longest, until `limit` bytes remain. Raises SourceUnreadable, OutputError.
        """
        objects, unfinished = self._list()
        now = time.time()
        doomed = [] if older_than is None else [one for one in objects if now - one.time > older_than]
        if limit is not None:
            gone = set(doomed)
            doomed += beyond([one for one in objects if one not in gone], limit)
        stale = [one for one in unfinished if now - one.time > _STALE]
        try:
            for one in (*doomed, *stale):
                _remove(one.path)
        except OSError as error:
            raise OutputError(f"cannot prune cache: {error.strerror}", path=self.path) from None
        return CacheInfo.of(doomed, stale)

    def _evict(self, limit: int) -> None:
        objects = list(self._scan())
        if sum(one.size for one in objects) > limit:
            for one in beyond([one for one in objects if not one.path.endswith(b".part")], int(limit * _PRUNE_TO)):
                _remove(one.path)

    def _list(self) -> tuple[list[Stored], list[Stored]]:
        """Return (objects, unfinished files). Raises SourceUnreadable."""
        try:
            found = list(self._scan())
        except OSError as error:
            raise SourceUnreadable(f"cannot read cache: {error.strerror}", path=self.path) from None
        unfinished = [one for one in found if one.path.endswith(b".part")]
        return [one for one in found if not one.path.endswith(b".part")], unfinished

    def _scan(self) -> Iterator[Stored]:
        """Yield every file of the store, and none that others put there; others may remove files meanwhile."""
        for shard in sorted(filter(_SHARD.match, _names(self._objects))):
            try:
                entries = os.scandir(os.path.join(self._objects, shard))
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    if not _NAME.match(entry.name):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            yield Stored(found.st_mtime, found.st_size, entry.path)


def _is_ours(name: bytes) -> bool:
    """Whether a name may stand in a store's directory; one that another build is just making has unfinished files."""
    return name in (_MARK, b"CACHEDIR.TAG", b"objects") or (
        name.startswith((_MARK + b".", b"CACHEDIR.TAG.")) and name.endswith(b".part")
    )


def _names(path: bytes) -> list[bytes]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def _remove(path: bytes) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _read_all(fd: int, size: int) -> bytes:
    data = os.read(fd, size)
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data
