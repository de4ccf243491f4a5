"""Discoverable disk images: made, read, verified; what is refused."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, FileBlob, read_all
from imgcore.build.ddi import DdiSettings, build_ddi, labels
from imgcore.build.ddi_read import read_ddi, table_findings, verify_beside, verify_set
from imgcore.build.source import open_source
from imgcore.build.spec import parse_source
from imgcore.disk.types import type_by_name
from imgcore.disk.verity import verify
from imgcore.errors import ImgcoreError, MergeConflict, NotThisFormat, PathError, TargetExists, Unsupported, VerificationFailed
from imgcore.events import Control, Event, Warned
from imgcore.formats.iso9660 import Options as IsoOptions

SEED = uuid.UUID("750b6cd5-c4ae-4012-a15e-7be3c29e6a47")
RELEASE = "usr/lib/extension-release.d/extension-release.hello"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An extension called hello."""
    top = tmp_path / "tree"
    for name, text in ((RELEASE, "ID=_any\n"), ("usr/bin/hello", "#!/bin/sh\n"), ("opt/data", "x" * 70_000), ("etc/no", "x")):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def test_only_hierarchies_go_in(tree: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    build_ddi(tree, tmp_path / "hello.raw", DdiSettings(), control=Control(events.append))
    with open_source(tmp_path / "hello.raw") as opened:
        assert sorted(opened.tree.root.children) == [b"opt", b"usr"]
        assert opened.tree.root.meta.xattrs[b"user.validatefs.mount_point"] == b"/\0"
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert [text for text in warned if "lost" not in text] == [
        "not in the image, since sysext images hold /usr and /opt only: `/etc`"
    ]


@pytest.mark.parametrize("engine", ["pure", "auto"])
@pytest.mark.parametrize("sector", [512, 4096])
def test_made_read_and_verified(tree: Path, tmp_path: Path, engine: str, sector: int) -> None:
    report = build_ddi(
        tree,
        tmp_path / "hello.raw",
        DdiSettings(verity=True, sector=sector, split=True),
        engine=engine,
        jobs=2,  # type: ignore[arg-type]
    )
    assert [one.label for one in report.parts] == ["root-x86-64", "root-x86-64-verity"]
    data = (tmp_path / "hello.raw").read_bytes()
    disk = read_ddi(BytesBlob(data))
    assert disk.gpt.problems == () and disk.gpt.sector == sector
    (one,) = disk.sets()
    assert verify_set(one)[1] == report.root == one.root
    assert (tmp_path / "hello.roothash").read_text() == report.root.hex()
    for part, shown in zip(report.parts, disk.parts, strict=True):
        assert (tmp_path / f"hello.{part.kind.name}.raw").read_bytes() == read_all(shown.blob)  # type: ignore[arg-type]
    same = DdiSettings(verity=True, sector=sector, seed=report.seed)
    again = build_ddi(tree, tmp_path / "hello.raw", same, force=True)
    assert again.root == report.root and (tmp_path / "hello.raw").read_bytes() == data


def test_engines_make_the_same(tree: Path, tmp_path: Path) -> None:
    for engine in ("pure", "auto"):
        place = tmp_path / engine
        place.mkdir()
        build_ddi(tree, place / "hello.raw", DdiSettings(verity=True), engine=engine)  # type: ignore[arg-type]
    assert (tmp_path / "pure/hello.raw").read_bytes() == (tmp_path / "auto/hello.raw").read_bytes()


def test_every_part_of_a_disk_is_looked_at(tree: Path, tmp_path: Path) -> None:
    report = build_ddi(tree, tmp_path / "hello.raw", DdiSettings(verity=True))
    data = bytearray((tmp_path / "hello.raw").read_bytes())
    root, area = report.parts
    places = [450, 454, 510, 512 + 20, 1024 + 40, len(data) - 500, root.offset, root.offset + 300, area.offset + 36]
    for at in places:
        data[at] ^= 4
        disk = read_ddi(BytesBlob(bytes(data)))
        with pytest.raises(ImgcoreError):
            if disk.gpt.problems:
                raise VerificationFailed(disk.gpt.problems[0])
            verify_set(disk.sets()[0])
        data[at] ^= 4
    verify_set(read_ddi(BytesBlob(bytes(data))).sets()[0], root=report.root)
    with pytest.raises(VerificationFailed, match="not called after the root hash"):
        verify_set(read_ddi(BytesBlob(bytes(data))).sets()[0], root=bytes(32))


def test_check_reads_the_table_too(tree: Path, tmp_path: Path) -> None:
    build_ddi(tree, tmp_path / "hello.raw", DdiSettings(verity=True))
    data = bytearray((tmp_path / "hello.raw").read_bytes())
    assert table_findings(BytesBlob(bytes(data))) == [] == table_findings(BytesBlob(b"no disk"))
    for at in (450, 512 + 20, len(data) - 500):
        data[at] ^= 4
        assert {one.rule for one in table_findings(BytesBlob(bytes(data)))} == {"partition-table"}
        data[at] ^= 4
    assert [one.fatal for one in table_findings(BytesBlob(bytes(data[:-8192])))].count(False) > 0


def test_a_bare_file_system_has_its_verity_beside_it(tree: Path, tmp_path: Path) -> None:
    report = build_ddi(tree, tmp_path / "hello.raw", DdiSettings(verity=True, bare=True, seed=SEED))
    assert sorted(path.name for path in tmp_path.glob("hello.*")) == ["hello.raw", "hello.roothash", "hello.verity"]
    with open_source(tmp_path / "hello.raw") as opened:
        assert opened.format is not None and opened.format.name == "squashfs"
        assert not opened.tree.root.meta.xattrs
    with FileBlob(tmp_path / "hello.raw") as data, FileBlob(tmp_path / "hello.verity") as area:
        verify(data, area, report.root or b"")
        assert verify_beside(data, str(tmp_path / "hello.raw"))[1] == report.root
        (tmp_path / "hello.roothash").write_text("00" * 32)
        with pytest.raises(VerificationFailed):
            verify_beside(data, str(tmp_path / "hello.raw"))
        (tmp_path / "hello.roothash").unlink()
        with pytest.raises(VerificationFailed, match="nor a root hash"):
            verify_beside(data, str(tmp_path / "hello.raw"))
    with pytest.raises(NotThisFormat), FileBlob(tmp_path / "hello.raw") as data:
        read_ddi(data)


def test_large_disks_begin_at_a_mebibyte(tree: Path, tmp_path: Path) -> None:
    (tree / "usr/big").write_bytes(random.Random(1).randbytes(5 << 20))
    report = build_ddi(tree, tmp_path / "hello.raw", DdiSettings(verity=True))
    assert report.parts[0].offset == 1 << 20
    with FileBlob(tmp_path / "hello.raw") as blob:
        verify_set(read_ddi(blob).sets()[0])


def test_what_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sector of 513"):
        DdiSettings(sector=513)
    with pytest.raises(ValueError, match="no partitions to split"):
        DdiSettings(bare=True, split=True)
    with pytest.raises(ValueError, match="architecture"):
        DdiSettings(architecture="vax")
    with pytest.raises(Unsupported, match="another file system"):
        build_ddi(tree, tmp_path / "hello.raw", DdiSettings(), options=IsoOptions())
    with pytest.raises(MergeConflict, match="no release file"):
        build_ddi(tree, tmp_path / "hello.raw", DdiSettings(kind="confext"))
    with pytest.raises(MergeConflict, match="neither an os-release nor"):
        (tree / RELEASE).unlink()
        build_ddi(tree, tmp_path / "hello.raw", DdiSettings(kind="portable"))
    with pytest.raises(MergeConflict, match="nothing of the tree"):
        build_ddi(tree / "opt", tmp_path / "hello.raw", DdiSettings())
    assert not list(tmp_path.glob("*.raw"))
    (tmp_path / "hello.raw").write_text("old")
    with pytest.raises(TargetExists):
        build_ddi(tree, tmp_path / "hello.raw", DdiSettings())
    assert (tmp_path / "hello.raw").read_text() == "old"


def test_a_release_file_of_another_name_is_warned_of(tree: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    build_ddi(tree, tmp_path / "other.raw", DdiSettings(), control=Control(events.append))
    assert any("extension-release.other" in event.message for event in events if isinstance(event, Warned))


def test_an_older_image_inside_of_the_tree_is_left_out(tree: Path, tmp_path: Path) -> None:
    dest, settings = tree / "usr/hello.raw", DdiSettings(verity=True, split=True, seed=SEED)
    build_ddi(tree, dest, settings)
    assert (tree / "usr/hello.roothash").exists()
    build_ddi(tree, dest, settings, force=True)
    with open_source(dest) as opened:
        assert [name for name in opened.tree["/usr"].children if name.startswith(b"hello")] == []  # type: ignore[union-attr]


def test_labels_are_numbered() -> None:
    root = type_by_name("root", "arm64")
    assert labels([root, type_by_name("home"), root, root]) == ["root-arm64", "home", "root-arm64-2", "root-arm64-3"]


def test_sources_name_partitions(tree: Path, tmp_path: Path) -> None:
    build_ddi(tree, tmp_path / "hello.raw", DdiSettings(verity=True))
    for text in ("hello.raw", "gpt:hello.raw", "hello.raw#root", "hello.raw#root-x86-64", "hello.raw#1"):
        with open_source(parse_source(str(tmp_path / text) if ":" not in text else f"gpt:{tmp_path}/hello.raw")) as opened:
            assert sorted(opened.tree.root.children) == [b"opt", b"usr"]
    with pytest.raises(PathError), open_source(parse_source(f"{tmp_path}/hello.raw#usr")):
        pass
