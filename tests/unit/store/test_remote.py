"""A store at a URL: fsspec's memory and local file systems, and a real S3 server on loopback."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgcore.errors import SourceUnreadable
from imgcore.formats.squashfs import Options
from imgcore.store import Kept, LayeredStore, LocalStore, RemoteStore
from imgcore.store.remote import is_url, shown_url
from tests.kit.sample_trees import everything
from tests.kit.squashfs_io import ENGINES, write, write_report

KEY = bytes(range(32))
fsspec = pytest.importorskip("fsspec")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:.*(boto|moto|werkzeug|flask|aiohttp).*")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@pytest.fixture(params=["memory", "file", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """Return a URL and the options of its file system."""
    if request.param == "file":
        return f"file://{tmp_path}/remote", {}
    name = f"test-{os.urandom(8).hex()}"
    if request.param == "memory":
        return f"memory://{name}/prefix", {}
    options = {"key": "k", "secret": "s", "endpoint_url": request.getfixturevalue("s3_endpoint"), "skip_instance_cache": True}
    fs = fsspec.filesystem("s3", **options)
    fs.mkdir(name)
    return f"s3://{name}/some/prefix", options


def opened(place: tuple[str, dict[str, Any]], **more: Any) -> RemoteStore:
    return RemoteStore(place[0], options=place[1], **more)


def objects(store: RemoteStore) -> list[str]:
    store._fs.invalidate_cache()
    return sorted(store._fs.find(store._root))


def test_kept_blocks_come_back(place: tuple[str, dict[str, Any]]) -> None:
    store = opened(place)
    assert store.get(KEY, 100) is None
    store.put(KEY, 100, Kept(True, b"short"))
    store.put(KEY[::-1], 100, Kept(False, b""))
    store.close()
    again = opened(place)
    assert again.get(KEY, 100) == Kept(True, b"short")
    assert again.get(KEY[::-1], 100) == Kept(False, b"")
    assert (again.damaged, again.warnings(), store.warnings()) == (0, [], [])
    info = again.info()
    assert (info.objects, info.unfinished) == (2, 0) and info.oldest is not None and info.oldest > 1_600_000_000


def test_damaged_objects_are_none_and_made_anew(place: tuple[str, dict[str, Any]]) -> None:
    store = opened(place)
    store.put(KEY, 100, Kept(True, b"short"))
    store.close()
    (path,) = objects(store)
    sound = store._fs.cat_file(path)
    bad = [b"", sound[:-1], sound[:20], sound + b"x", b"\0" * len(sound), bytes([sound[0] ^ 1]) + sound[1:], bytes(100_000)]
    for data in bad:
        store._fs.pipe_file(path, data)
        assert store.get(KEY, 100) is None, data[:20]
    assert store.damaged == len(bad)
    again = opened(place)
    again.put(KEY, 100, Kept(True, b"short"))
    again.close()
    assert store.get(KEY, 100) == Kept(True, b"short")
    assert store.warnings() == [f"cache {place[0]}: {len(bad)} damaged objects were made anew"]


def test_prune(place: tuple[str, dict[str, Any]]) -> None:
    store = opened(place)
    for number in range(4):
        store.put(bytes([number]) * 32, 2000, Kept(True, bytes(1000)))
    store.close()
    foreign = store._root + "/README"
    store._fs.pipe_file(foreign, b"mine")
    size = store.info().bytes
    assert store.prune().objects == 0
    assert store.prune(limit=size // 2).objects == 2
    assert store.info().objects == 2
    assert store.prune(older_than=3600).objects == 0
    assert store.prune(limit=0).objects == 2
    assert objects(store) == [foreign]


@pytest.mark.parametrize("engine", ENGINES)
def test_images_do_not_depend_on_the_remote(place: tuple[str, dict[str, Any]], tmp_path: Path, engine: Any) -> None:
    tree = everything()
    plain = write(tree, Options(block_size=4096), engine)
    recalled = []
    for front in ("a", "a", "b"):  # cold, warm, and a machine that has nothing yet
        store = LayeredStore([LocalStore(tmp_path / front), opened(place)])
        image, report = write_report(tree, Options(block_size=4096, store=store), engine)
        store.close()
        assert image == plain and store.warnings() == []
        recalled.append(report.recalled)
    assert recalled[0] < recalled[1] == recalled[2]
    assert LocalStore(tmp_path / "a").info().objects == LocalStore(tmp_path / "b").info().objects


def test_layers_fill_those_in_front(tmp_path: Path) -> None:
    front, back = LocalStore(tmp_path / "a"), LocalStore(tmp_path / "b")
    back.put(KEY, 100, Kept(True, b"short"))
    store = LayeredStore([front, back])
    assert store.get(KEY[::-1], 100) is None
    assert store.get(KEY, 100) == Kept(True, b"short") == front.get(KEY, 100)
    store.put(KEY[::-1], 100, Kept(False, b""))
    assert front.get(KEY[::-1], 100) == back.get(KEY[::-1], 100) == Kept(False, b"")


class _Broken:
    """A file system that fails, or waits."""

    def __init__(self, reads: Exception | None = None, writes: Exception | None = None) -> None:
        self.reads, self.writes, self.asked, self.sent = reads, writes, 0, 0
        self.go = threading.Event()
        self.go.set()

    def cat_file(self, place: str, start: int, end: int) -> bytes:
        self.asked += 1
        raise self.reads or FileNotFoundError(place)

    def size(self, place: str) -> int:
        raise self.reads or FileNotFoundError(place)

    def pipe_file(self, place: str, data: bytes) -> None:
        self.go.wait()
        self.sent += 1
        if self.writes is not None:
            raise self.writes

    def mv(self, old: str, new: str) -> None:
        pass


def broken(fs: _Broken, **more: Any) -> RemoteStore:
    store = RemoteStore("memory://x", **more)
    store._fs = fs
    return store


def test_a_remote_that_fails_is_asked_once() -> None:
    fs = _Broken(reads=ConnectionError("no route"))
    store = broken(fs)
    plain = write(everything(), Options(block_size=4096))
    assert write(everything(), Options(block_size=4096, store=store)) == plain
    store.close()
    assert fs.asked == 1 and fs.sent == 0
    assert store.warnings() == ["cache memory://x: not used any more: no route"]


def test_a_remote_that_cannot_be_written_is_read() -> None:
    fs = _Broken(writes=PermissionError("Access Denied"))
    store = broken(fs, senders=1)
    for number in range(50):
        store.put(bytes([number]) * 32, 2000, Kept(True, bytes(1000)))
    store.close()
    assert fs.sent == 1
    assert store.get(KEY, 100) is None and fs.asked == 1
    assert store.warnings() == ["cache memory://x: nothing more is sent: Access Denied"]


def test_a_remote_that_is_slow_is_not_waited_for() -> None:
    fs = _Broken()
    fs.go.clear()
    store = broken(fs, senders=2, flush_seconds=0.05)
    for number in range(100):
        store.put(bytes([number]) * 32, 2 << 20, Kept(True, bytes(1 << 20)))
    assert store._waiting <= 64 << 20
    threads = list(store._threads)
    store.close()
    assert store.warnings() == ["cache memory://x: 100 objects were not sent in time; a later build sends them"]
    fs.go.set()
    for thread in threads:
        thread.join()


def test_a_failed_build_does_not_wait_for_the_rest() -> None:
    fs = _Broken()
    fs.go.clear()
    store = broken(fs, senders=1, flush_seconds=30)
    for number in range(10):
        store.put(bytes([number]) * 32, 2000, Kept(True, bytes(1000)))
    threads = list(store._threads)
    threading.Timer(0.05, fs.go.set).start()
    store.close(wait=False)
    assert fs.sent <= 1 and not any(thread.is_alive() for thread in threads)


def test_a_server_that_is_not_there() -> None:
    name = "s3://bucket/x"
    pytest.importorskip("s3fs")
    options = {
        "key": "k",
        "secret": "s",
        "endpoint_url": "http://127.0.0.1:1",
        "config_kwargs": {"connect_timeout": 1, "retries": {"max_attempts": 0}},
        "skip_instance_cache": True,
    }
    store = RemoteStore(name, options=options)
    assert store.get(KEY, 100) is None
    store.put(KEY, 100, Kept(False, b""))
    store.close()
    (warning,) = store.warnings()
    assert warning.startswith(f"cache {name}: not used any more: ")
    with pytest.raises(SourceUnreadable):
        store.info()


def test_urls() -> None:
    assert is_url("s3://bucket/x") and is_url("memory://") and is_url("simplecache::s3://b")
    assert not is_url("/a/b") and not is_url("dir") and not is_url(b"s3://x") and not is_url("a b://c")
    assert shown_url("ftp://user:secret@host/dir") == "ftp://host/dir"
    assert shown_url("s3://bucket/dir") == "s3://bucket/dir"
    with pytest.raises(ValueError):
        RemoteStore("no-such-protocol://x")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(SourceUnreadable) as caught:
        RemoteStore("memory://x")
    assert "imgcore[remote]" in (caught.value.hint or "")
