from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, Segment
from imgcore.errors import (
    Cancelled,
    Corrupt,
    LimitExceeded,
    NotRepresentable,
    OutputError,
    TargetExists,
    Unsupported,
)
from imgcore.events import Advanced, Control, Event, Finished, Planned, Warned
from imgcore.hosts import scan, unpack
from imgcore.limits import Limits
from imgcore.model import (
    Dir,
    Meta,
    Socket,
    Symlink,
    Tree,
    Whiteout,
    char_device,
    diff,
    directory,
    file,
    symlink,
    tree,
)
from imgcore.testing.strategies import HolesBlob

Dropped = Callable[[], contextlib.AbstractContextManager[None]]
JOBS = pytest.mark.parametrize("jobs", [1, 3])


class BrokenBlob:
    """Content of a corrupt image: its first half can be read."""

    size = 3 << 20

    def read_at(self, at: int, size: int) -> bytes:
        if at + size > 1 << 20:
            raise Corrupt("broken block", offset=77)
        return bytes(size)

    def segments(self) -> Iterator[Segment]:
        yield Segment(0, self.size, False)


def mine(mode: int = 0o755) -> Meta:
    return Meta(mode, os.geteuid(), os.getegid())


@JOBS
def test_a_tree_comes_back(tmp_path: Path, jobs: int) -> None:
    twice = file(b"linked", mode=0o640, mtime_ns=11 * 10**9)
    source = tree(
        {
            "/usr/bin/tool": file(b"x" * 3_000_000, mode=0o755, mtime_ns=1_600_000_000_123_456_789),
            "/usr/bin/link": symlink("tool", mtime_ns=-5 * 10**9),
            "/etc/a": twice,
            "/var/deep/er/b": twice,
            "/usr/empty/": b"",
            "/locked": directory({b"f": file(b"in a directory without write permission")}, mode=0o555, mtime_ns=7),
            "/holes": file(HolesBlob([b"start", 1 << 20, b"end", 1 << 16])),
            "/sock": Socket(Meta(0o600)),
        }
    )
    report = unpack(source, tmp_path / "out", owner="keep" if os.geteuid() == 0 else "me", jobs=jobs)
    kinds = {change.kind for change in diff(source, scan(tmp_path / "out"))}
    assert kinds <= ({"owner"} if os.geteuid() else set())
    assert (report.files, report.hard_links, report.symlinks, report.others, report.skipped) == (4, 1, 1, 1, 0)
    found = os.stat(tmp_path / "out" / "holes")
    assert found.st_blocks * 512 < found.st_size


@JOBS
def test_events(tmp_path: Path, jobs: int) -> None:
    events: list[Event] = []
    unpack(tree({"/a": b"12345", "/b": b"678"}), tmp_path / "out", control=Control(events.append), jobs=jobs)
    assert events[0] == Planned("unpack", 2, 8)
    assert isinstance(events[-1], Finished) and events[-1].summary["bytes"] == 8
    assert [event.bytes for event in events if isinstance(event, Advanced)] == [5, 8]


# Hostile targets


def test_a_link_in_the_place_of_a_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "etc").symlink_to(tmp_path / "outside")
    for force in (False, True):
        with pytest.raises(OutputError) as caught:
            unpack(tree({"/etc/passwd": b"evil"}), tmp_path / "out", force=force)
        assert caught.value.path == os.fsencode(tmp_path / "out" / "etc")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_link_in_the_place_of_a_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "f").symlink_to(tmp_path / "outside")
    with pytest.raises(TargetExists):
        unpack(tree({"/f": b"evil"}), tmp_path / "out")
    unpack(tree({"/f": b"evil"}), tmp_path / "out", force=True)
    assert (tmp_path / "outside").read_bytes() == b"mine"
    assert not (tmp_path / "out" / "f").is_symlink()
    assert (tmp_path / "out" / "f").read_bytes() == b"evil"


def test_a_second_name_of_an_existing_file_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    os.link(tmp_path / "outside", tmp_path / "out" / "f")
    unpack(tree({"/f": b"evil"}), tmp_path / "out", force=True)
    assert (tmp_path / "outside").read_bytes() == b"mine"


def test_a_directory_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "out" / "f").mkdir(parents=True)
    with pytest.raises(OutputError):
        unpack(tree({"/f": b"x"}), tmp_path / "out", force=True)


