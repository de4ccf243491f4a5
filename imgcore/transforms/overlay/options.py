"""The options of an overlay mount that decide what the merged tree looks like, and which of them Linux refuses together.

Several defaults are those of the kernel's configuration. `OverlayOptions` says what was stated (None: nothing was) and
what the configuration is; `settle` returns what the mount then does (`ovl_parse_param`, `ovl_fs_params_verify`).
"""

from __future__ import annotations

import errno
from typing import ClassVar, Final, Literal, NamedTuple, TypeAlias

from imgcore.errors import OverlayError
from imgcore.transforms.overlay.arguments import require_one_of
from imgcore.values import value_class

__all__ = ["Effective", "OverlayOptions", "RedirectDir", "settle"]

RedirectDir: TypeAlias = Literal["on", "follow", "nofollow", "off"]

_CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "redirect_dir": (None, "on", "follow", "nofollow", "off"),
    "metacopy": (None, True, False),
    "userxattr": (True, False),
    "index": (None, True, False),
    "xino": (None, "on", "off", "auto"),
    "nfs_export": (True, False),
    "volatile": (True, False),
    "verity": (None, "off", "on", "require"),
    "always_follow": (True, False),
}


@value_class
class OverlayOptions:
    """Options of an overlay mount, as they were stated; None is for what was not. Raises ValueError for other values.

    Attributes:
        redirect_dir: whether renamed directories are followed, and made; `off` follows where `always_follow` is set.
        metacopy: whether a file may have its metadata in one layer and its content in a lower one.
        userxattr: layers are described by `user.overlay.*`, not `trusted.overlay.*`; without redirects.
        index: hard links stay together when they are changed.
        xino: inode numbers say the layer; `on` makes new directories opaque too.
        nfs_export: needs `index`.
        volatile: nothing is forced to disk; a second mount of the same upper directory is refused.
        verity: what is asked of the digests of contents that lie in data layers.
        always_follow: the kernel's OVERLAY_FS_REDIRECT_ALWAYS_FOLLOW.
    """

    redirect_dir: RedirectDir | None = None
    metacopy: bool | None = None
    userxattr: bool = False
    index: bool | None = None
    xino: Literal["on", "off", "auto"] | None = None
    nfs_export: bool = False
    volatile: bool = False
    verity: Literal["off", "on", "require"] | None = None
    always_follow: bool = True

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            require_one_of(name, getattr(self, name), choices)

    KERNEL: ClassVar[OverlayOptions]
    """Nothing stated, on a kernel configured as Debian's."""
    USERXATTR: ClassVar[OverlayOptions]
    """What rootless mounts use."""
    SYSTEMD: ClassVar[OverlayOptions]
    """What systemd-sysext and systemd-confext state for a merge that is not mutable: nothing."""
    SYSTEMD_MUTABLE: ClassVar[OverlayOptions]
    """What they state for one that is."""


OverlayOptions.KERNEL = OverlayOptions()
OverlayOptions.USERXATTR = OverlayOptions(userxattr=True)
OverlayOptions.SYSTEMD = OverlayOptions()
OverlayOptions.SYSTEMD_MUTABLE = OverlayOptions(redirect_dir="on", metacopy=False, index=False)


class Effective(NamedTuple):
    """What a mount does.

    Redirects are followed (`follow`) and made (`redirect`); metacopy is read; links stay `linked`; new directories are made
    opaque (`opaque_new`). `prefix` is what the names of its own attributes begin with.
    """

    follow: bool
    redirect: bool
    metacopy: bool
    linked: bool
    opaque_new: bool
    prefix: bytes


def settle(options: OverlayOptions, *, has_upper: bool) -> Effective:
    """Return what a mount with these options does. Raises OverlayError (EINVAL) where Linux refuses them together."""
    stated = options.redirect_dir
    follow = stated in ("on", "follow") or (stated in (None, "off") and options.always_follow)
    redirect = stated == "on"
    metacopy = bool(options.metacopy)
    if options.userxattr:
        if stated not in (None, "nofollow") or options.metacopy:
            _refuse("userxattr goes with neither redirect_dir nor metacopy", "redirect_dir=nofollow is what it implies")
        follow = redirect = metacopy = False
    if metacopy and stated not in (None, "on"):
        if has_upper:
            _refuse(f"metacopy=on needs redirect_dir=on, not {stated}", "leave redirect_dir out: metacopy=on implies it")
        if stated == "nofollow":
            _refuse("metacopy=on needs redirects that are followed, not nofollow", "leave redirect_dir out")
    if metacopy:
        follow = redirect = True
    if options.verity in ("on", "require") and options.metacopy is False:
        _refuse("verity needs metacopy, which is off", "leave metacopy out: verity implies it")
    if options.verity in ("on", "require"):
        if options.userxattr:
            _refuse("verity does not go with userxattr", "leave one of them out")
        metacopy = follow = redirect = True
    index = bool(options.index) or (options.nfs_export and has_upper)
    if options.nfs_export and options.index is False and has_upper:
        _refuse("nfs_export=on needs index=on", "leave index out: nfs_export implies it")
    if options.nfs_export and metacopy and has_upper:
        _refuse("nfs_export=on does not go with metacopy=on", "leave one of them out")
    opaque_new = redirect or metacopy or options.xino == "on" or index
    return Effective(
        follow, redirect, metacopy, index, opaque_new, b"user.overlay." if options.userxattr else b"trusted.overlay."
    )


def _refuse(message: str, hint: str) -> None:
    raise OverlayError(message, errno.EINVAL, hint=hint)
