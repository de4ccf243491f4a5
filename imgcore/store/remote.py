"""A store at any URL that fsspec knows, for machines that share one: `s3://bucket/images`, `gs://…`, `sftp://host/dir`.

The objects are those of a directory, below `PREFIX/imgcore-blocks-1/ab/cdef…`. A block is asked for when an engine's
thread needs it (of which there are more than processors, since each waits), and no more bytes are fetched than its object
can have. What is new is sent by threads of its own, so
that building does not wait; when more is waiting than fits, the rest is left for a later build, and `close` waits for the
last ones, but not for ever.

A remote that fails is not asked again in this build, and one that cannot be written only read: a `warning` says why.
Nothing marks when an object was last used, so `prune` goes by when it was made.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from imgcore.errors import OutputError, SourceUnreadable
from imgcore.store.base import Kept, most_object_size, pack_object, unpack_object
from imgcore.store.info import CacheInfo, Stored, beyond

__all__ = ["RemoteStore", "is_url", "shown_url"]

_FOLDER: Final = "imgcore-blocks-1"
_NAME: Final = re.compile(rf"/{_FOLDER}/[0-9a-f]{{2}}/[0-9a-f]{{62}}(\.[0-9a-f-]+\.part)?\Z")
_MOST_WAITING: Final = 64 << 20  # bytes that wait for being sent
_FLUSH_SECONDS: Final = 60.0
_STALE: Final = 3600  # seconds after which an unfinished object belongs to nobody

_WHOLE: Final = ("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci")
"""Where an object appears whole or not at all; elsewhere it is written under another name first."""

_S3_DEFAULTS: Final = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 2}}}
"""s3fs would wait for minutes for a server that does not answer."""


def is_url(text: object) -> bool:
    """Whether `text` is a URL, and no path."""
    return isinstance(text, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*(::[^/]+)?://", text) is not None


def shown_url(url: str) -> str:
    """Return `url` without a password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


class _Waiting(NamedTuple):
    place: str
    data: bytes


