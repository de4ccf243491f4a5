"""What the writers of tar and cpio share: where the bytes go, the order of a tree, and where a file has holes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Self

from imgcore.blob import Blob, Segment, Sink
from imgcore.codec import StreamCompressor
from imgcore.events import Advanced, Control
from imgcore.formats.archive_options import ArchiveOptions
from imgcore.model import Node, Tree

__all__ = ["Output", "content_runs", "in_order"]

_HOLE: Final = 64 << 10
_ZEROS: Final = bytes(_HOLE)
_READ: Final = 1 << 20


def content_runs(blob: Blob) -> list[Segment]:
    """Return data and holes of a blob by its bytes alone: holes are aligned blocks of 64 KiB of zeros, and zeros behind one.

    How the source's file system stored the file has no say, so that archives are reproducible; but what it says is a
    large hole is not read.
    """
    runs: list[Segment] = []
    at = 0
    for part in blob.segments():
        end = part.at + part.size
        if part.hole and part.size >= _READ:
            begin = -(-part.at // _HOLE) * _HOLE
            end = end if end == blob.size else end - end % _HOLE
            _scan(blob, at, begin, runs)
            _add_run(runs, begin, end - begin, True)
            at = end
    _scan(blob, at, blob.size, runs)
    return runs


def _add_run(runs: list[Segment], at: int, size: int, hole: bool) -> None:
    if runs and runs[-1].hole == hole:
        runs[-1] = Segment(runs[-1].at, runs[-1].size + size, hole)
    elif size:
        runs.append(Segment(at, size, hole))


def _scan(blob: Blob, at: int, end: int, runs: list[Segment]) -> None:
    """Append the runs from `at`, a multiple of a hole's size, to `end`."""
    while at < end:
        data = blob.read_at(at, min(_READ, end - at))
        for start in range(0, len(data), _HOLE):
            size = min(_HOLE, len(data) - start)
            if size == _HOLE:
                zero = data.startswith(_ZEROS, start)
            else:
                zero = bool(runs) and runs[-1].hole and data.startswith(bytes(size), start)
            _add_run(runs, at + start, size, zero)
        at += len(data)


class Output:
    """Where a writer's bytes go: counted, gathered, perhaps compressed; `with` ends the stream."""

    def __init__(self, sink: Sink, options: ArchiveOptions, control: Control, *, single: bool) -> None:
        self.position = 0
        self.files = self.content = 0
        self._told = 0
        self._sink = sink
        self._control = control
        self._pending: list[bytes] = []
        self._size = 0
        self.compressor = StreamCompressor(
            options.compression, sink.append, level=options.level, jobs=options.jobs, single=single
        )

    def write(self, data: bytes) -> None:
        """Append bytes of the archive."""
        self.position += len(data)
        self._pending.append(data)
        self._size += len(data)
        if self._size >= _READ:
            self._flush()

    def pad(self, multiple: int) -> None:
        """Append zeros up to a multiple of a number."""
        self.write(bytes(-self.position % multiple))

    def copy(self, blob: Blob, at: int, size: int) -> None:
        """Append bytes of a blob, and look at the control meanwhile."""
        while size:
            data = blob.read_at(at, min(_READ, size))
            self.write(data)
            at, size = at + len(data), size - len(data)

    def done(self, path: bytes, size: int) -> None:
        """Count a file, and tell how far we are now and then."""
        self.files += 1
        self.content += size
        if self.content + 4096 * self.files - self._told >= _READ:
            self._told = self.content + 4096 * self.files
            self._control.emit(Advanced(self.files, self.content, self._sink.position, path))

    def _flush(self) -> None:
        self._control.check()
        self.compressor.write(b"".join(self._pending))
        self._pending, self._size = [], 0

    def __enter__(self) -> Self:
        self.compressor.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
        except BaseException as problem:
            self.compressor.__exit__(type(problem), problem, None)
            raise
        self.compressor.__exit__(kind, error, trace)


def in_order(tree: Tree, control: Control) -> Iterator[tuple[bytes, Node]]:
    """Yield the tree's entries as an archive has them: parents first, names of one directory in bytewise order."""
    for number, (path, node) in enumerate(tree.walk()):
        if number % 256 == 0:
            control.check()
        yield path, node
