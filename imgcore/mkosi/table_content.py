"""The settings of [Content]."""

from __future__ import annotations

from typing import Any, Final

from imgcore.mkosi import defaults
from imgcore.mkosi.matching import has_feature
from imgcore.mkosi.paths import path_item, tree_item, uki_profile
from imgcore.mkosi.setting import Setting, accepted, refused, supported
from imgcore.mkosi.values import boolean, choice, feature, filename, listed, natural, password, single, text, unique_id

__all__ = ["CONTENT"]

_CONTENT: Final = "Content"
_FILES: Final = listed(",", path_item())
_NAMES: Final = listed(",")

_BOOT: Final = "only images that boot have it, and Bootable= is refused"
_INITRD: Final = "only an initrd that is built has it, and none is"
_FIRSTBOOT: Final = "systemd-firstboot writes it, and no program is run"
_PACKAGES: Final = "packages are installed without recommendations and with their documentation"
_BOOTLOADERS: Final = ("none", "uki", "systemd-boot", "grub", "uki-signed", "systemd-boot-signed", "grub-signed")

_WHAT: Final[tuple[Setting, ...]] = (
    supported("Packages", _CONTENT, _NAMES, option="--package"),
    accepted("only build scripts use them, and these are refused", "BuildPackages", _CONTENT, _NAMES, option="--build-package"),
    supported("VolatilePackages", _CONTENT, _NAMES, option="--volatile-package"),
    supported(
        *("PackageDirectories", _CONTENT, _FILES, "universal"),
        paths=("mkosi.packages",),
        option="--package-directory",
    ),
    supported("VolatilePackageDirectories", _CONTENT, _FILES, "universal", option="--volatile-package-directory"),
    refused(_PACKAGES, "WithRecommends", _CONTENT, boolean, when="packages"),
    refused(_PACKAGES, "WithDocs", _CONTENT, boolean, default=True, when="packages"),
    supported("BaseTrees", _CONTENT, listed(",", path_item(required=False)), option="--base-tree"),
    supported(
        *("SkeletonTrees", _CONTENT, listed(",", tree_item(required=True))),
        paths=("mkosi.skeleton", "mkosi.skeleton.tar"),
        option="--skeleton-tree",
    ),
    supported(
        *("ExtraTrees", _CONTENT, listed(",", tree_item())),
        paths=("mkosi.extra", "mkosi.extra.tar"),
        option="--extra-tree",
    ),
    refused("packages are not removed again", "RemovePackages", _CONTENT, _NAMES, option="--remove-package"),
    supported("RemoveFiles", _CONTENT, _NAMES),
    supported("CleanPackageMetadata", _CONTENT, feature),
    supported("SourceDateEpoch", _CONTENT, natural, "universal", factory=defaults.source_date_epoch, needs=("Environment",)),
)


def _scripts(
    name: str, file: str, *, chroot: bool = True, many: bool = True, why: str = "", aliases: tuple[str, ...] = ()
) -> Setting:
    """Return the setting of scripts that `mkosi.FILE` names too."""
    more: dict[str, Any] = {
        "paths": (f"mkosi.{file}", f"mkosi.{file}.chroot") if chroot else (f"mkosi.{file}",),
        "globs": (f"mkosi.{file}.d/*",) if many else (),
        "aliases": aliases,
        "option": f"--{file}-script",
    }
    if why:
        return refused(why, name, _CONTENT, _FILES, **more)
    return supported(name, _CONTENT, _FILES, **more)


_SCRIPTS: Final[tuple[Setting, ...]] = (
    _scripts("SyncScripts", "sync", chroot=False, why="sources are not fetched"),
    _scripts("PrepareScripts", "prepare", why="it installs software by the network", aliases=("PrepareScript",)),
    _scripts("BuildScripts", "build", why="no software is built", aliases=("BuildScript",)),
    _scripts("PostInstallationScripts", "postinst", aliases=("PostInstallationScript",)),
    _scripts("FinalizeScripts", "finalize", aliases=("FinalizeScript",)),
    _scripts("PostOutputScripts", "postoutput", chroot=False),
)

_BOOTING: Final[tuple[Setting, ...]] = (
    refused("images that boot are not built", "Bootable", _CONTENT, feature, match=has_feature, default="auto"),
    accepted(_BOOT, "Bootloader", _CONTENT, single(choice(_BOOTLOADERS, "boot loader")), default="systemd-boot"),
    accepted(_BOOT, "BiosBootloader", _CONTENT, single(choice(("none", "grub"), "boot loader")), default="none"),
    accepted(_BOOT, "ShimBootloader", _CONTENT, single(choice(("none", "signed", "unsigned"), "shim")), default="none"),
    accepted(_BOOT, "UnifiedKernelImages", _CONTENT, feature),
    accepted(_BOOT, "UnifiedKernelImageFormat", _CONTENT, filename),
    accepted(
        *(_BOOT, "UnifiedKernelImageProfiles", _CONTENT, listed(",", uki_profile)),
        globs=("mkosi.uki-profiles/*.conf",),
        option="--uki-profile",
    ),
    accepted(_INITRD, "Initrds", _CONTENT, listed(",", path_item(required=False)), option="--initrd"),
    accepted(_INITRD, "MicrocodeHost", _CONTENT, boolean),
    accepted(_INITRD, "InitrdPackages", _CONTENT, _NAMES, option="--initrd-package"),
    accepted(_INITRD, "InitrdVolatilePackages", _CONTENT, _NAMES, option="--initrd-volatile-package"),
    accepted(_BOOT, "Devicetree", _CONTENT),
    accepted(_BOOT, "KernelCommandLine", _CONTENT, listed(" ")),
    refused("kernel modules are left as they are", "KernelModulesInclude", _CONTENT, _NAMES),
    refused("kernel modules are left as they are", "KernelModulesIncludeHost", _CONTENT, boolean),
    refused("kernel modules are left as they are", "KernelModulesExclude", _CONTENT, _NAMES),
    accepted(_INITRD, "KernelModulesInitrd", _CONTENT, boolean, default=True),
    accepted(_INITRD, "KernelModulesInitrdInclude", _CONTENT, _NAMES),
    accepted(_INITRD, "KernelModulesInitrdIncludeHost", _CONTENT, boolean),
    accepted(_INITRD, "KernelModulesInitrdExclude", _CONTENT, _NAMES),
)

_FIRST_BOOT: Final[tuple[Setting, ...]] = (
    *(
        refused(_FIRSTBOOT, name, _CONTENT, text, when="whole")
        for name in ("Locale", "LocaleMessages", "Keymap", "Timezone", "Hostname")
    ),
    refused(
        *(_FIRSTBOOT, "RootPassword", _CONTENT, password),
        when="whole",
        paths=("mkosi.rootpw",),
        reads=True,
        secret=True,
    ),
    refused(_FIRSTBOOT, "RootShell", _CONTENT, when="whole"),
    refused(
        "it is written where a distribution is installed, which is not done here",
        *("MachineId", _CONTENT, unique_id),
        when="whole",
        paths=("mkosi.machine-id",),
        reads=True,
    ),
    refused("units for it are not written", "Autologin", _CONTENT, boolean),
    refused("initrds are not built", "MakeInitrd", _CONTENT, boolean),
    refused("units for it are not written", "Ssh", _CONTENT, boolean),
    supported("SELinuxRelabel", _CONTENT, feature),
)

CONTENT: Final[tuple[Setting, ...]] = (*_WHAT, *_SCRIPTS, *_BOOTING, *_FIRST_BOOT)
