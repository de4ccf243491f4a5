"""A store in a directory: what comes back, what is refused, what is pruned."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from imgcore.codec import make_codec
from imgcore.errors import OutputError, SourceUnreadable
from imgcore.formats.squashfs import Options
from imgcore.store import Kept, LocalStore, block_key, key_prefix
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, write_report

KEY = bytes(range(32))


def objects(store: LocalStore) -> list[Path]:
    return sorted(path for path in Path(os.fsdecode(store.path), "objects").rglob("*") if path.is_file())


def test_kept_blocks_come_back(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "c")
    assert store.get(KEY, 100) is None
    store.put(KEY, 100, Kept(True, b"short"))
    store.put(KEY[::-1], 100, Kept(False, b""))
    again = LocalStore(tmp_path / "c")
    assert again.get(KEY, 100) == Kept(True, b"short")
    assert again.get(KEY[::-1], 100) == Kept(False, b"")
    assert again.get(KEY, 99) is None and again.damaged == 1
    assert (tmp_path / "c" / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "c")
    store.put(KEY, 100, Kept(True, b"short"))
    (path,) = objects(store)
    sound = path.read_bytes()
    for bit in range(8 * len(sound)):
        data = bytearray(sound)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        assert store.get(KEY, 100) is None, bit
    for size in range(len(sound)):
        path.write_bytes(sound[:size])
        assert store.get(KEY, 100) is None, size
    assert store.damaged == 9 * len(sound)
    assert store.warnings() == [f"cache: {9 * len(sound)} damaged objects were made anew"]


@pytest.mark.parametrize(
    "make", [lambda path: path.mkdir(), lambda path: os.mkfifo(path), lambda path: path.symlink_to("/etc/hosts")]
)
def test_what_is_no_object_is_none(tmp_path: Path, make: object) -> None:
    store = LocalStore(tmp_path / "c")
    store.put(KEY, 100, Kept(True, b"short"))
    (path,) = objects(store)
    path.unlink()
    make(path)  # type: ignore[operator]
    assert store.get(KEY, 100) is None


def test_directories_that_are_no_cache_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(OutputError):
        LocalStore(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["file"]
    with pytest.raises(SourceUnreadable):
        LocalStore(tmp_path / "none", create=False)
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "imgcore-cache").write_bytes(b"2\n")
    with pytest.raises(SourceUnreadable):
        LocalStore(tmp_path / "next")


def test_a_full_disk_ends_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "c")

    def full(fd: int, data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    store.put(KEY, 100, Kept(True, b"short"))
    store.put(KEY[::-1], 100, Kept(True, b"short"))
    monkeypatch.undo()
    assert objects(store) == []
    assert store.warnings() == ["cache: nothing more is kept: No space left on device"]


def test_prune(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "c")
    for number in range(10):
        store.put(bytes([number]) * 32, 2000, Kept(True, bytes(1000)))
        os.utime(objects(store)[-1], (1000 + number, 1000 + number))
    left_over = objects(store)[0].with_suffix(".1-1-aa.part")
    left_over.write_bytes(b"x")
    assert store.prune().unfinished == 0  # it may be under way
    os.utime(left_over, (5, 5))
    assert store.prune().unfinished == 1 and not left_over.exists()
    size = objects(store)[0].stat().st_size
    removed = store.prune(limit=4 * size)
    assert (removed.objects, removed.oldest, removed.newest) == (6, 1000, 1005)
    assert store.info().objects == 4
    assert store.prune(older_than=3600).objects == 4
    assert store.info().bytes == 0


def test_the_limit_holds_after_a_build(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "c", limit=5000)
    for number in range(10):
        store.put(bytes([number]) * 32, 2000, Kept(True, bytes(1000)))
    store.close()
    assert 0 < store.info().bytes <= 5000


def test_keys_tell_settings_apart() -> None:
    codecs = [
        make_codec("zstd", 3, block_size=4096),
        make_codec("zstd", 4, block_size=4096),
        make_codec("lz4", block_size=4096),
    ]
    prefixes = {key_prefix(codec, size, look) for codec in codecs for size in (4096, 8192) for look in ("", "lz4 1")}
    assert len(prefixes) == 12
    assert len({block_key(b"a", b"b"), block_key(b"a", b"c"), block_key(b"b", b"b")}) == 3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("compression", ["gzip", "zstd", "xz", "lz4", "none"])
def test_images_do_not_depend_on_the_store(tmp_path: Path, engine: str, compression: str) -> None:
    tree = everything()
    options = Options(compression=compression, block_size=4096)
    plain, _ = write_report(tree, options, engine)
    for damaged in (False, False, True):
        store = LocalStore(tmp_path / "c")
        for path in objects(store) if damaged else ():
            data = bytearray(path.read_bytes())
            data[random.Random(path.name).randrange(len(data))] ^= 4
            path.write_bytes(data)
        image, report = write_report(tree, Options(compression=compression, block_size=4096, store=store), engine)
        assert image == plain
    if compression != "none":
        assert store.damaged > 0 and report.recalled == 0  # type: ignore[attr-defined]
        image, report = write_report(tree, Options(compression=compression, block_size=4096, store=store), "pure")
        assert image == plain and report.recalled > 0  # type: ignore[attr-defined]
