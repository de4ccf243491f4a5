"""A directory that is read where it is looked at: what is there is what `scan` gives, and nothing else is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imgcore.errors import PathError, SourceUnreadable
from imgcore.hosts import look_at, scan
from imgcore.model import manifest_lines


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/file").write_text("content")
    os.link(tmp_path / "d/file", tmp_path / "d/e/again")
    (tmp_path / "link").symlink_to("d/file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "d").chmod(0o750)
    return tmp_path


def test_it_is_what_a_scan_gives(top: Path) -> None:
    assert sorted(manifest_lines(look_at(top))) == sorted(manifest_lines(scan(top)))
    tree = look_at(top)
    assert tree.lookup(b"/d/file") is tree.lookup(b"/d/e/again")
    assert list(tree.root.children) == os.listdir(os.fsencode(top))
    assert b"/none" not in tree and b"/d/file/below" not in tree
    for name in (b"", b".", b"..", b"d/file", b"n" * 300):
        assert name not in tree.root.children
    with pytest.raises(PathError):
        tree.lookup(b"/none")


def test_only_what_is_looked_at_is_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[bytes] = []
    lstat = os.lstat
    monkeypatch.setattr(
        os, "lstat", lambda path, *more, **named: (looked.append(os.fsencode(path)), lstat(path, *more, **named))[1]
    )
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail(f"{path} was listed"))
    assert look_at(top).lookup(b"/d/e/again").meta.mode
    assert not any(path.endswith((b"/pipe", b"/link")) for path in looked)


def test_what_cannot_be_read_is_said_when_it_is_looked_at(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: bytes) -> list[bytes]:
        raise PermissionError(13, "Permission denied", path)

    tree = look_at(top)
    monkeypatch.setattr(os, "listdir", refused)
    assert tree.lookup(b"/d/file").meta.mode
    with pytest.raises(SourceUnreadable, match="cannot read directory"):
        list(tree.lookup(b"/d").children)  # type: ignore[union-attr]
    with pytest.raises(SourceUnreadable):
        look_at(top / "none")
