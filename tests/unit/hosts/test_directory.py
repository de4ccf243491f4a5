from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from imgcore.blob import read_all
from imgcore.engine import get_engine
from imgcore.errors import Cancelled, LimitExceeded, SourceChanged, SourceUnreadable
from imgcore.events import Control
from imgcore.hosts import directory as directory_module
from imgcore.hosts import scan
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Pipe, Socket, Symlink

Dropped = Callable[[], contextlib.AbstractContextManager[None]]


def test_everything_of_a_small_tree(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "f").write_bytes(b"hello")
    os.chmod(tmp_path / "d" / "f", 0o4711)
    os.utime(tmp_path / "d" / "f", ns=(5, 1_234_567_890_123_456_789))
    (tmp_path / "l").symlink_to("d/f")
    os.mkfifo(tmp_path / "p", 0o600)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "s"))
    tree = scan(tmp_path)
    file = tree["/d/f"]
    assert isinstance(file, File) and read_all(file.content) == b"hello"
    assert file.meta.mode == 0o4711
    assert file.meta.mtime_ns == 1_234_567_890_123_456_789
    assert (file.meta.uid, file.meta.gid) == (os.geteuid(), os.getegid())
    link = tree["/l"]
    assert isinstance(link, Symlink) and link.target == b"d/f"
    assert isinstance(tree["/p"], Pipe)
    assert isinstance(tree["/s"], Socket)
    assert isinstance(tree["/d"], Dir) and tree["/d"].meta.mode == 0o750


def test_devices(tmp_path: Path, needs_root: None) -> None:
    os.mknod(tmp_path / "null", 0o20666, os.makedev(1, 3))
    os.mknod(tmp_path / "whiteout", 0o20000, os.makedev(0, 0))
    os.mknod(tmp_path / "disk", 0o60600, os.makedev(259, 70000))
    tree = scan(tmp_path)
    found = {path: (node.kind, node.major, node.minor) for path, node in tree.walk() if isinstance(node, Device)}
    assert found == {b"/null": ("char", 1, 3), b"/whiteout": ("char", 0, 0), b"/disk": ("block", 259, 70000)}


def test_hard_links_are_one_node_across_directories(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a").write_bytes(b"1")
    os.link(tmp_path / "x" / "a", tmp_path / "b")
    (tmp_path / "other").write_bytes(b"1")
    tree = scan(tmp_path)
    assert tree["/x/a"] is tree["/b"]
    assert tree["/other"] is not tree["/b"]


def test_a_link_to_a_file_outside_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"1")
    (tmp_path / "in").mkdir()
    os.link(tmp_path / "outside", tmp_path / "in" / "a")
    assert scan(tmp_path / "in").links() == {}


def test_names_that_are_not_utf8_and_of_255_bytes(tmp_path: Path) -> None:
    names = {b"\xff\xfe", b"new\nline", b"x" * 255, b" ", b"\xc3\xa9"}
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    tree = scan(tmp_path)
    assert set(tree.root.children) == names
    for name in names:
        node = tree.root.children[name]
        assert isinstance(node, File) and read_all(node.content) == name


def test_holes(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"x")
    node = scan(tmp_path)["/f"]
    assert isinstance(node, File)
    segments = list(node.content.segments())
    assert sum(part.size for part in segments) == 1 << 20
    assert any(part.hole for part in segments)


def test_xattrs_of_files_directories_and_the_root(tmp_path: Path, needs_xattrs: None) -> None:
    (tmp_path / "f").write_bytes(b"")
    for path in (tmp_path, tmp_path / "f"):
        os.setxattr(path, b"user.name", b"\0value\xff")
    if os.geteuid() == 0:
        os.setxattr(tmp_path / "f", b"trusted.overlay.opaque", b"y")
        (tmp_path / "l").symlink_to("f")
        os.setxattr(tmp_path / "l", b"trusted.link", b"own", follow_symlinks=False)
    tree = scan(tmp_path)
    assert tree.root.meta.xattrs[b"user.name"] == b"\0value\xff"
    assert tree["/f"].meta.xattrs[b"user.name"] == b"\0value\xff"
    if os.geteuid() == 0:
        assert tree["/f"].meta.xattrs[b"trusted.overlay.opaque"] == b"y"
        assert tree["/l"].meta.xattrs == {b"trusted.link": b"own"}
    assert scan(tmp_path, xattrs=False).root.meta.xattrs == {}


def test_root_may_be_a_link_and_end_in_a_slash(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"1")
    (tmp_path / "l").symlink_to("d")
    for name in ("d", "d/", "l", "l/"):
        tree = scan(f"{tmp_path}/{name}")
        node = tree["/f"]
        assert isinstance(node, File) and read_all(node.content) == b"1"


