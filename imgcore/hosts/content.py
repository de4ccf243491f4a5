"""The content of one file that is unpacked: written into a descriptor, with its holes, and removed when that fails."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence

from imgcore.blob.faked import plain, pwrite, resize
from imgcore.errors import Cancelled, ImgcoreError, context
from imgcore.events import Control
from imgcore.hosts.attributes import Attributes
from imgcore.hosts.beneath import Chain, Place, output_error
from imgcore.model import File

__all__ = ["Content", "discard_all", "write_all"]

_CHUNK = 1 << 20
_BLOCK = 64 << 10  # zeros are looked for in these, as in a Spool
_LEAST_HOLE = 4 << 10  # of a block that two pieces share
_ZEROS = bytes(_BLOCK)


class Content:
    """A file that was made, empty, as `name` in `place`, open as `fd`; `path` is its path in the tree.

    `write` may run in any thread; it closes the descriptor.
    """

    __slots__ = ("_attributes", "_chain", "_control", "_fd", "_name", "_place", "_stopped", "node", "path", "written")

    def __init__(
        self,
        chain: Chain,
        control: Control,
        attributes: Attributes,
        place: Place,
        name: bytes,
        path: bytes,
        fd: int,
        node: File,
    ) -> None:
        self._chain = chain
        self._control = control
        self._attributes = attributes
        self._place = place
        self._name = name
        self._fd = fd
        self._stopped = False
        self.path = path
        self.node = node
        self.written = 0

    def write(self, pieces: Iterable[memoryview] | None = None) -> None:
        """Write the content, which comes in `pieces` or is read, and set the metadata; on any error remove the file.

        Raises what reading raises, OutputError.
        """
        try:
            if pieces is None:
                self._copy()
            else:
                self._take(pieces)
            self._attributes.apply(self.node.meta, self._shown, self._fd)
        except BaseException:
            self.discard()
            raise
        os.close(self._fd)

    @property
    def _shown(self) -> bytes:
        return self._place.path + b"/" + self._name

    def _copy(self) -> None:
        """Write data where there is data, leave holes where there are holes."""
        blob = self.node.content
        with context(path=self.path):
            for at, size, hole in blob.segments():
                if hole:
                    continue
                for start in range(at, at + size, _CHUNK):
                    self._control.check()
                    if self._stopped:
                        raise Cancelled
                    self._put(start, blob.read_at(start, min(_CHUNK, at + size - start)))
        self._resize(blob.size)

    def _take(self, pieces: Iterable[memoryview]) -> None:
        """Write pieces as they come, but for blocks of zeros, which become holes."""
        at, is_hole, size = 0, False, self.node.content.size
        with context(path=self.path):
            for view in pieces:
                self._control.check()
                run = 0  # where the bytes begin that have to be written
                start, end = 0, len(view)
                while start < end:
                    stop = min(end, start + _BLOCK - (at + start) % _BLOCK)
                    # A look at both ends first: nearly every block is told by that.
                    if not view[start] and not view[stop - 1] and stop - start >= _LEAST_HOLE:
                        is_hole = bytes(view[start:stop]) == _ZEROS[: stop - start]
                        if is_hole:
                            self._put_some(at + run, view[run:start])
                            run = stop
                    start = stop
                self._put_some(at + run, view[run:])
                is_hole = run == end
                at += end
        if at != size:
            raise AssertionError(f"{type(self.node.content).__name__} ended at {at} of {size} bytes")
        if is_hole:
            self._resize(size)

    def _resize(self, size: int) -> None:
        try:
            resize(self._fd, size)
        except OSError as error:
            raise output_error(error, self._shown, "write") from None

    def _put(self, at: int, data: bytes) -> None:
        if not data:
            raise AssertionError(f"{type(self.node.content).__name__} ended at {at} of {self.node.content.size} bytes")
        self._put_some(at, memoryview(data))

    def _put_some(self, at: int, view: memoryview) -> None:
        try:
            while view:
                count = pwrite(self._fd, view, at)
                self.written += count
                view, at = view[count:], at + count
        except OSError as error:
            raise output_error(error, self._shown, "write") from None

    def stop(self) -> None:
        """Make `write` end soon, with Cancelled."""
        self._stopped = True

    def discard(self) -> None:
        """Remove the file and close it."""
        made = os.fstat(self._fd)
        os.close(self._fd)
        with contextlib.suppress(ImgcoreError, OSError):  # whatever led here is the error to tell of
            directory = self._chain.reopen(self._place)
            try:
                found = os.stat(plain(self._name), dir_fd=directory, follow_symlinks=False)
                if (found.st_dev, found.st_ino) == (made.st_dev, made.st_ino):
                    os.unlink(plain(self._name), dir_fd=directory)
            finally:
                os.close(directory)


def write_all(contents: Sequence[Content]) -> None:
    """Write contents one after the other; an error in one removes those behind it too."""
    for position, content in enumerate(contents):
        try:
            content.write()
        except BaseException:
            discard_all(contents[position + 1 :])
            raise


def discard_all(contents: Iterable[Content]) -> None:
    """Remove the files of contents that were not written."""
    for content in contents:
        content.discard()
