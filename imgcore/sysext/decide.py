"""The decision for each extension: accepted, ignored, or fatal, which blocks all of them.

systemd reads every image before it matches any: what cannot be read, or breaks a rule that concerns all, ends the merge,
whatever else there is. Matching comes then, and a mismatch concerns one extension only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imgcore.sysext.extension import Extension
from imgcore.sysext.host import Host
from imgcore.sysext.image import TroubleKind
from imgcore.sysext.kinds import CONFEXT, SYSEXT, Kind
from imgcore.sysext.match import match
from imgcore.sysext.policy import ImagePolicy
from imgcore.sysext.release import OsRelease, find_os_release, find_release
from imgcore.sysext.version import SystemdVersion

__all__ = ["Decision", "Outcome", "decide"]

Outcome: TypeAlias = Literal["accepted", "ignored", "fatal", "unsupported"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one extension, and why.

    Attributes:
        extension: it.
        outcome: `fatal` blocks all extensions; `unsupported` says that imgcore cannot read the image, systemd could.
        rule: a short name of the rule that decided.
        found: what was found.
        wanted: what the rule wants.
        fix: what would change the answer; empty where it is yes.
    """

    extension: Extension
    outcome: Outcome
    rule: str
    found: str = ""
    wanted: str = ""
    fix: str = ""

    @property
    def name(self) -> bytes:
        """The extension's name."""
        return self.extension.name


def decide(
    extension: Extension, host: Host, kind: Kind, systemd: SystemdVersion, *, force: bool, policy: ImagePolicy | None
) -> Decision:
    """Return what becomes of an extension by itself; what layers make of it comes later."""
    early = _unreadable(extension) or _image_rules(extension, kind, systemd, force, policy)
    if early is not None:
        return early
    if force:
        return Decision(extension, "accepted", "force", "--force", "nothing")
    release = extension.release
    if extension.os_release.present and extension.image_type != "directory":
        wanted = "no /usr/lib/os-release, which makes systemd take the image for a system's, without release data"
        return Decision(extension, "ignored", "os-release", "/usr/lib/os-release", wanted, "remove it from the extension")
    verdict = match(release, host, kind, systemd)
    fix = verdict.fix
    if verdict.rule == "release":
        fix = _release_fix(extension, kind)
    return Decision(extension, "accepted" if verdict.accepted else "ignored", verdict.rule, verdict.found, verdict.wanted, fix)


def _unreadable(extension: Extension) -> Decision | None:
    trouble = extension.trouble
    if trouble is None:
        return None
    if trouble.kind is TroubleKind.UNSUPPORTED:
        fix = "convert it to squashfs, or look at it with systemd-dissect"
        return Decision(extension, "unsupported", "image", trouble.found, trouble.wanted, fix)
    fix = "rebuild or remove it: while it is there, no extension is merged"
    return Decision(extension, "fatal", "image", trouble.found, trouble.wanted, fix)


def _image_rules(
    extension: Extension, kind: Kind, systemd: SystemdVersion, force: bool, policy: ImagePolicy | None
) -> Decision | None:
    """Return the answer where the image as such is refused."""
    raw = extension.image_type != "directory"
    if raw and (refused := _mounting(extension, kind, systemd)) is not None:
        return refused
    if kind is SYSEXT and (refused := _os_release_rule(extension, raw, systemd, force)) is not None:
        return refused
    if raw and policy is not None and (why := _against_policy(extension, policy)):
        fix = "change the policy, or sign the image"
        found = f"a bare {extension.file_system or 'file system'}, without protection"
        if extension.parts is not None:
            found = f"a disk with {', '.join(sorted(extension.parts))}"
        return Decision(extension, "fatal", "image-policy", found, why, fix)
    return None


def _against_policy(extension: Extension, policy: ImagePolicy) -> str:
    """Return why a policy refuses an image; empty where it does not."""
    if extension.parts is None:
        return policy.refuses_bare(extension.file_system)
    return policy.refuses_disk(extension.parts)


def _mounting(extension: Extension, kind: Kind, systemd: SystemdVersion) -> Decision | None:
    """Return why systemd does not mount a raw image, which has to be a system's, or an extension of either class."""
    assert extension.tree is not None
    for found in (find_os_release(extension.tree, b"/etc/os-release"), extension.os_release):
        if found.trouble:
            return _lost(extension, found, "image")
        if found.present:
            return None
    kinds = (SYSEXT, CONFEXT) if systemd.confext else (SYSEXT,)
    why = extension.release.why
    for one in kinds:
        release = find_release(extension.tree, extension.release_name, one, systemd)
        if release.path is not None:
            return None
        if release.lost:
            why = release.why
            break
    wanted = f"a release file called extension-release.{_text(extension.release_name)}; --force does not help with an image"
    return Decision(extension, "fatal", "release", why, wanted, _release_fix(extension, kind))


def _os_release_rule(extension: Extension, raw: bool, systemd: SystemdVersion, force: bool) -> Decision | None:
    """Return the answer where an os-release is in the way, or where it cannot be said whether one is."""
    found = extension.os_release
    if force if systemd.os_release_at_match else (raw and not found.trouble):
        return None
    if found.trouble:
        return _lost(extension, found, "os-release")
    if not found.present:
        return None
    wanted = "no /usr/lib/os-release, which would hide the host's"
    return Decision(extension, "fatal", "os-release", "/usr/lib/os-release", wanted, "remove it from the extension")


def _lost(extension: Extension, found: OsRelease, rule: str) -> Decision:
    """Return that systemd gives up, since it cannot find out whether there is an os-release."""
    path = _text(found.path)
    return Decision(extension, "fatal", rule, found.trouble, f"a path that can be followed to {path}", "repair or remove it")


def _release_fix(extension: Extension, kind: Kind) -> str:
    """Return how to get a release file that is found."""
    name = _text(extension.release_name)
    wanted = f"{kind.release_dir.decode()}/extension-release.{name}"
    others = [_text(path) for path in extension.release.others]
    if extension.release.path is not None:
        return f"write ID=… into {_text(extension.release.path)}"
    if len(others) == 1:
        other = others[0].rpartition("extension-release.")[2]
        return f"rename {others[0]} to extension-release.{name}, or the extension to {other}"
    return f"add {wanted}"


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
