"""One definition of a partition (repart.d(5)), its keys declared in one table.

Every key of systemd 262 is in `KEYS`, with what reads its value, or with why it is not supported: such a key is an error
that names file and line, unless its value is the one that means nothing. Values are read as systemd reads them; what it
would only warn of is an error.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from imgcore.build.repart.conf import Assignment, DefinitionError, drop_in_files, read_assignments
from imgcore.build.repart.values import boolean, copied, integer, path_list, size, symlinks
from imgcore.disk.types import PartitionType, type_by_name

__all__ = ["KEYS", "Definition", "read_definition"]

_GRAIN: Final = 4096


@dataclasses.dataclass(slots=True)
class Definition:
    """What a definition says; None is what it does not say. Sizes are bytes as written, before they are rounded."""

    path: str
    kind: PartitionType | None = None
    label: str | None = None
    volume_label: str | None = None
    guid: uuid.UUID | None = None
    priority: int = 0
    weight: int = 1000
    padding_weight: int = 0
    size_min: int | None = None
    size_max: int | None = None
    padding_min: int | None = None
    padding_max: int | None = None
    copy_blocks: str | None = None
    format: str | None = None
    copy_files: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    exclude: list[str] = dataclasses.field(default_factory=list)
    exclude_target: list[str] = dataclasses.field(default_factory=list)
    directories: list[str] = dataclasses.field(default_factory=list)
    symlinks: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    verity: str = "off"
    match_key: str | None = None
    data_block: int | None = None
    hash_block: int | None = None
    flags: int = 0
    read_only: bool | None = None
    no_auto: bool | None = None
    grow: bool | None = None
    split_name: str | None = "%t"
    minimize: str = "off"
    validate: bool | None = None
    compression: str | None = None
    level: str | None = None
    mount_points: list[str] = dataclasses.field(default_factory=list)
    drop_ins: list[str] = dataclasses.field(default_factory=list)

    @property
    def populated(self) -> bool:
        """Whether files are to be in it."""
        return bool(self.copy_files or self.directories or self.symlinks)

    @property
    def file_system(self) -> str | None:
        """The file system: the one that is said, else the one that type or files imply (partition_read_definition)."""
        if self.format is not None or self.copy_blocks is not None or self.verity in ("hash", "signature"):
            return self.format
        role = self.type().role
        if role == "swap":
            return "swap"
        return ("vfat" if role in ("esp", "xbootldr") else "ext4") if self.populated else None

    def type(self) -> PartitionType:
        """Return the type, which every definition that was read has."""
        assert self.kind is not None
        return self.kind


def _set(field: str, read: Callable[[str], Any]) -> Callable[[Definition, str], None]:
    return lambda made, text: setattr(made, field, read(text))


def _add(field: str, read: Callable[[str], Sequence[Any]]) -> Callable[[Definition, str], None]:
    def add(made: Definition, text: str) -> None:
        setattr(made, field, [*getattr(made, field), *read(text)] if text else [])

    return add


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"`{text}` is none of {', '.join(words)}")
        return text

    return read


def _block_size(text: str) -> int:
    found = size(text)
    if found not in (512, 1024, 2048, 4096):
        raise ValueError(f"a block of {found} bytes; known: 512, 1024, 2048, 4096")
    return found


def _guid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(int=0) if text == "null" else uuid.UUID(text)
    except ValueError:
        raise ValueError(f"`{text}` is no UUID") from None


def _label(text: str) -> str:
    if len(text.encode("utf-16-le")) > 72:
        raise ValueError(f"the label `{text}` is longer than 36 characters")
    return text


def _switch(text: str) -> str:
    """Return the text of a word that may also be a boolean: off is `no`."""
    try:
        return "best" if boolean(text) else "off"
    except ValueError:
        return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"`{text}` is not an absolute path")
    return text


def _mount_point(text: str) -> list[str]:
    return [_path(text.partition(":")[0])]


def _refused(why: str, *harmless: str) -> Callable[[Definition, str], None]:
    def refuse(made: Definition, text: str) -> None:
        if text.lower() not in harmless:
            raise _NotSupported(why)

    return refuse


class _NotSupported(ValueError):
    pass


_OFF: Final = ("", "off", "no", "false", "0", "n", "f")

KEYS: Final[Mapping[str, Callable[[Definition, str], None]]] = {
    "Type": lambda made, text: None,
    "Label": _set("label", _label),
    "VolumeLabel": _set("volume_label", str),
    "UUID": _set("guid", _guid),
    "Priority": _set("priority", lambda text: integer(text, -(1 << 31), (1 << 31) - 1)),
    "Weight": _set("weight", lambda text: integer(text, 0, 1_000_000)),
    "PaddingWeight": _set("padding_weight", lambda text: integer(text, 0, 1_000_000)),
    "SizeMinBytes": _set("size_min", size),
    "SizeMaxBytes": _set("size_max", size),
    "PaddingMinBytes": _set("padding_min", size),
    "PaddingMaxBytes": _set("padding_max", size),
    "FactoryReset": lambda made, text: None,  # about partitions that exist
    "CopyBlocks": _set("copy_blocks", lambda text: _path(text) if text else None),
    "Format": _set("format", lambda text: text or None),
    "CopyFiles": _add("copy_files", copied),
    "ExcludeFiles": _add("exclude", path_list),
    "ExcludeFilesTarget": _add("exclude_target", path_list),
    "MakeDirectories": _add("directories", path_list),
    "MakeSymlinks": _add("symlinks", symlinks),
    "Encrypt": _refused("encryption", *_OFF),
    "Verity": _set("verity", lambda text: _one_of("off", "data", "hash", "signature")("off" if text in _OFF else text)),
    "VerityMatchKey": _set("match_key", lambda text: text or None),
    "VerityDataBlockSizeBytes": _set("data_block", _block_size),
    "VerityHashBlockSizeBytes": _set("hash_block", _block_size),
    "Flags": _set("flags", lambda text: integer(text, 0, (1 << 64) - 1)),
    "ReadOnly": _set("read_only", boolean),
    "NoAuto": _set("no_auto", boolean),
    "GrowFileSystem": _set("grow", boolean),
    "SplitName": _set("split_name", lambda text: None if text == "-" else text),
    "Minimize": _set("minimize", lambda text: _one_of("off", "best", "guess")(_switch(text))),
    "Subvolumes": _refused("subvolumes of btrfs", ""),
    "DefaultSubvolume": _refused("subvolumes of btrfs", ""),
    "MountPoint": _add("mount_points", _mount_point),
    "EncryptedVolume": _refused("encryption", ""),
    "TPM2PCRs": _refused("encryption", ""),
    "KeyFile": _refused("encryption", ""),
    "Integrity": _refused("dm-integrity", *_OFF),
    "IntegrityAlgorithm": _refused("dm-integrity", ""),
    "EncryptKDF": _refused("encryption", ""),
    "Compression": _set("compression", lambda text: text or None),
    "CompressionLevel": _set("level", lambda text: text or None),
    "SupplementFor": _refused("partitions that supplement others", ""),
    "AddValidateFS": _set("validate", boolean),
    "FileSystemSectorSize": _refused("a sector size for the file system only", "", "512"),
    "Discard": lambda made, text: None,  # about block devices
}


def read_definition(path: str, architecture: str, expand: Callable[[str], str]) -> Definition:
    """Return what the definition at `path` and its drop-ins say; `expand` fills in specifiers.

    Raises SourceUnreadable, and DefinitionError for anything that is wrong or not supported.
    """
    made = Definition(path, drop_ins=drop_in_files(path))
    for line in read_assignments([path, *made.drop_ins], "Partition", KEYS):
        try:
            if line.key == "Type":
                made.kind = type_by_name(line.value, architecture)
            else:
                KEYS[line.key](made, expand(line.value) if line.key in _EXPANDED else line.value)
        except _NotSupported as error:
            raise DefinitionError(f"{line.key}= is not supported: {error}", structure=line.where) from None
        except ValueError as error:
            raise DefinitionError(f"{line.key}=: {error}", structure=line.where) from None
        _require_plain(line)
    _require_sense(made)
    return made


_EXPANDED: Final = frozenset(
    ("Label", "VolumeLabel", "CopyBlocks", "CopyFiles", "ExcludeFiles", "ExcludeFilesTarget", "MakeDirectories", "MakeSymlinks")
)


def _require_plain(line: Assignment) -> None:
    if re.search(r"[\x00-\x08\x0a-\x1f]", line.value):
        raise DefinitionError(f"{line.key}= has control characters", structure=line.where)


def _require_sense(made: Definition) -> None:
    """Raise DefinitionError for what contradicts itself, as systemd does (partition_read_definition)."""

    def wrong(text: str) -> NoReturn:
        raise DefinitionError(text, structure=made.path)

    if made.kind is None:
        wrong("no Type=")
    for low, high, name in ((made.size_min, made.size_max, "Size"), (made.padding_min, made.padding_max, "Padding")):
        if low is not None and high is not None and low > high:
            wrong(f"{name}MinBytes= is larger than {name}MaxBytes=")
    if made.copy_blocks is not None and (made.format or made.populated):
        wrong("CopyBlocks= does not go with Format=, CopyFiles=, MakeDirectories= or MakeSymlinks=")
    if made.verity != "off" and made.match_key is None:
        wrong(f"Verity={made.verity} needs VerityMatchKey=")
    if made.verity == "off" and made.match_key is not None:
        wrong("VerityMatchKey= is for Verity=data, hash or signature")
    if made.verity in ("hash", "signature") and (made.format or made.populated or made.copy_blocks):
        wrong(f"CopyFiles=, Format=, MakeDirectories=, MakeSymlinks= and CopyBlocks= do not go with Verity={made.verity}")
    if made.verity == "signature" and not (made.size_min is None and made.size_max is None):
        wrong("SizeMinBytes= and SizeMaxBytes= do not go with Verity=signature")
    if made.minimize != "off" and not made.format and made.verity != "hash":
        wrong("Minimize= needs Format= or Verity=hash")
    if made.type().is_signature != (made.verity == "signature") and made.verity == "signature":
        wrong(f"Verity=signature is for a partition of type root-verity-sig or usr-verity-sig, not {made.type().name}")
