"""Where the files and directories of an image end, by the records alone."""

from __future__ import annotations

from imgcore.formats.iso9660.layout import BLOCK, VolumeDescriptor
from imgcore.formats.iso9660.reader import IsoImage
from imgcore.formats.iso9660.records import read_records

__all__ = ["end_of_extents"]


def end_of_extents(image: IsoImage) -> int:
    """Return the block behind everything that a directory record of any tree leads to. Raises Corrupt, LimitExceeded."""
    seen: set[int] = set()
    todo: list[tuple[int, int]] = []
    for descriptor in image.descriptors:
        if isinstance(descriptor.record, VolumeDescriptor):
            todo.append(image._root_item(descriptor.record).sections[0])
    end = count = 0
    while todo:
        block, size = todo.pop()
        if block in seen:
            continue
        seen.add(block)
        end = max(end, block + -(-size // BLOCK))
        for item in read_records(image._read_base, block, size):
            count += 1
            if count % 1024 == 0:
                image.limits.require("max_entries", count)
            for first, length in item.sections:
                end = max(end, first + -(-length // BLOCK))
            if item.is_dir and item.identifier not in (b"\0", b"\1"):
                todo.append(item.sections[0])
    return end + image.base
