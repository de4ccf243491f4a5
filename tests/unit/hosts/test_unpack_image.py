"""Unpacking an image: the native engine and Python make the same of it, good or hostile, and leave the same."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

import imgcore
from imgcore.blob import FileBlob, SliceBlob
from imgcore.engine import native_available
from imgcore.errors import Cancelled, Corrupt, ImgcoreError, LimitExceeded, OutputError, TargetExists
from imgcore.events import Advanced, Control, Event, Warned
from imgcore.formats.squashfs.layout import BLOCK_RAW, NO_FRAGMENT
from imgcore.formats.squashfs.reader import open_image
from imgcore.hosts import scan, unpack
from imgcore.hosts.unpacking import UnpackReport
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Pipe, Symlink, Tree, char_device, diff, directory, file, symlink, tree
from imgcore.testing.strategies import HolesBlob
from tests.kit.squashfs_images import Builder

Engine = Literal["native", "pure"]

pytestmark = pytest.mark.skipif(not native_available()[0], reason="the native engine is not here")
BOTH = pytest.mark.parametrize("engine", ["native", "pure"])
ROOT = os.geteuid() == 0


def ids() -> dict[str, int]:
    return {"uid": os.geteuid(), "gid": os.getegid()}


def write(path: Path, source: Tree, compression: str = "zstd", **options: object) -> Path:
    imgcore.pack(source, path, options=imgcore.squashfs.Options(compression=compression, **options), force=True)  # type: ignore[arg-type]
    return path


def unpack_image(path: Path, out: Path, engine: Engine, **options: object) -> UnpackReport:
    with open_image(FileBlob(path)) as image:
        return unpack(image.tree, out, engine=engine, **options)  # type: ignore[arg-type]


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each run of the native engine: so that a test of it cannot pass without it."""
    from imgcore.engine.native_unpack import NativeUnpack

    runs: list[str] = []
    before = NativeUnpack.close

    def close(self: NativeUnpack) -> None:
        runs.append("native")
        before(self)

    monkeypatch.setattr(NativeUnpack, "close", close)
    return runs


def rich_tree() -> Tree:
    """Return a tree with one of everything."""
    noise = os.urandom(1 << 16)
    twice = file(b"linked", mode=0o640, mtime_ns=11 * 10**9, **ids())
    link = Symlink(Meta(0o777, **ids()), b"twice")
    deep: Node = file(b"deep", **ids())
    for _ in range(90):
        deep = Dir(Meta(0o755, **ids()), {b"d": deep, b"z": file(b"after", **ids())})
    files: dict[str, Node] = {
        "/bin/tool": file(noise * 90 + b"tail", mode=0o4755, mtime_ns=1_600_000_000 * 10**9, **ids()),
        "/bin/link": symlink("tool", mtime_ns=5 * 10**9, **ids()),
        "/bin/block": file(noise[:4096] * 32, **ids()),
        "/etc/a": twice,
        "/var/lib/b": twice,
        "/var/l1": link,
        "/var/l2": link,
        "/locked": directory({b"f": file(b"in it", **ids())}, mode=0o555, mtime_ns=7 * 10**9, **ids()),
        "/holes": file(HolesBlob([b"start", 9 << 20, b"end", 1 << 20]), **ids()),
        "/all-hole": file(HolesBlob([5 << 20]), **ids()),
        "/empty": file(b"", mode=0o000, **ids()),
        "/pipe": Pipe(Meta(0o600, **ids())),
        "/deep": deep,
        "/dir/empty/": directory(mode=0o711, **ids()),
    }
    for number in range(3000):
        files[f"/many/{number % 70:02}/{number:04}"] = file(b"%d" % number * (number % 900), mtime_ns=number * 10**9, **ids())
    return tree(files)


