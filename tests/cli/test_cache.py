"""`pack --cache` and `cache info|prune` on the command line: directories, URLs, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    for number in range(20):
        (path / str(number)).write_bytes(os.urandom(50) * 3000)
    return path


def test_a_directory(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "c"
    assert imgcore_cli("pack", source, tmp_path / "plain.raw").code == 0
    first = imgcore_cli("pack", "--json", "--cache", cache, source, tmp_path / "a.raw")
    second = imgcore_cli("pack", "--json", "--cache", cache, source, tmp_path / "b.raw")
    assert first.objects()[0]["recalled"] == 0 < second.objects()[0]["recalled"]
    plain = (tmp_path / "plain.raw").read_bytes()
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "b.raw").read_bytes() == plain
    (info,) = imgcore_cli("cache", "info", "--json", cache).objects()
    assert info["objects"] == second.objects()[0]["recalled"]
    assert "0 objects" in imgcore_cli("cache", "prune", cache).out
    assert f"removed {info['objects']} objects" in imgcore_cli("cache", "prune", "--all", cache).out


def test_a_url_has_a_directory_in_front(
    imgcore_cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    url = f"file://{tmp_path}/remote"
    found = []
    for home in ("one", "one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
        result = imgcore_cli("pack", "--json", "--force", "--cache", url, source, tmp_path / "a.raw")
        assert result.code == 0 and "cache" not in result.err
        found.append(result.objects()[0]["recalled"])
    assert found[0] == 0 < found[1] == found[2]
    (front,) = (tmp_path / "two" / "imgcore").iterdir()
    (here,) = imgcore_cli("cache", "info", "--json", front).objects()
    (there,) = imgcore_cli("cache", "info", "--json", url).objects()
    assert here["objects"] == there["objects"] == found[1]
    assert imgcore_cli("pack", "--cache", url, "--cache", tmp_path / "own", source, tmp_path / "b.raw").code == 0
    assert imgcore_cli("cache", "info", tmp_path / "own").code == 0
    assert imgcore_cli("cache", "prune", "--all", url).code == 0
    (there,) = imgcore_cli("cache", "info", "--json", url).objects()
    assert there["objects"] == 0


def test_what_is_refused(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.raw"
    assert imgcore_cli("pack", "--cache-size", "1G", source, out).code == 2
    assert imgcore_cli("pack", "--cache", tmp_path / "a", "--cache", tmp_path / "b", source, out).code == 2
    assert imgcore_cli("pack", "--cache", tmp_path / "a", source, tmp_path / "o.tar").code == 2
    assert imgcore_cli("pack", "--cache", "no-such-protocol://x", source, out).code == 2
    assert imgcore_cli("pack", "--cache", source, source, out).code == 6
    assert imgcore_cli("cache", "info", tmp_path / "none").code == 6
    assert imgcore_cli("cache", "info", "--all", tmp_path / "none").code == 2
    assert imgcore_cli("cache", "info", "no-such-protocol://x").code == 2
    assert not out.exists()


def test_a_home_that_cannot_be_written(imgcore_cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    result = imgcore_cli("pack", "--cache", f"file://{tmp_path}/remote", source, tmp_path / "o.raw")
    assert result.code == 0 and "no directory in front" in result.err
