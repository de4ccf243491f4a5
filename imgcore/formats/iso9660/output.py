"""Where the writer's bytes go: in order, gathered into large pieces, seen by a media digest where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from imgcore.blob import Blob, HostFile, Sink
from imgcore.blob.faked import is_faked
from imgcore.blob.held import held_file
from imgcore.blob.sink_base import append_from
from imgcore.events import Advanced, Control
from imgcore.formats.iso9660.layout import BLOCK
from imgcore.formats.iso9660.sources import AnyContent

__all__ = ["Output", "Watcher"]

_READ: Final = 1 << 20
_LARGE: Final = 256 << 10
_GATHERED: Final = 512
_TOLD: Final = 16 << 20
_ZEROS: Final = bytes(BLOCK)


class Watcher(Protocol):
    """Something that sees every byte, in order."""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        ...


class Output:
    """Bytes appended to a sink. `position` counts them; `watcher` makes every byte pass through memory."""

    def __init__(self, sink: Sink, control: Control, watcher: Watcher | None = None) -> None:
        self.position = 0
        self._sink, self._control, self._watcher = sink, control, watcher
        self._pending: list[bytes | memoryview] = []
        self._size = 0
        self._files = self._content = self._told = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self.position += len(data)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= _READ:
            self.flush()

    def pad_to(self, position: int) -> None:
        """Append zeros up to a position."""
        missing = position - self.position
        if missing < BLOCK:
            if missing:
                self.write(_ZEROS[:missing])
            assert missing >= 0
            return
        while missing > _READ:
            self.write(bytes(_READ))
            missing -= _READ
        self.write(bytes(missing))

    def copy(self, path: bytes, blob: Blob) -> None:
        """Append the bytes of a blob, which is the content of `path`; by the kernel where it can."""
        size = blob.size
        if size < _LARGE:
            self.write(blob.read_at(0, size))
        elif not self._by_kernel(blob, size):
            for at in range(0, size, _READ):
                self.write(blob.read_at(at, min(_READ, size - at)))
        self._count(path, size)

    def files(self, contents: Sequence[AnyContent], read: Iterator[bytes | memoryview]) -> None:
        """Append the bytes of many files, each at its place; `read` gives them in order."""
        pending: list[bytes | memoryview] = []
        at = self.position
        for content, data in zip(contents, read, strict=True):
            start = content.block * BLOCK
            if start != at:
                pending.append(_ZEROS[: start - at] if start - at < BLOCK else bytes(start - at))
            pending.append(data)
            at = start + len(data)
            if len(pending) >= _GATHERED:
                self._gathered(pending, at, content)
                pending = []
        if pending:
            self._gathered(pending, at, contents[-1])

    def _gathered(self, pending: list[bytes | memoryview], at: int, content: AnyContent) -> None:
        """Append pieces up to a position, of which `content` is the last."""
        before = self.position
        self.write(b"".join(pending))
        assert self.position == at
        self._files += len(pending) // 2 - 1
        self._count(content, at - before)

    def _count(self, path: bytes | AnyContent, size: int) -> None:
        self._files += 1
        self._content += size
        if self._content + 4096 * self._files - self._told >= _TOLD:
            self._told = self._content + 4096 * self._files
            name = path if isinstance(path, bytes) else path.path
            self._control.emit(Advanced(self._files, self._content, self.position, name))

    def _by_kernel(self, blob: Blob, size: int) -> bool:
        if self._watcher is not None or is_faked():
            return False
        if type(blob) is HostFile:
            self.flush()
            fd = blob.open()
            try:
                append_from(self._sink, fd, 0, size, self._control.check)
                blob.require_same(fd)
            finally:
                os.close(fd)
        else:
            with held_file(blob) as held:
                if held is None:
                    return False
                self.flush()
                append_from(self._sink, held[0], held[1], size, self._control.check)
        self.position += size
        return True

    def flush(self) -> None:
        """Hand on what was gathered."""
        self._control.check()
        data = b"".join(self._pending)
        self._pending, self._size = [], 0
        if self._watcher is not None:
            self._watcher.update(data)
        if data:
            self._sink.append(data)
