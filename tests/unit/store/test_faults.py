"""A store in a directory under processes that race, die, prune and put other things in the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from imgcore.errors import OutputError
from imgcore.formats.squashfs import Options
from imgcore.store import Kept, LocalStore
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, EngineName, write, write_report

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
KEY = bytes(range(32))

BUILD = """
import random, sys
from imgcore.formats.squashfs import Options
from imgcore.model import tree
from imgcore.store import LocalStore
from tests.kit.squashfs_io import write
print("ready", flush=True)
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    text = random.Random(seed)
    store = LocalStore(sys.argv[1])
    files = {f"/{number}": text.randbytes(300).hex().encode() * 40 for number in range(30)}
    image = write(tree(files), Options(block_size=4096, compression="gzip", jobs=2, store=store), "pure")
    store.close()
    assert store.warnings() == [], store.warnings()
    assert image == write(tree(files), Options(block_size=4096, compression="gzip"), "pure")
"""


def builder(cache: Path, first: int, last: int) -> subprocess.Popen[bytes]:
    """Start a process that packs the trees of some seeds with a cache, each compared with an image made without."""
    command = [sys.executable, "-c", BUILD, str(cache), str(first), str(last)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n", process.communicate()
    return process


def finish(process: subprocess.Popen[bytes]) -> None:
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, b"", b"")


def objects(cache: Path) -> list[Path]:
    return sorted(path for path in (cache / "objects").rglob("*") if path.is_file())


def test_builds_share_a_directory(tmp_path: Path) -> None:
    """The directory is made by whoever comes first; all write the same objects."""
    for process in [builder(tmp_path / "c", 0, 3) for _ in range(3)]:
        finish(process)
    info = LocalStore(tmp_path / "c").info()
    assert info.objects > 0 and info.unfinished == 0


@pytest.mark.parametrize("left", [b"CACHEDIR.TAG.7-1-aa.part", b"imgcore-cache.7-2-bb.part"])
def test_a_directory_that_another_build_is_making(tmp_path: Path, left: bytes) -> None:
    """Or was making when it was killed."""
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / os.fsdecode(left)).write_bytes(b"")
    store = LocalStore(tmp_path / "c")
    store.put(KEY, 100, Kept(False, b""))
    assert LocalStore(tmp_path / "c", create=False).get(KEY, 100) == Kept(False, b"")


def test_builds_that_are_killed(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    chance = random.Random()
    for _ in range(6):
        process = builder(cache, 0, 1000)
        time.sleep(chance.random() * 0.5)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(builder(cache, 0, 2))  # no warning: nothing is damaged, whatever was cut short
    store = LocalStore(cache)
    for path in objects(cache):
        if path.name.endswith(".part"):
            os.utime(path, (5, 5))
    store.prune()
    assert store.info().unfinished == 0
    assert not [path for path in objects(cache) if path.name.endswith(".part")]


def test_pruning_beside_a_build(tmp_path: Path) -> None:
    cache = tmp_path / "c"
    process = builder(cache, 0, 6)
    removed = 0
    while process.poll() is None:
        if (cache / "imgcore-cache").exists():
            removed += LocalStore(cache).prune(limit=5000).objects
    finish(process)
    assert removed > 0


def test_a_limit_that_is_much_too_small(tmp_path: Path) -> None:
    plain = write(everything(), Options(block_size=4096))
    for _ in range(2):
        store = LocalStore(tmp_path / "c", limit=1000)
        assert write(everything(), Options(block_size=4096, store=store)) == plain
        store.close()
        assert store.info().bytes <= 1000 and store.warnings() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_things_in_the_way(tmp_path: Path, engine: EngineName) -> None:
    """Every object in turn a directory, a FIFO, a link, someone's file, and every second shard a file."""
    plain = write(everything(), Options(block_size=4096))
    cache = tmp_path / "c"
    write(everything(), Options(block_size=4096, store=LocalStore(cache)))
    for number, path in enumerate(objects(cache)):
        path.unlink()
        if number % 5 == 0:
            path.mkdir()
            (path / "mine").write_bytes(b"mine")
        elif number % 5 == 1:
            os.mkfifo(path)
        elif number % 5 == 2:
            path.symlink_to("/dev/zero")
        elif number % 5 == 3:
            path.write_bytes(b"mine" * 10_000)
        elif not list(path.parent.iterdir()):
            path.parent.rmdir()
            path.parent.write_bytes(b"mine")
    store = LocalStore(cache)
    image, report = write_report(everything(), Options(block_size=4096, store=store), engine)
    assert image == plain and report.recalled == 0
    assert [warning.partition(": ")[2].partition(" ")[2] for warning in store.warnings()] == [
        "damaged objects were made anew",
        "objects could not be kept: something else has their names",
    ]
    assert (tmp_path / "c" / "objects").is_dir()


def test_files_of_others_are_not_pruned(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "c")
    store.put(KEY, 100, Kept(True, b"short"))
    (path,) = objects(tmp_path / "c")
    mine = [path.parent / "README", path.parent / f"{path.name}.bak", path.parent.parent / "notes"]
    for one in mine:
        one.write_bytes(b"mine")
    assert store.info().objects == 1
    assert store.prune(limit=0, older_than=0).objects == 1
    assert all(one.read_bytes() == b"mine" for one in mine)


def test_a_directory_that_goes_away(tmp_path: Path) -> None:
    """As by `rm -rf` beside a build."""
    import shutil

    plain = write(everything(), Options(block_size=4096))
    store = LocalStore(tmp_path / "c")
    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            shutil.rmtree(tmp_path / "c", ignore_errors=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        assert write(everything(), Options(block_size=4096, store=store)) == plain
    finally:
        stop.set()
        thread.join()
    assert store.get(KEY, 100) is None


def test_a_directory_that_may_only_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the system's answer is made up here; tests/oracle has a real one."""
    plain = write(everything(), Options(block_size=4096))
    write(everything(), Options(block_size=4096, store=LocalStore(tmp_path / "c")))
    objects(tmp_path / "c")[0].unlink()
    opened = os.open

    def refuse(path: bytes, flags: int, mode: int = 0o777, **more: object) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    store = LocalStore(tmp_path / "c")
    image, report = write_report(everything(), Options(block_size=4096, store=store))
    store.close()
    assert image == plain and report.recalled > 0
    assert store.warnings() == ["cache: nothing more is kept: Permission denied"]
    with pytest.raises(OutputError):
        LocalStore(tmp_path / "new")
