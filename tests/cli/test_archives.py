"""tar and cpio on the command line: the suffix says what is written, flags say otherwise, errors are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.kit.archives import END, member


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = tmp_path / "s"
    (place / "d").mkdir(parents=True)
    (place / "d" / "f").write_text("text\n" * 1000)
    (place / "d" / "f").touch()
    return place


def test_every_verb(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    for name in ("o.tar", "o.tar.zst", "o.txz", "o.cpio.gz"):
        out = tmp_path / name
        assert imgcore_cli("pack", "-q", "--clock", "1000", source, out).code == 0
        assert imgcore_cli("check", out).code == 0
        assert "format" in imgcore_cli("info", out).out
        assert "/d/f" in imgcore_cli("ls", "-R", out).out
        assert imgcore_cli("cat", out, "/d/f").out == "text\n" * 1000
        assert '"path":"/d/f"' in imgcore_cli("manifest", out).out
        assert imgcore_cli("unpack", "-q", out, tmp_path / f"{name}.d").code == 0
        assert imgcore_cli("diff", out, tmp_path / f"{name}.d").code == 0
        assert (
            "0x000000000000" in imgcore_cli("info", "--layout", out).out
            or "0x0000000000" in imgcore_cli("info", "--layout", out).out
        )
    image = tmp_path / "o.raw"
    assert imgcore_cli("pack", "-q", tmp_path / "o.tar", image).code == 0
    assert imgcore_cli("pack", "-q", image, tmp_path / "again.tar").code == 0
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "o.tar").read_bytes()
    values = imgcore_cli("info", "--json", tmp_path / "o.tar.zst").objects()[0]
    assert (values["format"], values["stream"]) == ("tar", "zstd")


def test_compression_flags(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    def packed(name: str, *flags: str) -> bytes:
        assert imgcore_cli("pack", "-q", "--force", "--clock", "1000", *flags, source, tmp_path / name).code == 0
        return (tmp_path / name).read_bytes()

    plain = packed("a.tar")
    assert packed("a.tar", "-c", "zstd:19").startswith(b"\x28\xb5\x2f\xfd")
    assert packed("a.tar.gz", "-c", "none", "--format", "tar") == plain
    assert packed("a.tar.gz", "-c", "xz:0", "--format", "tar").startswith(b"\xfd7zXZ")
    assert packed("a.tgz", "-O", "level=1") == packed("a.tar", "-c", "gzip:1")
    assert packed("a.tgz", "-j", "1") == packed("a.tgz", "-j", "4")
    assert packed("a.xyz", "--format", "tar") == plain


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-c", "lz4", "--format", "tar"), "none of none, gzip"),
        (("-c", "gzip"), "two things"),
        (("-c", "zstd:23"), "levels 1 to 22"),
        (("-c", "none:1", "--format", "tar"), "no level"),
        (("-b", "4K"), "no block size"),
        (("-O", "fragments=all"), "known: compression, level, sparse"),
        (("-O", "level=3", "-c", "gzip:3"), "two things"),
    ],
)
def test_wrong_flags(flags: tuple[str, ...], text: str, source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    done = imgcore_cli("pack", *flags, source, tmp_path / "o.tar.zst")
    assert done.code == 2 and text in done.err
    assert not (tmp_path / "o.tar.zst").exists()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (member(b"ok") + member(b"../../etc/passwd", b"x") + END, "`..` in a name"),
        (member(b"ok") + member(b"/etc/passwd", b"x") + END, "absolute name"),
        (member(b"ok") + member(b"f", b"x" * 5000)[:-2000], "member is cut"),
        (member(b"ok") + member(b"l", kind=b"1", linkname=b"nothing") + END, "hard link to nothing"),
    ],
)
def test_hostile_archives(data: bytes, text: str, tmp_path: Path, imgcore_cli: Cli) -> None:
    bad = tmp_path / "bad.tar"
    bad.write_bytes(data)
    for command in (("pack", bad, tmp_path / "o.raw"), ("unpack", bad, tmp_path / "d"), ("ls", bad)):
        done = imgcore_cli(*command)
        assert done.code == 3 and text in done.err and "0x00000200" in done.err
    assert not (tmp_path / "o.raw").exists()
    done = imgcore_cli("check", bad)
    assert done.code == 3 and text in done.out


def test_sockets_and_allow_loss(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(source / "sock"))
    done = imgcore_cli("pack", source, tmp_path / "o.tar")
    assert done.code == 4 and "--allow-loss device" in done.err
    assert imgcore_cli("pack", "--allow-loss", "device", source, tmp_path / "o.tar").code == 0


def test_a_flag_does_not_contradict_the_name(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    refused = imgcore_cli("pack", "-c", "zstd:19", tmp_path / "tree", tmp_path / "x.tar.gz")
    assert refused.code == 2
    assert "say two things" in refused.err
    assert not (tmp_path / "x.tar.gz").exists()
    assert imgcore_cli("pack", "-c", "gzip:9", tmp_path / "tree", tmp_path / "x.tar.gz").code == 0
    assert imgcore_cli("pack", "-c", "zstd", "--format", "tar", "--force", tmp_path / "tree", tmp_path / "x.tar.gz").code == 0