def test_a_tree_deeper_than_path_max(tmp_path: Path) -> None:
    name, depth = b"n" * 200, 30
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    leaf = os.open(b"leaf", os.O_WRONLY | os.O_CREAT, dir_fd=fd)
    os.write(leaf, b"deep")
    os.close(leaf)
    os.symlink(b"target", b"link", dir_fd=fd)
    os.close(fd)
    tree = scan(tmp_path)
    below_all = b"/" + b"/".join([name] * depth)
    node, link = tree[below_all + b"/leaf"], tree[below_all + b"/link"]
    assert isinstance(node, File) and read_all(node.content) == b"deep"
    assert isinstance(link, Symlink) and link.target == b"target"
    shutil.rmtree(tmp_path / os.fsdecode(name))


def test_many_names_in_one_directory_are_quick(tmp_path: Path) -> None:
    for number in range(10_000):
        os.close(os.open(tmp_path / f"{number}", os.O_CREAT | os.O_WRONLY))
    assert len(scan(tmp_path).root.children) == 10_000


def test_skip_leaves_a_name_out_but_not_its_hard_links(tmp_path: Path) -> None:
    (tmp_path / "old.raw").write_bytes(b"")
    (tmp_path / "link").hardlink_to(tmp_path / "old.raw")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "old.raw").write_bytes(b"another")
    found = os.stat(tmp_path)
    scanned = scan(tmp_path, skip=[(found.st_dev, found.st_ino, b"old.raw")])
    assert [path for path, _ in scanned.walk()] == [b"/", b"/link", b"/sub", b"/sub/old.raw"]


@pytest.mark.parametrize("name", ["none", "file"])
def test_no_directory_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceUnreadable) as caught:
        scan(tmp_path / name)
    assert caught.value.path == os.fsencode(tmp_path / name)


def test_an_unreadable_directory_is_an_error_that_names_it(shared_dir: Path, unprivileged: Dropped) -> None:
    (shared_dir / "secret").mkdir(mode=0o700)
    if os.geteuid() != 0:
        (shared_dir / "secret").chmod(0)
    with unprivileged(), pytest.raises(SourceUnreadable) as caught:
        scan(shared_dir)
    assert caught.value.path == os.fsencode(shared_dir / "secret")


def test_an_unreadable_file_is_found_when_it_is_read(shared_dir: Path, unprivileged: Dropped) -> None:
    (shared_dir / "secret").write_bytes(b"x")
    (shared_dir / "secret").chmod(0)
    with unprivileged():
        node = scan(shared_dir)["/secret"]
        assert isinstance(node, File)
        with pytest.raises(SourceUnreadable) as caught:
            node.content.read_at(0, 1)
    assert caught.value.path == os.fsencode(shared_dir / "secret")


def test_an_unreadable_xattr_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"")

    def denied(path: bytes, name: str, *, follow_symlinks: bool = True) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks=True: ["user.x"])
    monkeypatch.setattr(os, "getxattr", denied)
    with pytest.raises(SourceUnreadable, match=r"user\.x"):
        scan(tmp_path)


def test_a_file_that_vanishes_during_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").symlink_to("x")
    real = os.readlink

    def late(*args: object, **kwargs: object) -> object:
        (tmp_path / "f").unlink()
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "readlink", late)
    with pytest.raises(SourceChanged) as caught:
        scan(tmp_path, engine=get_engine("pure"))
    assert caught.value.path == os.fsencode(tmp_path / "f")


def test_a_directory_that_is_replaced_by_a_link_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t" / "d").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    real = directory_module.open_host

    def swapped(path: bytes, flags: int) -> int:
        if path.endswith(b"/d"):
            (tmp_path / "t" / "d").rmdir()
            (tmp_path / "t" / "d").symlink_to(tmp_path / "elsewhere")
        return real(path, flags)

    monkeypatch.setattr(directory_module, "open_host", swapped)
    with pytest.raises(SourceChanged):
        scan(tmp_path / "t", engine=get_engine("pure"))


def test_cancellation(tmp_path: Path) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        scan(tmp_path, control=control)


def test_systems_without_descriptors_and_xattrs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"1")
    (tmp_path / "l").symlink_to("d")
    monkeypatch.delattr(os, "listxattr")
    monkeypatch.setattr(os, "supports_fd", set())
    tree = scan(tmp_path)
    assert [path for path, _ in tree.walk()] == [b"/", b"/d", b"/d/f", b"/l"]


def test_links_to_directories_do_not_multiply_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        (tmp_path / f"d{number}").mkdir()
        for name in ("a", "b"):
            (tmp_path / f"d{number}" / name).symlink_to(f"../d{number + 1}" if number < 11 else "/etc/hostname")
    monkeypatch.setattr(Limits, "default", lambda: Limits(max_entries=1000))
    with pytest.raises(LimitExceeded, match="max_entries"):
        scan(tmp_path, dereference=True)
