"""`--base old.raw`: compressed blocks taken over from an older image, as a source of blocks for the writer.

Every data block and fragment of the old image that is compressed is decoded once, on all processors, and known by the
digest of its raw bytes from then on; so whatever the old image says, a block that is taken over decodes to what was asked
for. Its stored bytes have a digest too, which is compared when they are read again: the old image may be what is just
being overwritten. Blocks that stand raw are not taken over: why each of them is raw an image does not say.

The new image has to be what it would be without a base. So the old one must have been written with the same settings:
compression, block size and recorded options are compared and, since level and library are not all recorded, some of its
blocks, spread over the image, are compressed again and must come out the same. Whether it was written with early store is
not recorded either, and a fragment may be what is a block now: compressed ones that as blocks would be stored raw are found,
and given for fragments only. An image that was put together
from parts of different settings can deceive the sample; its content would still be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from imgcore.codec import Codec, alternatives
from imgcore.engine.pure import cannot_shrink
from imgcore.engine.threads import on_threads
from imgcore.errors import ImgcoreError, context
from imgcore.events import Control
from imgcore.formats.squashfs import layout
from imgcore.formats.squashfs.codecs import codec_for, compressor_options
from imgcore.formats.squashfs.content import FileContent, read_stored
from imgcore.formats.squashfs.describe import recorded_settings
from imgcore.formats.squashfs.layout import BLOCK_RAW, block_length
from imgcore.formats.squashfs.options import Options
from imgcore.formats.squashfs.reader import SquashfsImage
from imgcore.model import File
from imgcore.store.base import Kept

__all__ = ["BaseBlocks", "read_base"]

_SAMPLE: Final = 16  # blocks that are compressed again
_LZ4_WINDOW: Final = 64 << 10


class _Place(NamedTuple):
    position: int
    word: int


class _Block(NamedTuple):
    """A block that can be taken over: where it stands, the SHA-256 of its stored bytes, whether it looks like chance."""

    place: _Place
    stored: bytes
    chance: bool


class BaseBlocks:
    """The compressed blocks of an image, by the SHA-256 of what they decode to; thread-safe.

    `changed` says whether the image changed since it was read.
    """

    def __init__(self, image: SquashfsImage, blocks: dict[bytes, _Block]) -> None:
        self.changed = False
        self._image = image
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, digest: bytes, raw_size: int, looked_at: bool) -> Kept | None:
        """Return the stored form of the block with this digest."""
        block = self._blocks.get(digest)
        if block is None or (looked_at and block.chance):
            return None
        try:
            stored = self._image.blob.read_at(block.place.position, block_length(block.place.word))
        except (ImgcoreError, OSError):
            stored = b""
        if sha256(stored).digest() != block.stored:
            self.changed = True
            return None
        return Kept(True, stored)


def read_base(image: SquashfsImage, options: Options, control: Control) -> BaseBlocks | str:
    """Return what can be taken over from `image`, or why nothing can. Raises Corrupt, SourceError, Cancelled."""
    codec = codec_for(options)
    if codec is None:
        return "nothing is compressed"
    difference = _difference(image, options)
    if difference:
        return difference
    reader = _Reader(image, codec, options.early_store and codec.slow, control)
    places = [place for place in sorted(set(_places(image, control))) if not place.word & BLOCK_RAW]
    if not all(on_threads(reader.comes_out_the_same, _sample(places), options.jobs)):
        return "its blocks were compressed with other settings, or by another version of the library"
    found: dict[bytes, _Block] = {}
    for one in on_threads(reader.block, places, options.jobs):
        if one is not None:
            found.setdefault(*one)
    return BaseBlocks(image, found)


def _sample(places: Sequence[_Place]) -> list[_Place]:
    """Return some of the places, spread evenly, of the larger half: small blocks look the same under many settings."""
    median = sorted(block_length(place.word) for place in places)[len(places) // 2] if places else 0
    large = [place for place in places if block_length(place.word) >= median]
    return [large[number * len(large) // _SAMPLE] for number in range(_SAMPLE)] if len(large) > _SAMPLE else large


class _Reader:
    """Decodes blocks of an image; thread-safe."""

    def __init__(self, image: SquashfsImage, codec: Codec, looks_first: bool, control: Control) -> None:
        self.image, self.codec, self.looks_first, self.control = image, codec, looks_first, control

    def _decoded(self, place: _Place) -> tuple[bytes, bytes]:
        """Return (stored bytes, raw bytes)."""
        self.control.check()
        stored = read_stored(self.image, *place)
        with context(offset=place.position, structure="data block"):
            return stored, self.image.decoder(stored, self.image.superblock.block_size)

    def comes_out_the_same(self, place: _Place) -> bool:
        """Whether the block is what the codec makes of it."""
        stored, raw = self._decoded(place)
        return min((one.compress(raw) for one in alternatives(self.codec)), key=len) == stored

    def block(self, place: _Place) -> tuple[bytes, _Block] | None:
        """Return the digest of the raw bytes and the block; None when it would be stored raw."""
        stored, raw = self._decoded(place)
        # What the quick look takes for chance does not shrink by much within LZ4's window, whatever compresses it: so few
        # blocks have to be looked at.
        poor = len(stored) * 8 > min(len(raw), _LZ4_WINDOW) * 7
        if len(stored) >= len(raw):
            return None
        chance = poor and self.looks_first and cannot_shrink(raw)
        return sha256(raw).digest(), _Block(place, sha256(stored).digest(), chance)


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
