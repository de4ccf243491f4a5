"""`--base old.raw`: compressed blocks taken over from an older image, as a source of blocks for the writer.

Every data block and fragment of the old image that is compressed is decoded once, on all processors, and known by the
digest of its raw bytes from then on; so whatever the old image says, a block that is taken over decodes to what was asked
for. Blocks that stand raw are not taken over: why each of them is raw an image does not say.

The new image has to be what it would be without a base. So the old one must have been written with the same settings:
compression, block size and recorded options are compared and, since level and library are not all recorded, some of its
blocks, spread over the image, are compressed again and must come out the same. An image that was put together from parts
of different settings can deceive that; its content would still be right.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from imgcore.codec import Codec, alternatives
from imgcore.events import Control
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.codecs import codec_for, compressor_options
from imgcore.formats.squashfs.content import FileContent, decode_stored
from imgcore.formats.squashfs.describe import recorded_settings
from imgcore.formats.squashfs.layout import BLOCK_RAW, block_length
from imgcore.formats.squashfs.options import Options
from imgcore.formats.squashfs.reader import SquashfsImage
from imgcore.model import File
from imgcore.store.base import Kept

__all__ = ["BaseBlocks", "read_base"]

_SAMPLE: Final = 16  # blocks that are compressed again
_CHECK_EVERY: Final = 64  # blocks between two looks at the cancel flag


class _Place(NamedTuple):
    position: int
    word: int


class BaseBlocks:
    """The compressed blocks of an image, by the SHA-256 of what they decode to; thread-safe."""

    def __init__(self, image: SquashfsImage, places: dict[bytes, _Place]) -> None:
        self._image = image
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, digest: bytes, raw_size: int) -> Kept | None:
        """Return the stored form of the block with this digest."""
        place = self._places.get(digest)
        if place is None:
            return None
        return Kept(True, self._image.blob.read_at(place.position, block_length(place.word)))


def read_base(image: SquashfsImage, options: Options, control: Control) -> BaseBlocks | str:
    """Return what can be taken over from `image`, or why nothing can. Raises Corrupt, SourceError, Cancelled."""
    codec = codec_for(options)
    if codec is None:
        return "nothing is compressed"
    difference = _difference(image, options)
    if difference:
        return difference
    places = sorted(set(_places(image, control)))
    compressed = [place for place in places if not place.word & BLOCK_RAW]
    for place in compressed[:: max(1, len(compressed) // _SAMPLE)][:_SAMPLE]:
        control.check()
        stored = image.blob.read_at(place.position, block_length(place.word))
        if _best(codec, decode_stored(image, place.position, place.word)) != stored:
            return "its blocks were compressed with other settings, or by another version of the library"
    return BaseBlocks(image, _index(image, compressed, options.jobs, control))


def _difference(image: SquashfsImage, options: Options) -> str:
    """Return in what the image differs from what would be written, "" when in nothing that it records."""
    superblock = image.superblock
    compression = layout.COMPRESSIONS[superblock.compression]
    if compression != options.compression:
        return f"its compression is {compression}, not {options.compression}"
    if superblock.block_size != options.block_size:
        return f"its blocks have {superblock.block_size} bytes, not {options.block_size}"
    if recorded_settings(image) != compressor_options(options):
        return "its compressor has other options"
    return ""


def _best(codec: Codec, raw: bytes) -> bytes:
    return min((one.compress(raw) for one in alternatives(codec)), key=len)


def _places(image: SquashfsImage, control: Control) -> Iterator[_Place]:
    """Yield where each block and fragment stands."""
    for number in range(image.superblock.fragments):
        entry = image.fragment(number)
        yield _Place(entry.start_block, entry.size)
    for _, node in image.tree.walk():
        control.check()
        if isinstance(node, File) and isinstance(node.content, FileContent):
            for position, word in zip(node.content.positions(), node.content.words(), strict=True):
                if word:
                    yield _Place(position, word)


def _index(image: SquashfsImage, places: Sequence[_Place], jobs: int, control: Control) -> dict[bytes, _Place]:
    """Decode every block; return its place by its digest, the first of equals."""
    digests: list[bytes] = [b""] * len(places)
    failures: list[BaseException] = []
    todo = iter(range(len(places)))  # the threads take from it in turn

    def work() -> None:
        try:
            for number in todo:
                if number % _CHECK_EVERY == 0:
                    control.check()
                if failures:
                    return
                place = places[number]
                digests[number] = hashlib.sha256(decode_stored(image, place.position, place.word)).digest()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, name=f"imgcore-base-{number}") for number in range(jobs - 1)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    found: dict[bytes, _Place] = {}
    for digest, place in zip(digests, places, strict=True):
        found.setdefault(digest, place)
    return found
