"""`imgcore mkosi`: its options, what it prints, how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.kit.mkosi import write_files

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CONF = "[Distribution]\nDistribution=opensuse\n[Output]\nFormat=tar\nCompressOutput=none\nOutputDirectory=out\nOutput=x\n"


def test_summary(imgcore_cli: Cli, tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.conf": CONF, "mkosi.extra": None, "mkosi.images/a.conf": "[Content]\nExtraTrees=/x:/y\n"})
    done = imgcore_cli("mkosi", "-C", tmp_path, "--json", "summary")
    assert done.code == 0
    images = json.loads(done.out)["Images"]
    assert [one["Image"] for one in images] == ["a", None]
    assert images[1]["ExtraTrees"] == [{"Source": str(tmp_path.resolve() / "mkosi.extra"), "Target": None}]
    done = imgcore_cli("mkosi", "-C", tmp_path, "summary")
    assert "image (main): x.tar\n" in done.out
    assert "    ExtraTrees=/x:/y\n" in done.out


def test_options_are_those_of_mkosi(imgcore_cli: Cli, tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.conf": CONF, "mkosi.profiles/p.conf": "[Content]\nPackages=p\n"})
    options = [
        "--image-id=i",
        "-t",
        "sysext",
        "-o",
        "%i-o",
        "-p",
        "a,b",
        "--profile",
        "p",
        "--set",
        "Bootable=no",
        "-O",
        "other",
    ]
    done = imgcore_cli("mkosi", "--json", "-C", tmp_path, *options, "--seed", "750b6cd5c4ae4012a15e7be3c29e6a47", "summary")
    assert done.code == 0, done.err
    (image,) = json.loads(done.out)["Images"]
    assert (image["ImageId"], image["Format"], image["Packages"], image["Bootable"]) == (
        "i",
        "sysext",
        ["p", "a", "b"],
        "disabled",
    )
    assert image["Seed"] == "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"
    assert image["OutputDirectory"].endswith("/other")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--set", "Pakcages=a"], 2, "did you mean Packages?"),
        (["--seed", "x"], 2, "is no UUID"),
        (["--format", "disk"], 3, "images of format disk are not built"),
        (["--format", "nothing"], 2, "`nothing` is no format"),
        (["-p", "bash"], 3, "asks for packages, and there is no place to take them from"),
        (["--finalize-script", "f"], 3, "--allow-scripts runs"),
        (["--allow-scripts", "--finalize-script", "f"], 6, "the script ended with status 9"),
        (["--option", "level=x"], 2, "level"),
        (["-C", "/nonexistent"], 2, "is not a directory"),
    ],
)
def test_ends(
    imgcore_cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, message: str
) -> None:
    write_files(tmp_path, {"mkosi.conf": CONF, "f": "#!/bin/sh\nexit 9\n"})
    monkeypatch.chdir(tmp_path)
    done = imgcore_cli("mkosi", *options)
    assert done.code == code
    assert message in done.err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_errors_have_a_place(imgcore_cli: Cli, tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.conf": "[Output]\nFromat=tar\n"})
    done = imgcore_cli("mkosi", "-C", tmp_path, "--json")
    assert done.code == 2
    error = json.loads(done.err)
    assert (error["line"], error["path"], error["hint"]) == (2, str(tmp_path / "mkosi.conf"), "did you mean Format=?")


def test_build(imgcore_cli: Cli, tmp_path: Path) -> None:
    write_files(tmp_path, {"mkosi.conf": CONF, "mkosi.extra/a": "a", "mkosi.version": "#!/bin/sh\necho 7\n"})
    assert imgcore_cli("mkosi", "-C", tmp_path).code == 2  # mkosi.version is a program
    done = imgcore_cli("mkosi", "-C", tmp_path, "--allow-scripts", "--json")
    assert done.code == 0, done.err
    (summary,) = done.objects()
    assert summary["images"] == [
        {"image": None, "format": "tar", "files": [str(tmp_path / "out/x"), str(tmp_path / "out/x.tar")]}
    ]
    assert imgcore_cli("mkosi", "-C", tmp_path, "--allow-scripts").code == 2
    assert imgcore_cli("mkosi", "-C", tmp_path, "--allow-scripts", "-f", "-q").code == 0
    assert imgcore_cli("ls", tmp_path / "out/x.tar").out.split() == ["a"]


def test_the_example_builds(imgcore_cli: Cli, tmp_path: Path) -> None:
    seed = "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"
    made = []
    for name in ("one", "two"):
        done = imgcore_cli("mkosi", "-C", EXAMPLES / "kubectl-sysext", "--seed", seed, "-O", tmp_path / name, "--no-sync")
        assert done.code == 0, done.err
        (image,) = (tmp_path / name).glob("kubectl-3.0.*.raw")
        assert os.readlink(image.with_suffix("")) == image.name
        made.append(image.read_bytes())
    assert made[0] == made[1]
    assert "usr/bin/kubectl" in imgcore_cli("ls", "-R", image).out


def test_the_other_example_asks_for_packages(imgcore_cli: Cli) -> None:
    done = imgcore_cli("mkosi", "-C", EXAMPLES / "tools-sysext", "--json", "summary")
    images = json.loads(done.out)["Images"]
    assert [one["Image"] for one in images] == ["base", "tools", None]
    assert images[1]["Output"].startswith("tools-1.0_1.0_")
