"""What an image asks for that is not built here: each by its name, with the place where it was set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from imgcore.errors import Unsupported
from imgcore.mkosi.host import Place, Value
from imgcore.mkosi.images import Image
from imgcore.mkosi.names import VERSION
from imgcore.mkosi.setting import Setting
from imgcore.mkosi.table import SETTINGS
from imgcore.mkosi.values import parsed
from imgcore.mkosi.versions import compare
from imgcore.values import value_class

__all__ = ["BUILT_FORMATS", "SCRIPTS", "Refusal", "refusals", "require_buildable"]

BUILT_FORMATS: Final = ("confext", "cpio", "directory", "none", "portable", "sysext", "tar")
"""The formats that images are built in."""

SCRIPTS: Final = ("PostInstallationScripts", "FinalizeScripts", "PostOutputScripts")
"""The settings of scripts that are run."""

_STREAMS: Final = ("none", "zstd", "xz", "bz2", "gz")
_FILE_SYSTEM: Final = ("SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT", "SYSTEMD_REPART_OVERRIDE_FSTYPE")
_MKFS: Final = "SYSTEMD_REPART_MKFS_OPTIONS_"


@value_class(eq=False)
class Refusal:
    """One thing that is refused: the setting, why, and where it was set."""

    setting: str
    why: str
    place: Place | None
    hint: str | None = None

    def error(self, more: int = 0) -> Unsupported:
        """Return the error to raise; `more` is how many others there are."""
        at = self.place
        path = None if at is None or at.file is None else str(at.file)
        others = f"; {more} more of this image {'is' if more == 1 else 'are'} refused" if more else ""
        line = at.line or None if at is not None else None
        return Unsupported(f"{self.setting}= is not supported: {self.why}{others}", path=path, line=line, hint=self.hint)


def require_buildable(image: Image, *, scripts: bool) -> None:
    """Raise Unsupported for the first thing that `image` asks for and that is not built here."""
    found = list(refusals(image, scripts=scripts))
    if found:
        raise found[0].error(len(found) - 1)


def refusals(image: Image, *, scripts: bool) -> Iterator[Refusal]:
    """Yield all that is refused of an image; `scripts` says whether its scripts may be run. Format=none asks for nothing."""
    form = image.text("Format")
    minimum = image.text("MinimumVersion")
    if minimum and compare(VERSION, minimum) < 0:
        yield _refusal(image, "MinimumVersion", f"this is the language of mkosi {VERSION}, and {minimum} is asked for")
    if form == "none":
        if image.values["BuildScripts"]:
            yield _refusal(image, "BuildScripts", "no software is built")
        return
    if form not in BUILT_FORMATS:
        hint = f"built are {', '.join(BUILT_FORMATS)}"
        yield _refusal(image, "Format", f"images of format {form} are not built", hint=hint)
    for setting in SETTINGS:
        value = image.values[setting.name]
        if setting.support == "refused" and value not in (None, [], {}, _untold(setting)) and _applies(setting, image):
            if setting.name == "Bootable" and value == "disabled":
                continue
            yield _refusal(image, setting.name, setting.why)
    yield from _of_scripts(image, scripts)
    yield from _of_disks(image, form)
    for name in ("ImageId", "ImageVersion"):
        if "/" in image.text(name) or image.text(name) in (".", ".."):
            yield _refusal(image, name, "outputs are called after it, and no file can be called so")
    packed = image.text("CompressOutput")
    if packed not in _STREAMS or (form == "cpio" and packed == "bz2"):
        yield _refusal(image, "CompressOutput", f"nothing is compressed with {packed}", hint="zstd, xz, gz or none")


def _refusal(image: Image, setting: str, why: str, *, hint: str | None = None) -> Refusal:
    return Refusal(setting, why, image.where(setting), hint)


def _untold(setting: Setting) -> Value:
    """Return what a setting is where nobody sets it."""
    return setting.default if setting.default is not None else parsed(setting.parse, None, None, _NOWHERE)


_NOWHERE: Final[Place] = Place(None, None)  # type: ignore[arg-type]  # no parser looks at it when it is given no text


def _applies(setting: Setting, image: Image) -> bool:
    form = image.text("Format")
    if setting.when == "packages":
        return bool(image.values["Packages"] or image.values["VolatilePackages"])
    if setting.when == "whole":
        return form in ("directory", "tar", "cpio") and not image.flag("Overlay")
    return True


def _of_scripts(image: Image, allowed: bool) -> Iterator[Refusal]:
    for setting in SCRIPTS:
        words = image.words(setting)
        if words and not allowed:
            hint = f"--allow-scripts runs {', '.join(words)}, in namespaces of its own"
            yield _refusal(image, setting, "programs of a configuration are not run unless that is allowed", hint=hint)
        if any(word.endswith(".chroot") for word in words):
            yield _refusal(image, setting, "a script that ends in .chroot runs the image's own programs")


def _of_disks(image: Image, form: str) -> Iterator[Refusal]:
    if form not in ("sysext", "confext", "portable"):
        return
    environment = image.mapping("Environment")
    for name in _FILE_SYSTEM:
        if environment.get(name, "squashfs") != "squashfs":
            yield _refusal(image, "Environment", f"{name}={environment[name]}: the file system of an image is squashfs")
    for name in environment:
        if name.startswith(_MKFS):
            yield _refusal(image, "Environment", f"{name}=: no mkfs is run")
    wanted = image.text("Verity")
    key, certificate = image.values["VerityKey"], image.values["VerityCertificate"]
    if wanted == "enabled" and not (key and certificate):
        yield _refusal(image, "Verity", "a signature needs VerityKey= and VerityCertificate=")
    if wanted == "enabled" or (wanted == "auto" and key and certificate):
        for setting in ("VerityKeySource", "VerityCertificateSource"):
            value = image.values[setting]
            if isinstance(value, dict) and value["Type"] != "file":
                yield _refusal(image, setting, "keys and certificates come from files")