def test_a_directory_that_becomes_a_link_while_we_work(tmp_path: Path) -> None:
    """Whoever may write to the target swaps a directory that we made; what we do next must not leave the target."""
    (tmp_path / "outside").mkdir(mode=0o755)
    out = tmp_path / "out"

    def swap(event: Event) -> None:
        if isinstance(event, Advanced) and (out / "a").is_dir() and not (out / "a").is_symlink():
            (out / "a").rename(out / "moved")
            (out / "a").symlink_to(tmp_path / "outside")

    shared = file(b"2")
    source = tree({"/a/one": b"1", "/a/two": shared, "/b/deep/er/three": b"3", "/b/link": shared})
    with pytest.raises(OutputError):
        unpack(source, out, control=Control(swap))
    assert list((tmp_path / "outside").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o755


def test_existing_directories_are_used(tmp_path: Path) -> None:
    (tmp_path / "out" / "usr").mkdir(parents=True)
    (tmp_path / "out" / "usr" / "theirs").write_bytes(b"1")
    (tmp_path / "out").chmod(0o1777)
    unpack(tree({"/usr/ours": b"2"}), tmp_path / "out")
    assert (tmp_path / "out" / "usr" / "theirs").read_bytes() == b"1"
    assert (tmp_path / "out" / "usr" / "ours").read_bytes() == b"2"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o1777  # a target that held something keeps its own


def test_no_parent_directory(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        unpack(tree({}), tmp_path / "none" / "out")


# Hostile trees


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"/etc/passwd", b"nul\0"])
def test_impossible_names_are_refused_before_anything_is_made(tmp_path: Path, name: bytes) -> None:
    source = Tree(Dir(children={b"aaa": file(b"1"), b"d": Dir(children={name: file(b"evil")})}))
    with pytest.raises(NotRepresentable):
        unpack(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_whiteouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotRepresentable):
        unpack(Tree(Dir(children={b"w": Whiteout()})), tmp_path / "out")


@JOBS
def test_a_file_that_cannot_be_read_leaves_no_part_of_itself(tmp_path: Path, jobs: int) -> None:
    broken = file(BrokenBlob())
    source = tree({"/a/first": b"1", "/a/other": broken, "/b/second": broken, "/z": b"2"})
    with pytest.raises(Corrupt) as caught:
        unpack(source, tmp_path / "out", jobs=jobs)
    assert (caught.value.path, caught.value.offset) == (b"/a/other", 77)
    assert caught.value.hint is not None and "out" in caught.value.hint
    assert not (tmp_path / "out" / "a" / "other").exists()
    assert not (tmp_path / "out" / "b" / "second").exists()
    assert (tmp_path / "out" / "a" / "first").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (Limits(max_file_size=4), "max_file_size"),
        (Limits(max_total_size=9), "max_total_size"),
        (Limits(max_entries=2), "max_entries"),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, field: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        unpack(tree({"/a": b"12345", "/b": b"12345"}), tmp_path / "out", limits=limits)
    assert caught.value.field == field
    assert not (tmp_path / "out").exists()


@JOBS
def test_cancelling(tmp_path: Path, jobs: int) -> None:
    control = Control(lambda event: control.cancel() if isinstance(event, Advanced) else None)
    source = tree({f"/{number:03}": b"x" for number in range(300)})
    with pytest.raises(Cancelled):
        unpack(source, tmp_path / "out", control=control, jobs=jobs)
    left = list((tmp_path / "out").iterdir())
    assert len(left) < 300
    assert all(path.read_bytes() == b"x" for path in left)  # whole, or not there


def test_a_tree_deeper_than_path_max_and_than_our_descriptors(tmp_path: Path) -> None:
    name, depth = b"n" * 100, 200
    node = Dir(mine(0o700), {b"leaf": file(b"deep", mode=0o600, uid=os.geteuid(), gid=os.getegid())})
    for _ in range(depth):
        node = Dir(mine(0o700), {name: node, b"z": file(b"after", uid=os.geteuid(), gid=os.getegid())})
    unpack(Tree(node), tmp_path / "out")
    assert list(diff(Tree(node), scan(tmp_path / "out"))) == []


# Metadata


def test_setuid_is_dropped_without_ownership(tmp_path: Path) -> None:
    source = tree({"/f": file(b"", mode=0o6755), "/d": directory(mode=0o3777)})
    unpack(source, tmp_path / "out", owner="me")
    assert stat.S_IMODE((tmp_path / "out" / "f").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "out" / "d").stat().st_mode) == 0o1777


def test_ownership_modes_and_capabilities_are_kept_for_root(tmp_path: Path, needs_root: None, needs_xattrs: None) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    xattrs = {b"security.capability": capability, b"user.x": b"1"}
    source = tree(
        {
            "/f": file(b"data", mode=0o4755, uid=12, gid=34, xattrs=xattrs),
            "/readonly": file(b"data", mode=0o000, uid=12, gid=34, xattrs={b"user.x": b"2"}),
            "/d": directory(mode=0o2700, uid=56, gid=78, xattrs={b"trusted.overlay.opaque": b"y"}),
            "/l": symlink("f", uid=9, gid=8),
            "/null": char_device(1, 3, mode=0o666, uid=1, gid=2),
        }
    )
    unpack(source, tmp_path / "out")
    assert list(diff(source, scan(tmp_path / "out"))) == []


