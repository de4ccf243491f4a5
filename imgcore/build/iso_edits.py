"""What can be asked of an image that is changed, and what comes of it: the old image and patches over it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from imgcore.blob import Blob, Segment, Sink
from imgcore.blob.held import held_file
from imgcore.blob.sink_base import append_from
from imgcore.events import Control
from imgcore.model import Node
from imgcore.values import value_class

__all__ = ["Add", "Edit", "EspAdd", "EspRemove", "Kept", "Modified", "Patched", "Remove", "VolumeId"]

_READ: Final = 1 << 20


@value_class(eq=False)
class Add:
    """Put a file, a symbolic link or a directory with all that is in it at a path; a file that is there is replaced."""

    path: bytes
    node: Node


@value_class
class Remove:
    """Remove a name, of a directory with all that is in it. Its bytes stay in the image, unused."""

    path: bytes


@value_class
class VolumeId:
    """Give the volume another label."""

    text: str


@value_class(eq=False)
class EspAdd:
    """Put a file into the EFI system partition; one that is there is replaced."""

    path: bytes
    content: Blob


@value_class
class EspRemove:
    """Remove a file or a directory from the EFI system partition."""

    path: bytes


Edit: TypeAlias = Add | Remove | VolumeId | EspAdd | EspRemove


@value_class
class Kept:
    """What became of the image, in bytes and in sentences.

    `kept` bytes are where and what they were, `moved` are elsewhere, `rewritten` are others, `added` are new; `size` is the
    new length.
    """

    size: int
    kept: int
    moved: int
    rewritten: int
    added: int
    notes: tuple[str, ...]


class Modified:
    """A changed image: the old one, and patches of it in the order in which they hold."""

    def __init__(self, old: Blob, size: int, patches: list[tuple[int, Blob]], report: Kept) -> None:
        self.old, self.size, self.patches, self.report = old, size, patches, report

    def blob(self) -> Blob:
        """Return the image as it is after the changes, read from the old one and the patches."""
        return Patched(self.old, self.size, self.patches)

    def write(self, sink: Sink, control: Control | None = None) -> None:
        """Write the whole image to an empty sink; bytes that stay are shared with the old image where that is possible."""
        control = control or Control()
        size = min(self.old.size, self.size)
        with held_file(self.old) as held:
            if held is not None:
                append_from(sink, held[0], held[1], size, control.check)
            else:
                for at in range(0, size, _READ):
                    control.check()
                    sink.append(self.old.read_at(at, min(_READ, size - at)))
        missing = self.size - size
        while missing:
            sink.append(bytes(min(missing, _READ)))
            missing -= min(missing, _READ)
        for place, content in self.patches:
            for at in range(0, content.size, _READ):
                control.check()
                sink.patch(place + at, content.read_at(at, min(_READ, content.size - at)))


class Patched:
    """A blob with patches over it."""

    def __init__(self, old: Blob, size: int, patches: Sequence[tuple[int, Blob]]) -> None:
        self._old, self._size, self._patches = old, size, patches

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, at: int, size: int) -> bytes:
        end = min(at + size, self._size)
        if at < 0 or at >= end:
            return b""
        out = bytearray(self._old.read_at(at, end - at).ljust(end - at, b"\0"))
        for place, content in self._patches:
            first, last = max(at, place), min(end, place + content.size)
            if first < last:
                out[first - at : last - at] = content.read_at(first - place, last - first)
        return bytes(out)

    def segments(self) -> Iterator[Segment]:
        yield Segment(0, self._size, False)
