"""What a version of systemd does and others do not, as a value.

`SystemdVersion(257).follows_links` and the like: decisions ask for a behaviour, never for a number. The three versions in
`KNOWN` are the ones that our decisions are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["KNOWN", "NEWEST", "SystemdVersion"]

KNOWN: Final = (252, 257, 262)


@dataclass(frozen=True, slots=True, order=True)
class SystemdVersion:
    """A version of systemd; raises ValueError for one whose behaviour is not known here."""

    number: int

    def __post_init__(self) -> None:
        if self.number not in KNOWN:
            raise ValueError(f"systemd {self.number} is not known; known: {', '.join(map(str, KNOWN))}")

    @property
    def confext(self) -> bool:
        """There is systemd-confext, and `--image-policy`."""
        return self.number >= 254

    @property
    def searches_usr(self) -> bool:
        """Extensions in /usr/local/lib/extensions and /usr/lib/extensions are found."""
        return self.number < 254

    @property
    def comments_continue(self) -> bool:
        """A comment line that ends in a backslash goes on in the next one."""
        return self.number < 254

    @property
    def os_release_at_match(self) -> bool:
        """An os-release in /usr/lib blocks all where the extension is matched, and so not with `--force`."""
        return self.number < 254

    @property
    def class_suffixes(self) -> bool:
        """`b.sysext` and `b.sysext.raw` are called `b`."""
        return self.number >= 255

    @property
    def versioned_directories(self) -> bool:
        """`NAME.v/` stands for the best of what is in it."""
        return self.number >= 256

    @property
    def basename_match(self) -> bool:
        """`b_1.0` and `b+3` may have a release file called `extension-release.b`."""
        return self.number >= 256

    @property
    def image_suffixes(self) -> tuple[bytes, ...]:
        """What a raw image's file name loses, again and again, before the release file is called after the rest.

        Empty where the release file is called after the extension.
        """
        if self.number >= 258:
            return ()
        classes = (b".sysext.raw", b".confext.raw") if self.class_suffixes else ()
        return (*classes, b".xz", b".gz", b".bz2", b".raw", b".qcow2", b".img", b".bin")

    @property
    def late_failures_are_silent(self) -> bool:
        """`merge` ends with 0 where its child fails, which does all the work but finding and opening the images."""
        return self.number < 254

    @property
    def file_system_policies(self) -> bool:
        """A flag in an image policy may be the name of a file system."""
        return self.number >= 258

    @property
    def names_files(self) -> bool:
        """`merge` says the names of the files that it uses, and not those of the extensions."""
        return self.number >= 254

    @property
    def mutable(self) -> bool:
        """There is `--mutable`."""
        return self.number >= 256

    @property
    def keeps_mode(self) -> bool:
        """The root of a merged hierarchy has the mode that it has on the host."""
        return self.number >= 256

    @property
    def id_like(self) -> bool:
        """The ID of an extension may be in the host's ID_LIKE."""
        return self.number >= 257

    @property
    def keeps_submounts(self) -> bool:
        """What is mounted below a hierarchy stays there, and hides what extensions have below it."""
        return self.number >= 257

    @property
    def follows_links(self) -> bool:
        """With `--root`, a symbolic link in a search directory is followed; before, only without."""
        return self.number >= 258

    @property
    def versions_by_type(self) -> bool:
        """In `.v/`, what is no directory, or no image, is passed over; before, it was chosen by its name all the same."""
        return self.number >= 258

    @property
    def makes_linked_directories(self) -> bool:
        """A mutable directory that is missing is made where a dangling link leads; before, the link was in the way."""
        return self.number >= 258

    @property
    def mutable_alone(self) -> bool:
        """A mutable hierarchy is merged without any extension too."""
        return self.number >= 258

    @property
    def skips_sysupdate(self) -> bool:
        """Entries called `.sysupdate.*` are left out."""
        return self.number >= 258

    @property
    def configuration(self) -> bool:
        """There are sysext.conf and confext.conf."""
        return self.number >= 259

    @property
    def initrd_of_root(self) -> bool:
        """Whether the scope is `initrd` hangs on the root's /etc/initrd-release, not on where we run."""
        return self.number >= 259

    @property
    def mstack(self) -> bool:
        """Directories called `*.mstack` are layer stacks, which an extension cannot be."""
        return self.number >= 260

    @property
    def refresh_skips(self) -> bool:
        """`refresh` leaves a merge alone that would be the same."""
        return self.number >= 260

    @property
    def versions_with_tilde(self) -> bool:
        """A version in `.v/` may have `~` and `^` in it, and no more `,`, `_` and `+`."""
        return self.number >= 262

    @property
    def empty_status_array(self) -> bool:
        """In JSON, a hierarchy without extensions has an empty array, not the word `none`."""
        return self.number >= 262


NEWEST: Final = SystemdVersion(KNOWN[-1])
