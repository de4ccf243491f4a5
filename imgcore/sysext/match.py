"""Whether an extension fits to a host: the steps that systemd goes, each with what was found and what is wanted.

The steps, in order; the first that says yes or no ends it:

    release       there is release data at all
    scope         the words of SYSEXT_SCOPE (`system portable` where it is not set) contain the host's
    architecture  ARCHITECTURE is empty, `_any`, or the host's
    id            ID is `_any` (yes, whatever the version), the host's ID, or one of its ID_LIKE
    level         both have a level: equal is yes, else no; VERSION_ID does not matter then
    version       VERSION_ID is the host's; yes where the host has none
"""

from __future__ import annotations

from dataclasses import dataclass

from imgcore.sysext.architecture import near_misses
from imgcore.sysext.host import Host
from imgcore.sysext.kinds import Kind
from imgcore.sysext.release import Release
from imgcore.sysext.version import SystemdVersion

__all__ = ["Verdict", "match"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer: the rule that gave it, what was found, what is wanted, and what would change a no."""

    accepted: bool
    rule: str
    found: str = ""
    wanted: str = ""
    fix: str = ""


def match(release: Release, host: Host, kind: Kind, systemd: SystemdVersion) -> Verdict:
    """Return whether an extension with this release file fits to the host."""
    values = release.values
    if not values:
        where = kind.release_dir.decode()
        return Verdict(False, "release", release.why, "a release file", f"add {where}/extension-release.NAME")
    return _scope(values, host, kind) or _architecture(values, host) or _id(values, host, kind, systemd)


def _scope(values: dict[str, str], host: Host, kind: Kind) -> Verdict | None:
    asked = values.get(kind.scope_key)
    words = ["system", "portable"] if asked is None else asked.split()
    if host.scope in words:
        return None
    found = f"{kind.scope_key} is not set, which means `system portable`" if asked is None else f"{kind.scope_key}={asked}"
    fix = f'set {kind.scope_key}="{" ".join([host.scope, *words])}"'
    return Verdict(False, "scope", found, f"the word `{host.scope}` in it", fix)


def _architecture(values: dict[str, str], host: Host) -> Verdict | None:
    asked = values.get("ARCHITECTURE", "")
    if asked in ("", "_any", host.architecture):
        return None
    fix = "build it for the host's architecture"
    if near_misses(asked) == host.architecture:
        fix = f"systemd calls it ARCHITECTURE={host.architecture}"
    return Verdict(False, "architecture", f"ARCHITECTURE={asked}", host.architecture, fix)


def _id(values: dict[str, str], host: Host, kind: Kind, systemd: SystemdVersion) -> Verdict:
    asked = values.get("ID", "")
    if not asked:
        return Verdict(False, "id", "no ID", f"ID={host.id}, or ID=_any", f"set ID={host.id}")
    if asked == "_any":
        return Verdict(True, "id", "ID=_any", "any host")
    if asked != host.id and not (systemd.id_like and asked in host.id_like):
        wanted = f"ID={host.id}"
        if host.id_like:
            like = " ".join(host.id_like)
            wanted += f", or one of its ID_LIKE ({like})" if systemd.id_like else ""
        return Verdict(False, "id", f"ID={asked}", wanted, f"build it for {host.id}, or set ID=_any")
    if not host.version_id and not host.level:
        return Verdict(True, "id", f"ID={asked}", "nothing else: the host has no version")
    return _version(values, host, kind)


def _version(values: dict[str, str], host: Host, kind: Kind) -> Verdict:
    level, version = values.get(kind.level_key, ""), values.get("VERSION_ID", "")
    if host.level and level:
        wanted = f"{kind.level_key}={host.level}"
        fix = "" if level == host.level else f"build it for {wanted}"
        return Verdict(level == host.level, "level", f"{kind.level_key}={level}", wanted, fix)
    if not host.version_id:
        return Verdict(True, "version", f"VERSION_ID={version}" if version else "no VERSION_ID", "none: the host has none")
    wanted = f"VERSION_ID={host.version_id}"
    found = f"VERSION_ID={version}" if version else "no VERSION_ID"
    fix = "" if version == host.version_id else f"set {wanted}" + (f", or {kind.level_key}={host.level}" if host.level else "")
    return Verdict(version == host.version_id, "version", found, wanted, fix)