@pytest.mark.parametrize("compression", ["zstd", "gzip", "xz", "lz4", "none"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_everything_comes_back(tmp_path: Path, compression: str, jobs: int, used: list[str]) -> None:
    source = rich_tree()
    image = write(tmp_path / "i.raw", source, compression)
    owner = "keep" if ROOT else "me"
    reports = [unpack_image(image, tmp_path / engine, engine, jobs=jobs, owner=owner) for engine in ("native", "pure")]  # type: ignore[arg-type]
    assert used == ["native"]
    assert reports[0] == reports[1]
    assert list(diff(scan(tmp_path / "native"), scan(tmp_path / "pure"))) == []
    with open_image(FileBlob(image)) as opened:
        kinds = {change.kind for change in diff(opened.tree, scan(tmp_path / "native"))}
    assert kinds <= (set() if ROOT else {"mode"})  # setuid is dropped
    for name in ("holes", "all-hole"):
        found = [os.stat(tmp_path / engine / name) for engine in ("native", "pure")]
        assert found[0].st_blocks == found[1].st_blocks < found[0].st_size // 512


@BOTH
def test_an_image_inside_of_a_file(tmp_path: Path, engine: Engine) -> None:
    image = write(tmp_path / "i.raw", tree({"/d/f": b"x" * 5000}))
    (tmp_path / "disk").write_bytes(b"\xff" * 12345 + image.read_bytes() + b"\xff" * 99)
    with FileBlob(tmp_path / "disk") as disk:
        blob = SliceBlob(disk, 12345, image.stat().st_size)
        unpack(open_image(blob).tree, tmp_path / "out", engine=engine)
    assert (tmp_path / "out/d/f").read_bytes() == b"x" * 5000


@BOTH
def test_metadata(tmp_path: Path, engine: Engine, needs_root: None, needs_xattrs: None, used: list[str]) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    xattrs = {b"security.capability": capability, b"user.x": b"1", b"user.empty": b""}
    source = tree(
        {
            "/f": file(b"data", mode=0o4755, uid=12, gid=34, xattrs=xattrs),
            "/g": file(b"more", mode=0o000, uid=0xFFFFFFFE, gid=34, xattrs={b"user.x": b"2"}),
            "/d": directory({b"same": file(b"", xattrs=xattrs)}, mode=0o2700, uid=5, gid=7, xattrs={b"trusted.t": b"y"}),
            "/l": symlink("f", uid=9, gid=8),
            "/null": char_device(1, 3, mode=0o666, uid=1, gid=2),
        }
    )
    image = write(tmp_path / "i.raw", source)
    unpack_image(image, tmp_path / "out", engine)
    assert list(diff(source, scan(tmp_path / "out"))) == []
    report = unpack_image(image, tmp_path / "me", engine, owner="me", devices=False)
    assert (report.unset_xattrs, report.skipped) == (2, 1)
    assert stat.S_IMODE((tmp_path / "me/f").stat().st_mode) == 0o755
    assert sorted(os.listxattr(tmp_path / "me/f")) == ["user.empty", "user.x"]
    assert unpack_image(image, tmp_path / "bare", engine, xattrs=False).unset_xattrs == 0
    assert os.listxattr(tmp_path / "bare/f") == []


@BOTH
def test_unprivileged(
    shared_dir: Path, tmp_path: Path, engine: Engine, unprivileged: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    events: list[Event] = []
    source = tree({"/f": file(b"1", mode=0o4755, xattrs={b"trusted.t": b"1"}), "/ro": directory({b"x": file(b"")}, mode=0o555)})
    write(shared_dir / "i.raw", source).chmod(0o644)
    unpack_image(shared_dir / "i.raw", tmp_path / "warm", engine)  # imports what it needs
    with unprivileged():
        report = unpack_image(shared_dir / "i.raw", shared_dir / "out", engine, control=Control(events.append))
        (shared_dir / "out/ro").chmod(0o755)
    assert (report.unset_xattrs, report.files) == (1, 2)
    assert [event.path for event in events if isinstance(event, Warned)] == [os.fsencode(shared_dir / "out/f")]
    with unprivileged(), pytest.raises(OutputError, match="set owner"):
        unpack_image(shared_dir / "i.raw", shared_dir / "kept", engine, owner="keep")


# What is there already


@BOTH
def test_what_exists_is_kept_or_replaced(tmp_path: Path, engine: Engine) -> None:
    image = write(tmp_path / "i.raw", tree({"/usr/ours": b"2", "/f": file(b"new"), "/l": symlink("f"), "/usr/d/x": b""}))
    (tmp_path / "mine").write_bytes(b"mine")
    out = tmp_path / "out"
    (out / "usr").mkdir(parents=True, mode=0o711)
    (out / "f").symlink_to(tmp_path / "mine")
    with pytest.raises(TargetExists) as caught:
        unpack_image(image, out, engine)
    assert caught.value.path == os.fsencode(out / "f")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    (out / "f").unlink()
    os.link(tmp_path / "mine", out / "f")
    (out / "usr/ours").unlink(missing_ok=True)
    (out / "l").unlink(missing_ok=True)
    unpack_image(image, out, engine, force=True)
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert (out / "f").read_bytes() == b"new"
    assert os.readlink(out / "l") == "f"
    assert stat.S_IMODE((out / "usr").stat().st_mode) == 0o755
    with pytest.raises(TargetExists):
        unpack_image(image, out, engine)
    assert (out / "f").read_bytes() == b"new"


@BOTH
def test_existing_directories_keep_their_metadata(tmp_path: Path, engine: Engine) -> None:
    image = write(tmp_path / "i.raw", tree({"/usr/bin/tool": b"x"}))
    out = tmp_path / "out"
    (out / "usr").mkdir(parents=True)
    (out / "usr").chmod(0o711)
    out.chmod(0o1777)
    unpack_image(image, out, engine)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (out, out / "usr", out / "usr/bin")] == [0o1777, 0o711, 0o755]


@BOTH
@pytest.mark.parametrize("force", [False, True])
def test_a_link_in_the_place_of_a_directory(tmp_path: Path, engine: Engine, force: bool) -> None:
    image = write(tmp_path / "i.raw", tree({"/etc/passwd": b"evil"}))
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/etc").symlink_to(tmp_path / "outside")
    with pytest.raises(OutputError, match="not a directory") as caught:
        unpack_image(image, tmp_path / "out", engine, force=force)
    assert caught.value.path == os.fsencode(tmp_path / "out/etc")
    assert list((tmp_path / "outside").iterdir()) == []


@BOTH
def test_directories_swapped_for_links_meanwhile(tmp_path: Path, engine: Engine) -> None:
    """Somebody who may write to the target moves directories away and puts links in their places, all the time."""
    files = {f"/a{number % 40}/b/c/{number}": b"x" * 100 for number in range(4000)}
    image = write(tmp_path / "i.raw", tree(files))  # type: ignore[arg-type]
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir(mode=0o755)
    for name in ("b", "b/c"):
        (outside / name).mkdir()
    before = {path: os.stat(path) for path in (outside, outside / "b", outside / "b/c")}
    stop = threading.Event()

    def swap() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            path = out / f"a{turn % 40}"
            with contextlib.suppress(OSError):
                path.rename(out / f"moved{turn}")
                path.symlink_to(outside)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for turn in range(3):
            with contextlib.suppress(ImgcoreError):
                unpack_image(image, out, engine, jobs=2, force=turn > 0)
    finally:
        stop.set()
        thread.join()
    for path, found in before.items():
        after = os.stat(path)
        assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (found.st_mode, found.st_uid, found.st_mtime_ns)
    assert list((outside / "b/c").iterdir()) == []


# Hostile images


def one_file(**values: object) -> bytes:
    """Return an image with /a, which is sound, and /f, of which something is not."""
    builder = Builder()
    data = os.urandom(3 * builder.block_size)
    whole = builder.fragment(b"fragment" * 10)
    entries = [builder.file(b"a", 2, b"sound"), builder.file(b"f", 3, **({"data": data} | values))]  # type: ignore[arg-type]
    assert whole == 0
    return builder.build(builder.directory(b"", 1, entries))


BLOCK = 4096
CASES = {
    "short block": {"words": [BLOCK | BLOCK_RAW, (BLOCK - 1) | BLOCK_RAW, BLOCK | BLOCK_RAW]},
    "not what the codec wrote": {"words": [BLOCK - 7, BLOCK | BLOCK_RAW, BLOCK | BLOCK_RAW]},
    "longer than a block": {"words": [(BLOCK + 1) | BLOCK_RAW, BLOCK | BLOCK_RAW, BLOCK | BLOCK_RAW]},
    "unknown bits": {"words": [BLOCK | BLOCK_RAW | 1 << 25, BLOCK | BLOCK_RAW, BLOCK | BLOCK_RAW]},
    "outside of the image": {"start": 0x7FFFFFFF},
    "fragment that does not exist": {"data": b"", "size": 5, "fragment": 77},
    "tail beyond its fragment": {"data": b"", "size": 50, "fragment": 0, "offset": 40},
    "tail far beyond": {"data": b"", "size": 50, "fragment": 0, "offset": 0xFFFFFFF0},
    "fragment without a tail": {"data": b"", "words": [0], "size": BLOCK, "fragment": 0},
}


@pytest.mark.parametrize("case", CASES)
def test_hostile_numbers(tmp_path: Path, case: str, used: list[str]) -> None:
    values = dict(CASES[case])
    builder = Builder()
    assert builder.block_size == BLOCK
    (tmp_path / "i.raw").write_bytes(one_file(**values))
    errors = []
    for engine in ("native", "pure"):
        out = tmp_path / engine
        with pytest.raises(Corrupt) as caught:
            unpack_image(tmp_path / "i.raw", out, engine)  # type: ignore[arg-type]
        assert caught.value.path == b"/f"
        assert not (out / "f").exists()
        assert not (out / "a").exists() or (out / "a").read_bytes() == b"sound"
        errors.append(str(caught.value))
    assert used == ["native"]
    assert errors[0] == errors[1]


@BOTH
@pytest.mark.parametrize("name", [b"..", b".", b"a/b", b"/etc", b"nul\0"])
def test_hostile_names(tmp_path: Path, engine: Engine, name: bytes) -> None:
    builder = Builder()
    inner = builder.directory(b"d", 3, [builder.file(name, 2, b"evil")])
    (tmp_path / "i.raw").write_bytes(builder.build(builder.directory(b"", 1, [inner])))
    with pytest.raises(Corrupt):
        unpack_image(tmp_path / "i.raw", tmp_path / "out", engine)
    assert not (tmp_path / "out").exists()


@BOTH
def test_limits(tmp_path: Path, engine: Engine) -> None:
    image = write(tmp_path / "i.raw", tree({"/a": b"12345", "/d/b": b"12345"}))
    for limits, field in (
        (Limits(max_file_size=4), "max_file_size"),
        (Limits(max_total_size=9), "max_total_size"),
        (Limits(max_entries=3), "max_entries"),
    ):
        with pytest.raises(LimitExceeded) as caught:
            unpack_image(image, tmp_path / "out", engine, limits=limits)
        assert caught.value.field == field
        assert not (tmp_path / "out").exists()
    for limits in (Limits(max_depth=0), Limits(max_path=3), Limits(max_entries=2)):
        with open_image(FileBlob(image), limits) as opened, pytest.raises(LimitExceeded):
            unpack(opened.tree, tmp_path / "out", engine=engine, limits=Limits())


# Trouble


def whole_or_absent(out: Path, source: Tree) -> int:
    """Return how many files are there; each has to be whole."""
    count = 0
    for path, node in source.walk():
        found = out / os.fsdecode(path[1:])
        if isinstance(node, File) and found.exists():
            assert found.read_bytes() == node.content.read_at(0, node.content.size)
            count += 1
    return count


@BOTH
def test_cancelling(tmp_path: Path, engine: Engine) -> None:
    data = os.urandom(1 << 20) * 24
    source = tree({f"/{number:03}": data for number in range(20)})
    image = write(tmp_path / "i.raw", source, "xz")
    control = Control(lambda event: control.cancel() if isinstance(event, Advanced) else None)
    threads = threading.active_count()
    with pytest.raises(Cancelled) as caught:
        unpack_image(image, tmp_path / "out", engine, control=control, jobs=2)
    assert caught.value.hint is not None and "out" in caught.value.hint
    assert threading.active_count() == threads
    assert 0 < whole_or_absent(tmp_path / "out", source) < 20


@pytest.fixture
def small_file_system(tmp_path: Path, needs_root: None) -> Iterator[Path]:
    """Return a mounted file system of 4 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@BOTH
def test_a_full_file_system(tmp_path: Path, engine: Engine, small_file_system: Path) -> None:
    source = tree({f"/d{number % 3}/{number:03}": os.urandom(200_000) for number in range(40)} | {"/d2/z": os.urandom(5 << 20)})
    image = write(tmp_path / "i.raw", source)
    with pytest.raises(OutputError) as caught:
        unpack_image(image, small_file_system / "out", engine, jobs=2)
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert caught.value.hint is not None
    assert 0 < whole_or_absent(small_file_system / "out", source) < 41


@BOTH
def test_a_limit_on_the_size_of_files(tmp_path: Path, engine: Engine) -> None:
    source = tree({"/a": b"small", "/big": os.urandom(300_000)})
    image = write(tmp_path / "i.raw", source)
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
from imgcore.errors import OutputError
import imgcore
try:
    imgcore.unpack({str(image)!r}, {str(tmp_path / "out")!r}, engine={engine!r})
except OutputError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.curdir}
    )
    assert os.strerror(errno.EFBIG) in done.stdout and "big" in done.stdout, done.stderr
    assert whole_or_absent(tmp_path / "out", source) == 1


@BOTH
def test_few_descriptors_and_none_left(tmp_path: Path, engine: Engine) -> None:
    source = tree({f"/d{n}/{m}/f{k}": b"%d" % k for n in range(30) for m in range(20) for k in range(2)})
    image = write(tmp_path / "i.raw", source)
    unpack_image(image, tmp_path / "first", engine)
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 150, hard))
    try:
        unpack_image(image, tmp_path / "out", engine, jobs=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert whole_or_absent(tmp_path / "out", source) == 1200
    (tmp_path / "half/d7/3").mkdir(parents=True)
    (tmp_path / "half/d7/3/f1").write_bytes(b"in the way")
    with pytest.raises(TargetExists):
        unpack_image(image, tmp_path / "half", engine, jobs=2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tree_that_was_changed_goes_by_nodes(tmp_path: Path, used: list[str]) -> None:
    image = write(tmp_path / "i.raw", tree({"/a": b"1", "/b": b"2"}))
    imgcore.unpack(image, tmp_path / "out", only=["/a"], engine="native")
    assert used == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_no_fragment_is_the_same_everywhere() -> None:
    from imgcore.engine import stored

    assert stored.NO_FRAGMENT == NO_FRAGMENT
