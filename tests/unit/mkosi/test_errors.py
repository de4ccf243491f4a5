"""Errors name file and line, and what was probably meant; warnings do too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imgcore.errors import ConfigError, LimitExceeded
from imgcore.mkosi import SETTINGS, Host, load
from tests.kit.mkosi import write_files


def _load(directory: Path, text: str, **more: str) -> object:
    write_files(directory, {"mkosi.conf": text, **more})
    return load(Host(directory.resolve()))


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("[Content]\n\nPakcages=a\n", 3, "unknown setting Pakcages=", "did you mean Packages=?"),
        ("[Content]\nxyzzy=a\n", 2, "unknown setting xyzzy=", None),
        ("[Contents]\nPackages=a\n", 2, "unknown section [Contents]", "did you mean [Content]?"),
        ("[Match]\nDistributoin=a\n", 2, "Distributoin= is no condition of [Match]", "did you mean Distribution=?"),
        ("[Output]\nFormat=sysexts\n", 2, "`sysexts` is no format", None),
        ("[Output]\nSeed=random\n", 2, "a random UUID would make every build another image", None),
        ("[Content]\nSkeletonTrees=\n  none\n", 2, "`none` does not exist", None),
        ("[Include]\nInclude=mkosi-vm\n", 2, "Include=mkosi-vm stands for a configuration that comes with mkosi", None),
        ("[Match]\nSystemdVersion=257\n", 2, "SystemdVersion= asks for the version of systemd", None),
        ("[Output]\nOverlay=yes\n", 2, "Overlay= needs BaseTrees=", None),
    ],
)
def test_places(tmp_path: Path, text: str, line: int, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as found:
        _load(tmp_path, text)
    assert found.value.line == line
    assert found.value.path == str(tmp_path / "mkosi.conf")
    if hint is not None:
        assert found.value.hint == hint


def test_dependencies_that_are_not_there(tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.images/tools.conf": "[Config]\nDependencies=bsae\n", "mkosi.images/base.conf": ""})
    with pytest.raises(ConfigError, match="image `tools` depends on `bsae`") as found:
        load(Host(tmp_path.resolve()))
    assert found.value.hint == "did you mean `base`?"
    assert (found.value.path, found.value.line) == (str(tmp_path / "mkosi.images/tools.conf"), 2)


def test_a_directory_inside_of_itself(tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.conf": "", "mkosi.conf.d": None})
    (tmp_path / "mkosi.conf.d/again").symlink_to(tmp_path)
    with pytest.raises(LimitExceeded):
        load(Host(tmp_path.resolve()))


def test_programs_are_not_run(tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.version": "#!/bin/sh\necho 1.2\n"})
    with pytest.raises(ConfigError, match="a program whose output"):
        load(Host(tmp_path.resolve()))
    found = load(Host(tmp_path.resolve(), run=lambda path: f"{path.name}\n"))
    assert found.images[-1].text("ImageVersion") == "mkosi.version"


def test_a_secret_that_all_may_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.rootpw": "x"})
    (tmp_path / "mkosi.rootpw").chmod(0o644)
    with pytest.raises(ConfigError, match="holds a secret"):
        load(Host(tmp_path.resolve()))


def test_warnings(tmp_path: Path) -> None:
    text = "[Output]\n@Output=a%Zb%v\n[Content]\nBuildScript=mkosi.conf\nFormat=tar\n[Config]\nProfiles=none\n"
    write_files(tmp_path, {"mkosi.conf": text})
    found = load(Host(tmp_path.resolve())).warnings
    for number, part in (
        (2, "the `@`"),
        (2, "%Z in"),
        (2, "ImageVersion="),
        (4, "BuildScripts="),
        (5, "[Output], not to [Content]"),
    ):
        assert any(f"mkosi.conf:{number}:" in one and part in one for one in found), (number, part)
    assert any("no profile `none`" in one for one in found)


def test_places_of_settings(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "mkosi.conf": "[Output]\nImageVersion=1\nFormat=none\n",
            "mkosi.conf.d/x.conf": "[Output]\nOutput=x\n",
            "mkosi.images/a/mkosi.conf": "",
            "mkosi.images/a/mkosi.finalize": "#!/bin/sh\n",
        },
    )
    image, main = load(Host(tmp_path.resolve()), [("Seed", "750b6cd5-c4ae-4012-a15e-7be3c29e6a47")]).images
    here = tmp_path.resolve()
    places = {name: (place.file, place.line) for name, place in main.places.items()}
    assert places["ImageVersion"] == (here / "mkosi.conf", 2)
    assert places["Output"] == (here / "mkosi.conf.d/x.conf", 2)
    assert places["Seed"] == (None, 0)
    inherited = image.where("ImageVersion")
    assert inherited is not None
    assert inherited.line == 2
    scripts = image.where("FinalizeScripts")
    assert scripts is not None
    assert scripts.file == tmp_path.resolve() / "mkosi.images/a/mkosi.finalize"


def test_the_table() -> None:
    assert len(SETTINGS) > 160
    assert len({one.name for one in SETTINGS}) == len(SETTINGS)
    assert len({one.flag for one in SETTINGS}) == len(SETTINGS)
    assert all(one.support == "supported" or one.why for one in SETTINGS)
    must = (
        "Distribution Release Architecture Dependencies Environment Format OutputDirectory Output ImageVersion ImageId "
        "Overlay Seed Verity VerityKey VerityCertificate Checksum Packages PackageDirectories BaseTrees ExtraTrees "
        "SkeletonTrees RemoveFiles CleanPackageMetadata SourceDateEpoch FinalizeScripts SELinuxRelabel "
        "CompressOutput CompressLevel SplitArtifacts SectorSize"
    )
    supported = {one.name for one in SETTINGS if one.support == "supported"}
    assert set(must.split()) <= supported
