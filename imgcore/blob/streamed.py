"""Contents that lie one behind the other in a stream: quickest taken all in one go, in the stream's order.

Such a content is a blob like any other; whoever asks for it alone has the stream undone into a temporary file. Whoever wants
many of them takes them from the stream itself: nothing is kept, and memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from typing import Protocol, TypeAlias

__all__ = ["ContentStream", "Contents", "StreamedBlob"]

Contents: TypeAlias = "Generator[tuple[int, Iterator[memoryview]]]"


class ContentStream(Protocol):
    """A stream of contents, each of which has a number."""

    @property
    def in_order(self) -> bool:
        """Whether taking them in order is the quickest way: nothing was undone so far, and each can be told by itself."""
        ...

    def take(self, wanted: Collection[int], *, ahead: bool) -> Contents:
        """Yield (number, pieces) of each wanted content, in the stream's order; with `ahead` a thread undoes what is next.

        A content is right once its pieces have ended: what is wrong with it is raised there, so that the pieces before may
        be wrong ones. All pieces are taken before the next content is asked for; a piece is good until the next one is.
        """
        ...


class StreamedBlob:
    """Base of the blobs that are contents of a stream.

    Attributes:
        stream: the stream.
        index: the content's number there.
    """

    __slots__ = ("index", "stream")

    def __init__(self, stream: ContentStream, index: int) -> None:
        self.stream = stream
        self.index = index
