"""The two classes of extensions, as a value: where each is looked for, what it is about, how its keys are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from imgcore.sysext.version import SystemdVersion

__all__ = ["CONFEXT", "KINDS", "SYSEXT", "Kind", "KindName"]

KindName: TypeAlias = Literal["sysext", "confext"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A class of extensions.

    Attributes:
        name: of the class; also the suffix that names may have, with a dot.
        plural: what JSON, directories and marker files call them.
        hierarchies: what is merged unless the caller says otherwise.
        release_dir: where the release file is, in the extension.
        level_key, scope_key: in the release file, and in the host's os-release.
        section: of the configuration file `NAME.conf`.
    """

    name: KindName
    plural: str
    hierarchies: tuple[bytes, ...]
    release_dir: bytes
    level_key: str
    scope_key: str
    section: str

    @property
    def marker(self) -> bytes:
        """The directory that systemd leaves in a merged hierarchy."""
        return b".systemd-" + self.name.encode()

    @property
    def program(self) -> str:
        """The name of systemd's program."""
        return f"systemd-{self.name}"

    def search_directories(self, systemd: SystemdVersion, initrd: bool) -> tuple[bytes, ...]:
        """Return where extensions are looked for, the first hit of a name wins; `initrd`: the root is one."""
        if self.name == "sysext":
            found = [b"/etc/extensions", b"/run/extensions", b"/var/lib/extensions"]
            if systemd.searches_usr:
                found += [b"/usr/local/lib/extensions", b"/usr/lib/extensions"]
        else:
            found = [b"/run/confexts", b"/var/lib/confexts", b"/usr/local/lib/confexts"]
            if not initrd:
                found.append(b"/usr/lib/confexts")
        if initrd:
            found += [b"/.extra/" + self.name.encode(), b"/.extra/global_" + self.name.encode()]
        return tuple(found)


SYSEXT: Final = Kind(
    "sysext", "extensions", (b"/usr", b"/opt"), b"/usr/lib/extension-release.d", "SYSEXT_LEVEL", "SYSEXT_SCOPE", "SysExt"
)
CONFEXT: Final = Kind(
    "confext", "confexts", (b"/etc",), b"/etc/extension-release.d", "CONFEXT_LEVEL", "CONFEXT_SCOPE", "ConfExt"
)
KINDS: Final = {"sysext": SYSEXT, "confext": CONFEXT}
