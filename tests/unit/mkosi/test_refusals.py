"""What is refused of an image: by name, with file and line; and what is not, since it has no effect or no matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.errors import Unsupported
from imgcore.mkosi import SETTINGS, Host, Image, load
from imgcore.mkosi.refusals import refusals, require_buildable
from tests.kit.mkosi import write_files


def _image(directory: Path, text: str, **files: str) -> Image:
    write_files(
        directory,
        {"mkosi.conf": text, "f": "x", "tree/a": "a", **{name.replace("__", "."): one for name, one in files.items()}},
    )
    return load(Host(directory.resolve())).images[-1]


CASES = {
    "Format": ("[Output]\nFormat=disk\n", 2),
    "MinimumVersion": ("[Config]\nMinimumVersion=26\n[Output]\nFormat=tar\n", 2),
    "ConfigureScripts": ("[Config]\nConfigureScripts=f\n", 2),
    "ManifestFormat": ("[Output]\nManifestFormat=json\n", 2),
    "ImageId": ("[Output]\nFormat=tar\nImageId=a/b\n", 3),
    "ImageVersion": ("[Output]\nFormat=sysext\nImageId=a\nImageVersion=1/2\n", 4),
    "CompressOutput": ("[Output]\nFormat=tar\nCompressOutput=lz4\n", 3),
    "RemovePackages": ("[Content]\nRemovePackages=a\n", 2),
    "SyncScripts": ("[Content]\nSyncScripts=f\n", 2),
    "PrepareScripts": ("[Content]\nPrepareScripts=f\n", 2),
    "BuildScripts": ("[Content]\nBuildScripts=f\n", 2),
    "FinalizeScripts": ("[Content]\nFinalizeScripts=f\n", 2),
    "Bootable": ("[Content]\nBootable=yes\n", 2),
    "KernelModulesExclude": ("[Content]\nKernelModulesExclude=.*\n", 2),
    "Autologin": ("[Content]\nAutologin=yes\n", 2),
    "Ssh": ("[Content]\nSsh=yes\n", 2),
    "Hostname": ("[Output]\nFormat=tar\n[Content]\nHostname=x\n", 4),
    "Mirror": ("[Distribution]\nMirror=https://x\n[Content]\nPackages=a\n", 2),
    "WithDocs": ("[Content]\nPackages=a\nWithDocs=no\n", 3),
    "WithRecommends": ("[Content]\nVolatilePackages=a\nWithRecommends=yes\n", 3),
    "SandboxTrees": ("[Content]\nPackages=a\n[Build]\nSandboxTrees=tree\n", 4),
    "ToolsTree": ("[Build]\nToolsTree=default\n", 2),
    "Sign": ("[Validation]\nSign=yes\n", 2),
    "Verity": ("[Validation]\nVerity=yes\n", 2),
    "VerityKeySource": ("[Validation]\nVerity=yes\nVerityKey=a\nVerityCertificate=b\nVerityKeySource=provider:x\n", 5),
    "Environment": ("[Build]\nEnvironment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=erofs\n", 2),
}


@pytest.mark.parametrize("setting", CASES)
def test_refused(tmp_path: Path, setting: str) -> None:
    text, line = CASES[setting]
    if "\nFormat=" not in text:
        text += "[Output]\nFormat=sysext\n"
    image = _image(tmp_path, text)
    with pytest.raises(Unsupported, match=f"^{setting}= is not supported: ") as found:
        require_buildable(image, scripts=False)
    assert found.value.path == str(tmp_path.resolve() / "mkosi.conf")
    assert found.value.line == line


def test_every_refused_setting_has_a_case() -> None:
    alike = {"LocalMirror", "Repositories", "KernelModulesInclude", "KernelModulesIncludeHost", "MakeInitrd", "MachineId"}
    alike |= {"Locale", "LocaleMessages", "Keymap", "Timezone", "RootPassword", "RootShell"}
    assert {one.name for one in SETTINGS if one.support == "refused"} == (CASES.keys() | alike) & {
        one.name for one in SETTINGS if one.support == "refused"
    }


def test_all_refusals_are_found_and_counted(tmp_path: Path) -> None:
    image = _image(tmp_path, "[Output]\nFormat=sysext\n[Content]\nAutologin=yes\nSsh=yes\nBuildScripts=f\n")
    assert [one.setting for one in refusals(image, scripts=False)] == ["BuildScripts", "Autologin", "Ssh"]
    with pytest.raises(Unsupported, match="2 more of this image are refused"):
        require_buildable(image, scripts=False)


@pytest.mark.parametrize(
    "text",
    [
        "[Output]\nFormat=none\n[Content]\nPackages=a\nAutologin=yes\n",
        "[Output]\nFormat=sysext\n[Content]\nHostname=x\nBootable=no\nWithDocs=no\n[Distribution]\nMirror=x\n",
        "[Output]\nFormat=tar\n[Content]\nKernelCommandLine=a\nInitrds=x\nBootloader=grub\n[Runtime]\nRAM=1G\n",
        "[Output]\nFormat=tar\n[Content]\nFinalizeScripts=f\nFinalizeScripts=\n",
        "[Output]\nFormat=cpio\nRepartDirectories=tree\n[Build]\nIncremental=no\nCacheDirectory=c\n",
        "[Output]\nFormat=sysext\n[Build]\nEnvironment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs\n",
    ],
)
def test_not_refused(tmp_path: Path, text: str) -> None:
    assert list(refusals(_image(tmp_path, text), scripts=False)) == []


def test_scripts_of_the_image_are_refused_even_where_scripts_are_allowed(tmp_path: Path) -> None:
    image = _image(tmp_path, "[Output]\nFormat=tar\n", mkosi__finalize__chroot="#!/bin/sh\n")
    (only,) = refusals(image, scripts=True)
    assert only.setting == "FinalizeScripts"
    assert only.place is not None
    assert only.place.file == tmp_path.resolve() / "mkosi.finalize.chroot"
