"""Definitions of partitions: what is read, and what is an error with a place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.build.repart.conf import DefinitionError, definition_files
from imgcore.build.repart.definition import KEYS, Definition, read_definition
from imgcore.build.repart.values import boolean, copied, integer, path_list, size, symlinks
from imgcore.errors import ImgcoreError, SourceUnreadable


def read(tmp_path: Path, text: str) -> Definition:
    path = tmp_path / "10.conf"
    path.write_text(text)
    return read_definition(str(path), "x86-64", lambda value: value.replace("%a", "x86-64"))


def test_what_is_said_is_read(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "# comment\n[Partition]\nType=root\n; other\nLabel=a-%a\nSizeMinBytes=1.5M\n"
        "CopyFiles=/a:/b\nCopyFiles=/c/\n"
        "MakeDirectories=/x '/y z'\nMakeSymlinks=/l:../t\n[X-Mine]\nWhatever=1\n"
        "[Partition]\nFormat=\\\nsquashfs\nMinimize=yes\n",
    )
    assert made.type().name == "root-x86-64" and made.label == "a-x86-64" and made.size_min == 1572864
    assert made.copy_files == [("/a", "/b"), ("/c", "/c")] and made.directories == ["/x", "/y z"]
    assert made.symlinks == [("/l", "../t")] and made.format == "squashfs" and made.minimize == "best"


def test_an_empty_value_forgets_a_list(tmp_path: Path) -> None:
    assert read(tmp_path, "[Partition]\nType=home\nCopyFiles=/a\nCopyFiles=\nCopyFiles=/b\n").copy_files == [("/b", "/b")]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[Partition]\nType=roo\n", 2, "no type of a partition"),
        ("Type=root\n", 1, "outside of any section"),
        ("[Partition\n", 1, "without `]`"),
        ("[Other]\nA=b\n", 1, "section [Other]"),
        ("[Partition]\nType=root\nLable=x\n", 3, "no key is called `Lable`"),
        ("[Partition]\nType=root\nEncrypt=tpm2\n", 3, "Encrypt= is not supported: encryption"),
        ("[Partition]\nType=root\nSubvolumes=/a\n", 3, "Subvolumes= is not supported"),
        ("[Partition]\nType=root\nSizeMinBytes=many\n", 3, "no size"),
        ("[Partition]\nType=root\nWeight=1000001\n", 3, "not within 0 to 1000000"),
        ("[Partition]\nType=root\nReadOnly=perhaps\n", 3, "no boolean"),
        ("[Partition]\nType=root\nUUID=1\n", 3, "no UUID"),
        ("[Partition]\nType=root\nCopyFiles=a\n", 3, "not an absolute path"),
        ("[Partition]\nType=root\nCopyFiles=/a/../b\n", 3, "a `..`"),
        ("[Partition]\nType=root\nLabel=" + "x" * 37 + "\n", 3, "longer than 36"),
        ("[Partition]\nType=root\nVerityDataBlockSizeBytes=5\n", 3, "known: 512"),
        ("[Partition]\nword\n", 2, "neither a section nor KEY=VALUE"),
        ("[Partition]\nType=root\n\n\nMakeSymlinks=/a\n", 5, "not PATH:TARGET"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value) and caught.value.structure == f"{tmp_path}/10.conf:{line}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Label=x\n", "no Type="),
        ("Type=root\nSizeMinBytes=2M\nSizeMaxBytes=1M\n", "SizeMinBytes= is larger"),
        ("Type=root\nCopyBlocks=/a\nFormat=squashfs\n", "CopyBlocks= does not go with"),
        ("Type=root\nVerity=data\n", "needs VerityMatchKey="),
        ("Type=root\nVerityMatchKey=x\n", "VerityMatchKey= is for"),
        ("Type=root-verity\nVerity=hash\nVerityMatchKey=x\nFormat=squashfs\n", "do not go with Verity=hash"),
        ("Type=root\nMinimize=best\n", "Minimize= needs"),
        ("Type=root\nVerity=signature\nVerityMatchKey=x\n", "is for a partition of type"),
    ],
)
def test_contradictions(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(tmp_path, f"[Partition]\n{text}")
    assert said in str(caught.value)


def test_files_are_found_in_order_and_masked(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    for place, names in ((one, ("20-b.conf", "note.txt", ".x.conf")), (two, ("20-b.conf", "10-a.conf", "30-c.conf"))):
        place.mkdir()
        for name in names:
            (place / name).write_text("[Partition]\n")
    (one / "30-c.conf").symlink_to("/dev/null")
    assert definition_files([one, two]) == [str(two / "10-a.conf"), str(one / "20-b.conf")]
    with pytest.raises(SourceUnreadable):
        definition_files([tmp_path / "none"])


def test_values() -> None:
    assert [size(text) for text in ("0", "4K", "1.5K", "2 M", "1GB", "7B")] == [0, 4096, 1536, 2 << 20, 1 << 30, 7]
    assert (boolean("T"), boolean("off"), integer("0x10", 0, 99)) == (True, False, 16)
    assert path_list("/a//b/ './c'"[:7]) == ["/a/b/"]
    assert copied("/a/:/b/c") == [("/a", "/b/c")] and symlinks("/a:b /c:d") == [("/a", "b"), ("/c", "d")]
    for wrong in ("", "-1", "1.K", "9" * 30, "1X"):
        with pytest.raises(ValueError):
            size(wrong)


@given(st.lists(st.tuples(st.sampled_from(sorted(KEYS)), st.text(max_size=20)), max_size=8), st.binary(max_size=60))
def test_only_our_errors(tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], junk: bytes) -> None:
    path = tmp_path_factory.mktemp("d") / "x.conf"
    text = "[Partition]\nType=root\n" + "".join(f"{key}={value}\n" for key, value in lines)
    for data in (text.encode("utf-8", "surrogatepass"), junk, text.encode("utf-8", "surrogatepass") + junk):
        path.write_bytes(data)
        with contextlib.suppress(ImgcoreError):
            read_definition(str(path), "x86-64", str)
