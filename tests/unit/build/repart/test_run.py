"""Disks that systemd-repart's are not compared with: vfat, and what is refused."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from imgcore.build.repart.conf import DefinitionError
from imgcore.build.repart.definition import read_definition
from imgcore.build.repart.plan import wanted
from imgcore.build.repart.run import RepartSettings, repart
from imgcore.build.source import open_source
from imgcore.build.spec import parse_source
from imgcore.hosts import scan

SETTINGS = RepartSettings(uuid.UUID("750b6cd5-c4ae-4012-a15e-7be3c29e6a47"))


def make(tmp_path: Path, *texts: str) -> Path:
    """Write the disk that these definitions ask for."""
    tree = tmp_path / "tree"
    (tree / "EFI").mkdir(parents=True, exist_ok=True)
    (tree / "EFI/x.efi").write_bytes(b"MZ" * 3000)
    made = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.conf"
        path.write_text(f"[Partition]\n{text}")
        made.append(read_definition(str(path), "x86-64", str))
    dest = tmp_path / "disk.raw"
    repart(made, scan(tree), dest, SETTINGS, force=True)
    return dest


@pytest.mark.parametrize("text", ["Format=vfat\n", "", "Format=vfat\nMinimize=guess\n"])
def test_vfat(tmp_path: Path, text: str) -> None:
    size = "" if "Minimize" in text else "SizeMaxBytes=101M\n"
    dest = make(
        tmp_path, f"Type=esp\nCopyFiles=/EFI\n{text}{size}", "Type=root\nFormat=squashfs\nCopyFiles=/EFI:/x\nMinimize=best\n"
    )
    with open_source(parse_source(f"{dest}#esp")) as opened:
        assert opened.format is not None and opened.format.name == "fat"
        assert opened.tree["/EFI/x.efi"].content.read_at(0, 4) == b"MZMZ"  # type: ignore[union-attr]
    with open_source(dest) as opened:  # the one root
        assert b"/x/x.efi" in opened.tree


@pytest.mark.parametrize("text", ["Type=swap\n", "Type=swap\nSizeMinBytes=5M\n", "Type=home\nCopyFiles=/EFI\n"])
def test_file_systems_that_a_type_implies_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DefinitionError, match=r"swap|ext4"):
        make(tmp_path, text)
    assert not (tmp_path / "disk.raw").exists()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    big = tmp_path / "tree/EFI/big"
    big.parent.mkdir(parents=True)
    big.write_bytes(bytes(range(256)) * 40 + os.urandom(3_000_000))
    with pytest.raises(DefinitionError, match="do not fit into the partition") as caught:
        make(tmp_path, "Type=root\nFormat=squashfs\nCopyFiles=/EFI\n")
    assert "Minimize=best" in str(caught.value.hint)
    make(tmp_path, "Type=root\nFormat=squashfs\nCopyFiles=/EFI\nSizeMinBytes=4M\n")


@pytest.mark.parametrize("size", [0, 1000])
def test_blocks_that_are_no_sectors_are_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "blocks").write_bytes(b"x" * size)
    with pytest.raises(DefinitionError, match="whole sectors"):
        make(tmp_path, f"Type=root\nCopyBlocks={tmp_path}/blocks\n")


def test_refusals_say_what_helps(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        make(tmp_path, "Type=root\nFormat=erofs\nCopyFiles=/EFI\n")
    assert "SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT" in str(caught.value.hint)
    verity = "Minimize=best\nVerityMatchKey=a\n"
    with pytest.raises(DefinitionError) as caught:
        make(
            tmp_path,
            f"Type=root\nFormat=squashfs\nCopyFiles=/EFI\nVerity=data\n{verity}",
            f"Type=root-verity\nVerity=hash\n{verity}",
            "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=a\n",
        )
    assert "--exclude-partitions root-x86-64-verity-sig" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["Verity=data\nVerityMatchKey=x\n"])
def test_data_without_a_hash_tree_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DefinitionError, match="no Verity=hash for VerityMatchKey=x"):
        make(tmp_path, f"Type=root\nFormat=squashfs\nMinimize=best\nCopyFiles=/EFI\n{text}")


def test_two_files_at_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="there is a /x already"):
        make(tmp_path, "Type=root\nFormat=squashfs\nMinimize=best\nCopyFiles=/EFI/x.efi:/x\nCopyFiles=/EFI/x.efi:/x\n")


@pytest.mark.parametrize("kind", ["esp", "xbootldr"])
@pytest.mark.parametrize(("systemd", "sector", "least"), [(262, None, 260), (262, 4096, 260), (262, 512, 100), (257, None, 10)])
def test_the_least_size_of_a_vfat(kind: str, systemd: int, sector: int | None, least: int, tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text(f"[Partition]\nType={kind}\nFormat=vfat\nCopyFiles=/EFI\n")
    one = read_definition(str(tmp_path / "a.conf"), "x86-64", str)
    assert wanted(one, None, systemd=systemd, sector=sector).least == least << 20