def test_unprivileged(shared_dir: Path, unprivileged: Dropped) -> None:
    events: list[Event] = []
    source = tree(
        {
            "/null": char_device(1, 3),
            "/f": file(b"1", mode=0o4755, xattrs={b"security.capability": bytes.fromhex("01" + 19 * "00"), b"trusted.t": b"1"}),
            "/ro": directory({b"x": file(b"2", mode=0o444)}, mode=0o555),
        }
    )
    with unprivileged():
        report = unpack(source, shared_dir / "out", control=Control(events.append))
        (shared_dir / "out" / "ro").chmod(0o755)
    assert (report.skipped, report.unset_xattrs, report.files) == (1, 2, 2)
    warned = [event for event in events if isinstance(event, Warned)]
    assert [event.path for event in warned if "device" in event.message] == [b"/null"]
    assert len(warned) == 3
    assert stat.S_IMODE((shared_dir / "out" / "f").stat().st_mode) == 0o755
    with unprivileged(), pytest.raises(OutputError):
        unpack(tree({"/f": file(b"", uid=0)}), shared_dir / "kept", owner="keep")
    with unprivileged(), pytest.raises(OutputError):
        unpack(tree({"/null": char_device(1, 3)}), shared_dir / "devices", devices=True)


def test_xattrs_that_cannot_be_set_are_fatal(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"foreign\.x"):
        unpack(tree({"/f": file(b"", xattrs={b"foreign.x": b"1"})}), tmp_path / "out")
    assert not (tmp_path / "out" / "f").exists()
    unpack(tree({"/f": file(b"", xattrs={b"foreign.x": b"1"})}), tmp_path / "out", xattrs=False)


def test_xattrs_that_no_system_could_set_are_told(tmp_path: Path) -> None:
    events: list[Event] = []
    link = Symlink(Meta(0o777, xattrs={b"user.x": b"1"}), b"target")
    report = unpack(tree({"/l": link}), tmp_path / "out", control=Control(events.append))
    assert report.unset_xattrs == 1
    assert [event.path for event in events if isinstance(event, Warned)] == [os.fsencode(tmp_path / "out" / "l")]


def test_capabilities_are_dropped_without_ownership(tmp_path: Path, needs_root: None) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    source = tree({"/f": file(b"", xattrs={b"security.capability": capability})})
    assert unpack(source, tmp_path / "out", owner="me").unset_xattrs == 1
    assert os.listxattr(tmp_path / "out" / "f") == []


def test_devices_are_left_out_when_asked(tmp_path: Path) -> None:
    report = unpack(tree({"/null": char_device(1, 3), "/f": b""}), tmp_path / "out", devices=False)
    assert report.skipped == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["f"]


def test_umask_does_not_matter(tmp_path: Path) -> None:
    old = os.umask(0o777)
    try:
        unpack(tree({"/d/f": file(b"1", mode=0o666)}), tmp_path / "out")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out" / "d" / "f").stat().st_mode) == 0o666


def test_systems_without_openat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(Unsupported):
        unpack(tree({}), tmp_path / "out")


def test_bad_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs"):
        unpack(tree({}), tmp_path / "out", jobs=0)
    with pytest.raises(ValueError, match="owner"):
        unpack(tree({}), tmp_path / "out", owner="you")  # type: ignore[arg-type]


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    unpack(tree({f"/d{n}/e/f": BytesBlob(b"x") for n in range(20)}), tmp_path / "out", jobs=2)
    with pytest.raises(Corrupt):
        unpack(tree({"/a/b": file(BrokenBlob()), "/c/d": b"1"}), tmp_path / "broken", jobs=2)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("force", [False, True])
def test_directories_that_exist_keep_their_metadata(tmp_path: Path, force: bool) -> None:
    made = tree({"/usr/bin/tool": b"x", "/tmp/": directory(mode=0o755, mtime_ns=5 * 10**9)})
    (tmp_path / "usr").mkdir(mode=0o711)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    os.utime(tmp_path / "tmp", ns=(0, 7 * 10**9))
    unpack(made, tmp_path, force=force)
    assert stat.S_IMODE((tmp_path / "usr").stat().st_mode) == (0o755 if force else 0o711)
    assert stat.S_IMODE((tmp_path / "tmp").stat().st_mode) == (0o755 if force else 0o1777)
    assert (tmp_path / "tmp").stat().st_mtime_ns == (5 if force else 7) * 10**9
    assert stat.S_IMODE((tmp_path / "usr" / "bin").stat().st_mode) == 0o755  # a new one gets the tree's
