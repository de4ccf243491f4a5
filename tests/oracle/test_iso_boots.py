"""Boots in QEMU: one preset from each medium by each firmware, a changed image, and an image that must not boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.blob import FileBlob
from imgcore.build.iso_lint import lint_iso
from imgcore.testing.qemu import Firmware, Medium, boot, main, missing
from tests.kit import oracles
from tests.oracle.iso_boots import make, verdict


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    for firmware in ("bios", "uefi"):
        why = missing(firmware)  # type: ignore[arg-type]
        if why is not None:
            oracles.missing(why)
    return make("fedora", tmp_path_factory.mktemp("boots"))


@pytest.mark.parametrize("medium", ["cd", "usb"])
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_preset_boots(images: tuple[Path, Path], firmware: Firmware, medium: Medium) -> None:
    assert verdict(images[0], firmware, medium) == ""


def test_a_changed_image_boots(images: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(images[1]), "--uefi", "--usb"]) == 0
    assert "uefi usb: equal" in capsys.readouterr().out


def test_what_lint_says_does_not_boot_does_not(images: tuple[Path, Path], tmp_path: Path) -> None:
    image = tmp_path / "broken.iso"
    data = bytearray(images[0].read_bytes())
    data[17 * 2048 + 7 : 17 * 2048 + 30] = bytes(23)  # no El Torito any more
    image.write_bytes(data)
    with FileBlob(image) as blob:
        assert {one.name: one.boots for one in lint_iso(blob)}["bios-cd"] is False
    report = boot(image, "bios", "cd", timeout=40)
    assert not report.done
