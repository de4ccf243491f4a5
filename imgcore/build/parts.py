"""What stands behind `#` in a source: a partition of a disk, or an EFI boot image of an ISO that has no partitions."""

from __future__ import annotations

import contextlib

from imgcore.blob import Blob, SliceBlob
from imgcore.disk.partitions import find_partition, partitions
from imgcore.errors import FormatError, PathError

__all__ = ["find_part", "only_file_system"]

_UEFI = 0xEF


def find_part(blob: Blob, name: str) -> Blob:
    """Return the bytes of the partition with this number, role or label; `esp` is an ISO's boot image for UEFI too.

    Raises PathError when there is none or when several fit, Corrupt for one outside of the disk.
    """
    try:
        return find_partition(blob, name)
    except PathError:
        found = _boot_image(blob) if name == "esp" else None
        if found is None:
            raise
        return found


def only_file_system(blob: Blob, *, required: bool) -> Blob | None:
    """Return the bytes of a disk's one root or usr partition, None where there is none or more than one.

    Raises PathError in place of None when it is `required`, Corrupt for a partition outside of the disk.
    """
    try:
        known = partitions(blob)
    except FormatError:
        if required:
            raise
        return None
    found = [one for one in known if one.role in ("root", "usr")]
    if len(found) == 1:
        return find_partition(blob, str(found[0].number))
    if found or required:
        which = ", ".join(f"#{one.number} ({one.role})" for one in found) or "none"
        raise PathError("not a disk with one root or usr partition", hint=f"name a partition behind `#`; found: {which}")
    return None


def _boot_image(blob: Blob) -> Blob | None:
    """Return the image of the first El Torito entry for UEFI, None where there is none."""
    from imgcore.formats.iso9660.describe import catalog_of
    from imgcore.formats.iso9660.reader import IsoImage
    from imgcore.limits import Limits

    with contextlib.suppress(FormatError):
        catalog = catalog_of(IsoImage(blob, Limits.default()))
        for entry in catalog.entries if catalog is not None else ():
            if entry.platform == _UEFI and entry.bootable:
                start = entry.block * 2048
                size = entry.sectors * 512 if entry.sectors > 1 else blob.size - start
                return SliceBlob(blob, start, max(min(size, blob.size - start), 0))
    return None
