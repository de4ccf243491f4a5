"""Where a blob's bytes lie in an open file, for who reads them without Python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from imgcore.blob.base import Blob
from imgcore.blob.faked import is_faked
from imgcore.blob.file import FileBlob
from imgcore.blob.memory import SliceBlob

__all__ = ["held_file"]


@contextlib.contextmanager
def held_file(blob: Blob) -> Iterator[tuple[int, int] | None]:
    """Give (descriptor, where the blob begins in it), None when it lies in no file; open until the block is left.

    Types are compared exactly: what a subclass reads is for its own read_at to say.
    """
    start = 0
    while type(blob) is SliceBlob:
        start += blob.start
        blob = blob.blob
    if type(blob) is not FileBlob or is_faked():
        yield None
        return
    with blob.descriptor() as fd:
        yield fd, start