class RemoteStore:
    """A store at `url`; `options` are those of its fsspec file system (credentials, endpoints).

    `senders` threads send; `close` waits for at most `flush_seconds`. Raises ValueError for a URL that fsspec does not
    know, SourceUnreadable where fsspec, or its package for this kind of URL, is not installed. A remote that cannot be
    reached is no error.
    """

    at_once: Final = 16
    """How many blocks are asked for at a time, where memory allows."""

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, Any] | None = None,
        senders: int = 4,
        flush_seconds: float = _FLUSH_SECONDS,
    ) -> None:
        self.url = url
        self.damaged = self.unsent = 0
        self._senders, self._flush_seconds = senders, flush_seconds
        self._unreadable: str | None = None
        self._unwritable: str | None = None
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._waiting = self._sending = 0  # bytes that are not sent yet; objects on their way
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._fs: Any = None
        self._connect(options)

    def _connect(self, options: Mapping[str, Any] | None) -> None:
        protocol = self.url.partition("://")[0].rpartition("::")[2].lower()
        self._whole = protocol in _WHOLE
        if options is None:
            options = _S3_DEFAULTS if protocol in ("s3", "s3a") else {}
        try:
            from fsspec.core import url_to_fs

            self._fs, root = url_to_fs(self.url, **options)
        except ImportError as error:
            raise SourceUnreadable(
                f"a cache at `{shown_url(self.url)}` needs a package that is not installed: {error}",
                hint="pip install 'imgcore[remote]', and what fsspec names for this kind of URL",
            ) from None
        except ValueError as error:
            raise ValueError(f"no cache at `{shown_url(self.url)}`: {error}") from None
        except Exception as error:
            self._unreadable = _why(error)
            root = ""
        self._root = f"{str(root).rstrip('/')}/{_FOLDER}"

    def _place(self, key: bytes) -> str:
        name = key.hex()
        return f"{self._root}/{name[:2]}/{name[2:]}"

    def get(self, key: bytes, raw_size: int) -> Kept | None:
        """Return what was kept under `key`; a damaged object is counted, and None."""
        if self._unreadable is not None:
            return None
        try:
            data = self._fetch(self._place(key), most_object_size(raw_size) + 1)
        except FileNotFoundError:
            return None
        except Exception as error:
            self._unreadable = _why(error)
            return None
        kept = unpack_object(data, key, raw_size)
        if kept is None:
            with self._changed:
                self.damaged += 1
        return kept

    def _fetch(self, place: str, most: int) -> bytes:
        try:
            return bytes(self._fs.cat_file(place, start=0, end=most))
        except OSError as error:
            if error.errno == errno.EINVAL and self._fs.size(place) == 0:  # S3 has no first byte to give
                return b""
            raise

    def put(self, key: bytes, raw_size: int, kept: Kept) -> None:
        """Have a block sent, unless sending failed before or too much is waiting."""
        if self._unreadable is not None:
            return
        one = _Waiting(self._place(key), pack_object(key, raw_size, kept))
        with self._changed:
            if self._unwritable is not None or self._closed:
                return
            if self._waiting + len(one.data) > _MOST_WAITING:
                self.unsent += 1
                return
            self._queue.append(one)
            self._waiting += len(one.data)
            if len(self._threads) < self._senders:
                thread = threading.Thread(target=self._send_all, name="imgcore-cache", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return
                one = self._queue.popleft()
                self._sending += 1
            why = None
            try:
                self._send(one)
            except Exception as error:
                why = _why(error)
            with self._changed:
                self._sending -= 1
                self._waiting -= len(one.data)
                if why is not None:
                    self._unwritable = self._unwritable or why
                    self._drop_queue()

    def _drop_queue(self) -> int:
        dropped = len(self._queue)
        self._waiting -= sum(len(one.data) for one in self._queue)
        self._queue.clear()
        return dropped

    def _send(self, one: _Waiting) -> None:
        """Make an object appear whole."""
        if self._whole:
            self._fs.pipe_file(one.place, one.data)
            return
        unfinished = f"{one.place}.{os.urandom(8).hex()}.part"
        try:
            try:
                self._fs.pipe_file(unfinished, one.data)
            except FileNotFoundError:
                self._fs.makedirs(one.place.rpartition("/")[0], exist_ok=True)
                self._fs.pipe_file(unfinished, one.data)
            self._fs.mv(unfinished, one.place)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(unfinished)
            raise

    def close(self, *, wait: bool = True) -> None:
        """Wait until everything is sent, or for `flush_seconds`; without `wait` only for what is on its way."""
        with self._changed:
            self._closed = True
            if not wait:
                self.unsent += self._drop_queue()
            self._changed.notify_all()
        end = time.monotonic() + self._flush_seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._changed:
            if any(thread.is_alive() for thread in self._threads):
                self.unsent += self._drop_queue() + self._sending
        self._threads = []

    def warnings(self) -> list[str]:
        """Return what went wrong, a line for each kind."""
        found = []
        shown = shown_url(self.url)
        if self.damaged:
            found.append(f"cache {shown}: {self.damaged} damaged objects were made anew")
        if self._unreadable is not None:
            found.append(f"cache {shown}: not used any more: {self._unreadable}")
        elif self._unwritable is not None:
            found.append(f"cache {shown}: nothing more is sent: {self._unwritable}")
        elif self.unsent:
            found.append(f"cache {shown}: {self.unsent} objects were not sent in time; a later build sends them")
        return found

    def info(self) -> CacheInfo:
        """Count what there is; the times are those of making. Raises SourceUnreadable."""
        return CacheInfo.of(*self._list())

    def prune(self, *, limit: int | None = None, older_than: float | None = None) -> CacheInfo:
        """Remove what is not needed; return what was removed.

        That is unfinished objects older than an hour, objects made more than `older_than` seconds ago, and then the oldest
        ones until `limit` bytes remain. Raises SourceUnreadable, OutputError.
        """
        objects, unfinished = self._list()
        now = time.time()
        doomed = [] if older_than is None else [one for one in objects if now - one.time > older_than]
        if limit is not None:
            gone = set(doomed)
            doomed += beyond([one for one in objects if one not in gone], limit)
        stale = [one for one in unfinished if now - one.time > _STALE]
        paths = [os.fsdecode(one.path) for one in (*doomed, *stale)]
        try:
            if paths:
                self._fs.rm(paths)
        except Exception as error:
            raise OutputError(f"cannot prune cache `{shown_url(self.url)}`: {_why(error)}") from None
        return CacheInfo.of(doomed, stale)

    def _list(self) -> tuple[list[Stored], list[Stored]]:
        """Return (objects, unfinished ones), leaving out what is none of ours. Raises SourceUnreadable."""
        if self._fs is None:
            raise SourceUnreadable(f"cannot read cache `{shown_url(self.url)}`: {self._unreadable}")
        try:
            self._fs.invalidate_cache()
            found = list(self._find())
        except Exception as error:
            raise SourceUnreadable(f"cannot read cache `{shown_url(self.url)}`: {_why(error)}") from None
        parts = [one for one in found if one.path.endswith(b".part")]
        return [one for one in found if not one.path.endswith(b".part")], parts

    def _find(self) -> Iterator[Stored]:
        for path, about in self._fs.find(self._root, detail=True).items():
            if _NAME.search(path):
                yield Stored(_made(about), int(about.get("size") or 0), os.fsencode(path))


def _made(about: Mapping[str, Any]) -> float:
    """Return when an object was made, as file systems call it in several ways; 0 where none is known."""
    for name in ("mtime", "LastModified", "last_modified", "modified", "updated", "created"):
        value = about.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
    return 0.0


def _why(error: Exception) -> str:
    """Return an error as one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
