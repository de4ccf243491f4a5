"""Write a tree to squashfs in memory and open it again."""

from __future__ import annotations

from typing import Literal

from imgcore.blob import BytesBlob, MemorySink
from imgcore.engine import get_engine, native_available
from imgcore.events import Control
from imgcore.formats.base import Report
from imgcore.formats.squashfs import Options, open_image, write_image
from imgcore.model import Tree

EngineName = Literal["pure", "native"]
ENGINES: list[EngineName] = ["pure", "native"] if native_available()[0] else ["pure"]


def write(tree: Tree, options: Options | None = None, engine: EngineName = "pure", control: Control | None = None) -> bytes:
    """Return the image of `tree`."""
    return write_report(tree, options, engine, control)[0]


def write_report(
    tree: Tree, options: Options | None = None, engine: EngineName = "pure", control: Control | None = None
) -> tuple[bytes, Report]:
    """Return the image of `tree` and the report."""
    sink = MemorySink()
    report = write_image(tree, sink, options or Options(block_size=4096), control or Control(), get_engine(engine))
    return sink.value(), report


def read(image: bytes) -> Tree:
    """Return the tree in an image."""
    return open_image(BytesBlob(image)).tree
