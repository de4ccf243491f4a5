"""RPM and Debian packages on the command line: they are sources as any other, and are not written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.kit.packages import Entry, Rpm, sample
from tests.unit.formats.deb.test_reader import package as deb_package


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_every_verb(tmp_path: Path, imgcore_cli: Cli, compression: str) -> None:
    path = tmp_path / "demo.rpm"
    path.write_bytes(sample(compression=compression).build())
    assert imgcore_cli("check", path).code == 0
    assert "/usr/bin/ping" in imgcore_cli("ls", "-R", path).out
    assert imgcore_cli("cat", path, "/etc/demo/conf").out == "key=1\n"
    assert '"security.capability"' in imgcore_cli("manifest", path).out
    assert "FILEMODES" in imgcore_cli("info", "--layout", path).out
    shown = imgcore_cli("info", "--json", path)
    info = json.loads(shown.out.splitlines()[-1])
    assert (info["format"], info["name"], info["epoch"], info["package_format"]) == ("rpm", "demo", 2, 4)
    assert "demo(x) = 1" in info["provides"] and info["scriptlets"][0] == "post (/bin/sh)"
    warned = imgcore_cli("pack", path, tmp_path / "out.raw")
    assert warned.code == 0 and "user `demo` is not known: root instead" in warned.err
    assert imgcore_cli("diff", path, tmp_path / "out.raw").code == 0
    assert imgcore_cli("pack", "-q", path, tmp_path / "out.tar").code == 0


def test_debs(tmp_path: Path, imgcore_cli: Cli) -> None:
    path = tmp_path / "demo.deb"
    path.write_bytes(deb_package(compression="xz"))
    assert imgcore_cli("check", path).code == 0
    assert imgcore_cli("cat", path, "/usr/bin/a").out == "program"
    assert "libc6 (>= 2)" in imgcore_cli("info", path).out
    assert imgcore_cli("pack", "-q", path, tmp_path / "out.raw").code == 0
    assert imgcore_cli("diff", path, tmp_path / "out.raw").code == 0


def test_broken(tmp_path: Path, imgcore_cli: Cli) -> None:
    path = tmp_path / "a.rpm"
    package = Rpm([Entry(b"/a", b"right")])
    path.write_bytes(package.but(payload=package.cpio().replace(b"right", b"wrong")).build())
    done = imgcore_cli("cat", path, "/a")
    assert done.code == 7 and "content of a file does not fit its digest" in done.err and "/a" in done.err
    done = imgcore_cli("unpack", "-q", path, tmp_path / "out")
    assert done.code == 7 and not (tmp_path / "out/a").exists()
    done = imgcore_cli("check", path)
    assert done.code == 3 and "error[file-digest]" in done.out
    path.write_bytes(package.build()[:-20])
    assert imgcore_cli("ls", path).code == 3


@pytest.mark.parametrize("name", ["rpm", "deb"])
def test_packages_are_not_written(tmp_path: Path, imgcore_cli: Cli, name: str) -> None:
    (tmp_path / "s").mkdir()
    for arguments in ((tmp_path / f"out.{name}",), (tmp_path / "out", "--format", name)):
        done = imgcore_cli("pack", tmp_path / "s", *arguments)
        assert done.code == 2 and f"{name} is only read, not written" in done.err
    assert f"{name}:" in imgcore_cli("formats").out
