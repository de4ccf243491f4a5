"""What follows from definitions before anything has a place: UUIDs, labels, attributes, and the sizes that are wanted.

Sources: systemd, src/repart/repart.c: partition_acquire_uuid, partition_acquire_label, partition_min_size, partition_max_size,
partition_read_definition (attributes); the types that know an attribute: src/shared/gpt.c.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from imgcore.build.disk_image import GROW_FILE_SYSTEM, NO_AUTO, READ_ONLY
from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.definition import Definition
from imgcore.disk.placing import GRAIN, Wanted
from imgcore.disk.seeds import partition_uuid
from imgcore.disk.signature import SIGNATURE_BYTES

__all__ = ["acquire_labels", "acquire_uuids", "attributes", "siblings", "wanted"]

_DEFAULT_LEAST: Final = 10 << 20
_READ_ONLY_FORMATS: Final = ("squashfs", "erofs")
_LEAST_ESP: Final = 100 << 20
_LEAST_ESP_4K: Final = 260 << 20
_KNOW_ALL: Final = ("root", "usr", "home", "srv", "var", "tmp", "xbootldr")
_KNOW_READ_ONLY: Final = (*_KNOW_ALL, "root-verity", "root-verity-sig", "usr-verity", "usr-verity-sig")


def acquire_uuids(made: Sequence[Definition], seed: uuid.UUID) -> list[uuid.UUID]:
    """Return the UUID of each partition, before verity replaces some."""
    found: list[uuid.UUID] = []
    for number, one in enumerate(made):
        if one.guid is not None:
            found.append(one.guid)
            continue
        earlier = sum(other.type().guid == one.type().guid for other in made[:number])
        guid = partition_uuid(seed, one.type().guid, earlier)
        while any(guid == other.guid for other in made):
            earlier += 1
            guid = partition_uuid(seed, one.type().guid, earlier)
        found.append(guid)
    return found


def acquire_labels(made: Sequence[Definition]) -> list[str]:
    """Return the label of each partition: the one that is said, else the type's name, numbered from 2 where that is taken."""
    found: list[str | None] = [
        one.label if one.label is not None else "_empty" if one.format == "empty" else None for one in made
    ]
    for number, one in enumerate(made):
        if found[number] is not None:
            continue
        name = one.type().name if one.type().role else "linux"  # of a type that systemd has no name for
        label, count = name, 1
        while label in found:
            count += 1
            label = f"{name}-{count}"
        found[number] = label
    return [label for label in found if label is not None]


def attributes(one: Definition, systemd: int) -> int:
    """Return the GPT attributes."""
    role = one.type().role
    read_only = one.read_only
    is_sealed = (
        one.type().is_verity
        or one.verity == "data"
        or (systemd >= 262 and (one.type().is_signature or one.verity == "signature"))
    )
    if read_only is None and is_sealed:
        read_only = True
    grow = one.grow
    if role in _KNOW_ALL and not read_only:
        grow = True
    no_auto = one.no_auto
    if no_auto is None and one.format == "empty" and role in _KNOW_READ_ONLY:
        no_auto = True
    found = one.flags
    knows_read_only = role in _KNOW_READ_ONLY if systemd >= 262 else role in _KNOW_READ_ONLY and not one.type().is_signature
    for value, bit, known in (
        (no_auto, NO_AUTO, role in _KNOW_READ_ONLY),
        (read_only, READ_ONLY, knows_read_only),
        (grow, GROW_FILE_SYSTEM, role in _KNOW_ALL),
    ):
        if value is not None and known:
            found = found | bit if value else found & ~bit
    return found


def siblings(made: Sequence[Definition], one: Definition) -> dict[str, Definition]:
    """Return the definitions of one verity set, by Verity=. Raises DefinitionError where one is there twice, or lacks data."""
    if one.verity == "off":
        return {}
    found: dict[str, Definition] = {}
    for other in made:
        if other.verity != "off" and other.match_key == one.match_key:
            if other.verity in found:
                raise DefinitionError(
                    f"Verity={other.verity} for VerityMatchKey={one.match_key} is in {found[other.verity].path} too",
                    structure=other.path,
                )
            found[other.verity] = other
    if "data" not in found:
        raise DefinitionError(f"no Verity=data for VerityMatchKey={one.match_key}", structure=one.path)
    if one.verity == "signature" and "hash" not in found:
        raise DefinitionError(f"no Verity=hash for VerityMatchKey={one.match_key}", structure=one.path)
    return found


def wanted(one: Definition, content: int | None, *, systemd: int, sector: int | None) -> Wanted:
    """Return what is wanted of a disk for a partition, `content` being the bytes of what is known to go in.

    `sector` None says that nobody said its size.

    Raises DefinitionError where that is more than SizeMaxBytes= allows.
    """
    padding = {
        "least_padding": _rounded(one.padding_min, up=systemd >= 262) or 0,
        "most_padding": _rounded(one.padding_max, up=systemd < 262),
    }
    weights = {"weight": one.weight, "padding_weight": one.padding_weight, "priority": one.priority}
    if one.verity == "signature" or one.type().is_signature:
        most = SIGNATURE_BYTES if one.verity == "signature" or systemd >= 262 else None
        return Wanted(SIGNATURE_BYTES, most, padding["least_padding"] or 0, padding["most_padding"], **weights)
    least = GRAIN
    if content is not None:
        least = max(least, _up(content))
    if systemd >= 262 and one.file_system == "vfat" and one.type().role in ("esp", "xbootldr") and one.minimize == "off":
        least = max(least, _LEAST_ESP if sector == 512 else _LEAST_ESP_4K)  # without a word the sectors may be of any size
    size_min = _rounded(one.size_min, up=systemd >= 262)
    if size_min is None:
        size_min = 1 if one.format in _READ_ONLY_FORMATS or one.verity != "off" or one.minimize != "off" else _DEFAULT_LEAST
    least = max(_up(size_min), least)
    most = _rounded(one.size_max, up=systemd < 262)
    if most is not None and content is not None and _up(content) > most // GRAIN * GRAIN:
        raise DefinitionError(f"{content} bytes do not fit into SizeMaxBytes={one.size_max}", structure=one.path)
    most = None if most is None else max(most // GRAIN * GRAIN, least)
    return Wanted(least, most, padding["least_padding"] or 0, padding["most_padding"], **weights)


def _rounded(size: int | None, *, up: bool) -> int | None:
    """Return a size in whole grains; systemd before 262 rounds the least down and the most up."""
    return None if size is None else _up(size) if up else size // GRAIN * GRAIN


def _up(size: int) -> int:
    return -(-size // GRAIN) * GRAIN
