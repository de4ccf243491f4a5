"""`imgcore iso …` as a user meets it: messages, exit codes, JSON, and that nothing is left behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli


@pytest.fixture
def image(imgcore_cli: Cli, tmp_path: Path) -> Path:
    (tmp_path / "tree/dir").mkdir(parents=True)
    (tmp_path / "tree/dir/file").write_text("content")
    (tmp_path / "tree/loader").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "esp/EFI/BOOT").mkdir(parents=True)
    (tmp_path / "esp/EFI/BOOT/BOOTX64.EFI").write_bytes(b"MZ")
    path = tmp_path / "a.iso"
    words = ["--bios", "loader", "--esp", tmp_path / "esp", "--volume-id", "TEST"]
    result = imgcore_cli("iso", "create", "-q", tmp_path / "tree", path, *words)
    assert result.code == 0, result.err
    return path


def test_info_and_lint_as_json(imgcore_cli: Cli, image: Path) -> None:
    (info,) = imgcore_cli("iso", "info", "--json", image).objects()
    assert info["volume_id"] == "TEST" and [one["platform"] for one in info["boot"]] == ["BIOS", "UEFI"]  # type: ignore[attr-defined]
    targets = {one["target"]: one["boots"] for one in imgcore_cli("iso", "lint", "--json", image).objects()}
    assert targets == {"bios-cd": True, "bios-usb": False, "uefi-cd": True, "uefi-usb": True}
    assert imgcore_cli("iso", "lint", image, "--require", "uefi-usb").code == 0
    result = imgcore_cli("iso", "lint", image, "--require", "bios-usb")
    assert result.code == 1 and "bios-usb  does not boot: the first sector has no code" in result.out


def test_a_change_says_what_it_kept(imgcore_cli: Cli, image: Path, tmp_path: Path) -> None:
    extra = tmp_path / "x"
    extra.write_text("new")
    dry = imgcore_cli("iso", "modify", image, "--dry-run", "--add", f"{extra}:/x")
    assert dry.code == 0 and "added 3 B" in dry.err
    assert imgcore_cli("iso", "modify", image, tmp_path / "o.iso", "--dry-run").code == 0 and not (tmp_path / "o.iso").exists()
    done = imgcore_cli(
        "iso", "modify", "--json", image, tmp_path / "b.iso", "--add", f"{tmp_path / 'esp'}:/more/esp", "--volume-id", "N"
    )
    (report,) = done.objects()
    assert report["added"] == 2 and "label `TEST`" in "".join(report["notes"])  # type: ignore[arg-type]
    assert imgcore_cli("ls", tmp_path / "b.iso", "/more/esp/EFI/BOOT").out == "BOOTX64.EFI\n"
    assert imgcore_cli("iso", "modify", image, "--in-place", "--esp-add", f"{extra}:/EFI/x", "--remove", "/dir").code == 0
    assert imgcore_cli("cat", f"{image}#esp", "/EFI/x").out == "new"
    assert imgcore_cli("ls", image).out.split() == ["loader"] and imgcore_cli("check", image).code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.iso", "b.iso", "esp", "tree", "x"]


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["--remove", "/none"], 1, "no such path in the image"),
        (["--remove", "/loader"], 4, "a boot image"),
        (["--add", "x"], 2, "not SRC:/DST"),
        (["--add", "/none:/x"], 6, "cannot open"),
        (["--volume-id", "x" * 33], 4, "at most 32"),
        (["--esp-remove", "/none"], 1, "no such path"),
        (["--esp-add", "{big}:/big"], 4, "no room"),
        (["--add", "{big}:/dir"], 1, "a directory is in the way"),
    ],
)
def test_what_a_change_refuses(imgcore_cli: Cli, image: Path, tmp_path: Path, words: list[str], code: int, what: str) -> None:
    big = tmp_path / "big"
    big.write_bytes(bytes(3 << 20))
    before = image.read_bytes()
    out = tmp_path / "o.iso"
    result = imgcore_cli("iso", "modify", image, out, *(word.format(big=big) for word in words))
    assert result.code == code and what in result.err, result.err
    assert not out.exists() and image.read_bytes() == before
    result = imgcore_cli("iso", "modify", image, "--in-place", *(word.format(big=big) for word in words))
    assert result.code == code and image.read_bytes() == before


def test_usage(imgcore_cli: Cli, image: Path, tmp_path: Path) -> None:
    assert imgcore_cli("iso", "modify", image).code == 2
    assert imgcore_cli("iso", "modify", image, tmp_path / "o", "--in-place").code == 2
    assert imgcore_cli("iso", "create", tmp_path / "tree").code == 2
    assert imgcore_cli("iso", "create", tmp_path / "tree", image).code == 2
    assert "needs --esp" in imgcore_cli("iso", "create", tmp_path / "tree", tmp_path / "o.iso", "--preset", "uki").err
    error = json.loads(imgcore_cli("iso", "info", "--json", tmp_path / "tree").err.splitlines()[-1])
    assert error["kind"] == "Unsupported"
    assert imgcore_cli("iso").code == 2 and imgcore_cli("iso", "none").code == 2
