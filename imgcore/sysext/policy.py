"""Image policies: which partitions an image may have, and how each has to be protected.

A policy is `DESIGNATOR=FLAG+FLAG:…`; an empty designator says what holds for the others; `*` allows all, `-` nothing, `~`
ignores all. Flags of one sort that are not said at all are all allowed: uses, attributes, and since systemd 258 file systems.
A file system on the whole file is its root, without protection and without attributes, and what a policy says of the root is
all that counts. Of a disk each designator counts, those that it lacks too; what nothing is said of follows, for hash trees
and signatures, from what is said of their data, for others from the default.

Sources: systemd, src/shared/image-policy.c: image_policy_get, partition_policy_flags_extend; dissect-image.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from imgcore.sysext.partitions import DiskPart
from imgcore.sysext.version import NEWEST, SystemdVersion

__all__ = ["ImagePolicy"]

_DESIGNATORS: Final = frozenset(
    [
        "root",
        "usr",
        "home",
        "srv",
        "esp",
        "xbootldr",
        "swap",
        "root-verity",
        "usr-verity",
        "root-verity-sig",
        "usr-verity-sig",
        "tmp",
        "var",
    ]
)
_USES: Final = frozenset(["verity", "signed", "encrypted", "encryptedwithintegrity", "unprotected", "unused", "absent"])
_UNUSED: Final = frozenset(["unused", "absent"])
_WORDS: Final = {"open": _USES, "ignore": frozenset({"unused", "absent"})}
_ATTRIBUTES: Final = frozenset({"read-only-on", "read-only-off", "growfs-on", "growfs-off"})
_FILE_SYSTEMS: Final = frozenset({"btrfs", "erofs", "ext4", "f2fs", "squashfs", "vfat", "xfs"})


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """A policy; `flags` holds what is said of designators, `default` is for the others."""

    text: str
    flags: Mapping[str, frozenset[str]]
    default: frozenset[str]

    @classmethod
    def parse(cls, text: str, systemd: SystemdVersion = NEWEST) -> ImagePolicy:
        """Return the policy that `text` says. Raises ValueError for what this version of systemd does not understand."""
        special = {"*": _USES, "-": frozenset({"unused", "absent"}), "~": frozenset({"unused", "absent"})}
        if text in special or not text:
            return cls(text, {}, special[text or "-"])
        flags: dict[str, frozenset[str]] = {}
        default: frozenset[str] | None = None
        for part in text.split(":"):
            name, equals, words = part.partition("=")
            name = name.strip()
            if not equals:
                raise ValueError(f"`{part}` in the image policy has no `=`")
            said = cls._flags(words, systemd)
            if name == "":
                if default is not None:
                    raise ValueError("the image policy says twice what holds for other partitions")
                default = said
            elif name not in _DESIGNATORS:
                raise ValueError(f"`{name}` in the image policy is no partition; known: {' '.join(sorted(_DESIGNATORS))}")
            elif name in flags:
                raise ValueError(f"`{name}` is in the image policy twice")
            else:
                flags[name] = said
        return cls(text, flags, frozenset({"unused", "absent"}) if default is None else default)

    @staticmethod
    def _flags(words: str, systemd: SystemdVersion) -> frozenset[str]:
        said: set[str] = set()
        if words.strip() in ("", "-"):
            return frozenset()
        for word in words.split("+"):
            word = word.strip()
            if word in _WORDS:
                said |= _WORDS[word]
            elif word in _USES or word in _ATTRIBUTES or (word in _FILE_SYSTEMS and systemd.file_system_policies):
                said.add(word)
            elif word in _FILE_SYSTEMS:
                raise ValueError(f"systemd {systemd.number} knows no file systems in an image policy, so not `{word}`")
            else:
                raise ValueError(f"`{word}` is no flag of an image policy")
        return frozenset(said)

    def refuses_bare(self, file_system: str | None) -> str:
        """Return why an image that is one `file_system`, without protection, is refused; empty where it is not."""
        said = self.flags.get("root", self.default)
        uses = said & _USES or _USES
        if "unprotected" not in uses:
            return f"the policy wants root to be {' or '.join(sorted(uses))}"
        allowed = said & _FILE_SYSTEMS
        if allowed and file_system is not None and file_system not in allowed:
            return f"the policy wants root to be {' or '.join(sorted(allowed))}"
        for name in ("read-only", "growfs"):
            if f"{name}-on" in said and f"{name}-off" not in said:
                return f"the policy wants root to have the flag {name}, and a bare file system has no flags"
        return ""

    def refuses_disk(self, parts: Mapping[str, DiskPart]) -> str:
        """Return why a disk with these partitions is refused; empty where it is not."""
        if self._uses("root") <= _UNUSED and self._uses("usr") <= _UNUSED:
            return "the policy wants neither a root nor a usr file system"
        for name in sorted(_DESIGNATORS):
            uses, part = self._uses(name), parts.get(name)
            if part is None:
                if "absent" not in uses:
                    return f"the policy wants {name} to be {' or '.join(sorted(uses))}, and there is none"
                continue
            if not uses & _protections(name, parts):
                if "unused" in uses:
                    continue
                return f"the policy wants {name} to be {' or '.join(sorted(uses))}"
            said = self._flags_of(name)
            for flag, value in (("read-only", part.read_only), ("growfs", part.grow)):
                wanted = {one for one in ("on", "off") if f"{flag}-{one}" in said} or {"on", "off"}
                if ("on" if value else "off") not in wanted:
                    return f"the policy wants {name} to have the flag {flag} {' or '.join(sorted(wanted))}"
        if not any(name in parts and self._uses(name) & _protections(name, parts) for name in ("root", "usr")):
            return "the policy leaves no file system of it in use"
        return ""

    def _flags_of(self, name: str) -> frozenset[str]:
        """Return what is said of a designator; of a hash tree or signature without a word, what follows from its data."""
        if name in self.flags:
            return self.flags[name]
        data = name.removesuffix("-sig").removesuffix("-verity")
        if data == name or data not in self.flags:
            return self.default
        said = self.flags[data]
        uses = said & _USES or _USES
        needs = {"signed"} if name.endswith("-sig") else {"signed", "verity"}
        derived = uses & _UNUSED if uses & needs else _UNUSED
        return derived | ({"unprotected"} if uses & needs else frozenset()) | (said & _ATTRIBUTES)

    def _uses(self, name: str) -> frozenset[str]:
        return self._flags_of(name) & _USES or _USES


def _protections(name: str, parts: Mapping[str, DiskPart]) -> set[str]:
    """Return the uses that a partition can be put to."""
    found = {"unprotected", "encrypted"}
    if f"{name}-verity" in parts:
        found.add("verity")
        if f"{name}-verity-sig" in parts:
            found.add("signed")
    return found
