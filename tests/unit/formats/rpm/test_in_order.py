"""Packages unpacked: contents are taken in the payload's order, and nothing that is wrong is left in the target."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from imgcore import hosts
from imgcore.blob import BytesBlob, read_all
from imgcore.errors import Cancelled, Corrupt, ImgcoreError, LimitExceeded, TargetExists, VerificationFailed
from imgcore.events import Advanced, Control, Event
from imgcore.formats import rpm
from imgcore.formats.rpm.layout import Kind, SigTag, Tag
from imgcore.formats.rpm.payload import PayloadFile
from imgcore.limits import Limits
from imgcore.model import Accounts, File, Tree
from imgcore.transforms.filter import only
from imgcore.transforms.join import join_trees, place_tree
from tests.kit.packages import COMPRESS, Entry, Rpm, link, member, sample

JOBS = pytest.mark.parametrize("jobs", [1, 2])
FILES = [Entry(b"/d/%03d" % number, bytes([number % 251]) * (number * 997), inode=0) for number in range(120)]
UNSIZED = {SigTag.SIZE: None}


@pytest.fixture(autouse=True)
def no_thread_is_left() -> object:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.fixture
def no_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imgcore.formats.rpm.payload.Spool", lambda: pytest.fail("a temporary file was made"))


def opened(package: Rpm | bytes, limits: Limits | None = None) -> rpm.RpmImage:
    return rpm.open_image(BytesBlob(package if isinstance(package, bytes) else package.build()), limits)


def unpack(tree: Tree, place: Path, jobs: int = 2, **options: object) -> hosts.UnpackReport:
    return hosts.unpack(tree, place, jobs=jobs, owner="me", devices=False, **options)  # type: ignore[arg-type]


def found(place: Path) -> dict[str, bytes]:
    """Return the files of a directory, by path, with their contents."""
    paths = (path for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    return {f"/{path.relative_to(place)}": path.read_bytes() for path in paths}


def contents(entries: list[Entry]) -> dict[str, bytes]:
    return {one.path.decode(): one.content for one in entries}


@JOBS
@pytest.mark.parametrize("compression", sorted(COMPRESS))
@pytest.mark.parametrize("form", ["newc", "crc", "stripped"])
@pytest.mark.usefixtures("no_spool")
def test_every_form(compression: str, form: str, jobs: int, tmp_path: Path) -> None:
    with opened(sample(compression=compression, form=form)) as image:
        report = unpack(image.tree, tmp_path / "out", jobs)
    assert (report.files, report.hard_links, report.symlinks) == (6, 1, 1)
    assert (tmp_path / "out/usr/bin/a").read_bytes() == b"program\n" * 1000
    assert os.path.samefile(tmp_path / "out/usr/bin/a", tmp_path / "out/usr/bin/b")
    assert (tmp_path / "out/usr/bin/ping").read_bytes() == b"\x7fELF"
    assert stat.S_IMODE((tmp_path / "out/usr/bin/ping").stat().st_mode) == 0o755
    assert (tmp_path / "out/usr/bin/empty").read_bytes() == b""


@JOBS
@pytest.mark.parametrize("engine", ["auto", "pure"])
@pytest.mark.parametrize("compression", sorted(COMPRESS))
@pytest.mark.usefixtures("no_spool")
def test_any_order_in_the_payload(compression: str, engine: str, jobs: int, tmp_path: Path) -> None:
    turned = Rpm(FILES[::-1]).cpio()
    events: list[Event] = []
    with opened(Rpm(FILES, payload=turned, compression=compression)) as image:
        report = unpack(image.tree, tmp_path, jobs, engine=engine, control=Control(events.append))
    assert found(tmp_path) == contents(FILES) and report.bytes == sum(len(one.content) for one in FILES)
    told = [event.path for event in events if isinstance(event, Advanced)]
    assert len(told) == 120 and told[-1] == b"/d/001"  # the empty one is made with the names


def test_without_digests_of_its_own_all_is_undone_first(tmp_path: Path) -> None:
    with opened(Rpm(FILES, format=3, compression="gzip")) as image:
        assert not image.payload.in_order
        with pytest.raises(ValueError, match="cannot be told by itself"):
            next(image.payload.take([1], ahead=False))
        unpack(image.tree, tmp_path)
    assert found(tmp_path) == contents(FILES)


@JOBS
@pytest.mark.parametrize("compression", ["none", "gzip", "xz", "zstd"])
def test_a_wrong_digest_in_the_middle(compression: str, jobs: int, tmp_path: Path) -> None:
    payload = Rpm(FILES).cpio().replace(bytes([60]) * 50_000, bytes([60]) * 49_999 + b"!", 1)
    with opened(Rpm(FILES, payload=payload, compression=compression)) as image:
        with pytest.raises(VerificationFailed, match="content of a file") as caught:
            unpack(image.tree, tmp_path, jobs)
        assert caught.value.path == b"/d/060" and caught.value.field == "FILEDIGESTS"
        assert "is left in" in str(caught.value.hint)
        assert found(tmp_path) == contents(FILES[:60])
        node = image.tree["/d/061"]  # the others can still be read
        assert isinstance(node, File) and read_all(node.content) == FILES[61].content


@JOBS
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_last_content_waits_for_the_digest_of_the_payload(compression: str, jobs: int, tmp_path: Path) -> None:
    tags = {Tag.PAYLOADSHA256: (Kind.STRING_ARRAY, [b"0" * 64])}
    with opened(Rpm(FILES, tags=tags, compression=compression)) as image:
        with pytest.raises(VerificationFailed, match="payload does not fit"):
            unpack(image.tree, tmp_path / "all", jobs)
        unpack(only(image.tree, ["/d/003"]), tmp_path / "one", jobs)
    assert found(tmp_path / "all") == contents(FILES[:-1])
    assert found(tmp_path / "one") == contents(FILES[3:4])


@JOBS
@pytest.mark.parametrize("compression", sorted(COMPRESS))
def test_a_cut_payload(compression: str, jobs: int, tmp_path: Path) -> None:
    whole = Rpm([Entry(b"/%d" % number, os.urandom(40_000)) for number in range(8)], compression=compression, signature=UNSIZED)
    data = whole.build()
    for number, cut in enumerate((1, 20, 70_000, 200_000, 310_000)):
        place = tmp_path / str(number)
        with opened(data[:-cut]) as image, pytest.raises(ImgcoreError) as caught:
            unpack(image.tree, place, jobs)
        assert isinstance(caught.value, Corrupt | VerificationFailed)
        right = contents(list(whole.files))
        assert all(right[path] == content for path, content in found(place).items())
        assert len(found(place)) < 8


@JOBS
def test_a_payload_that_ends_in_what_nobody_wants(jobs: int, tmp_path: Path) -> None:
    files = [Entry(b"/a", b"x" * 9), Entry(b"/b", b"y")]
    cut = Rpm(files, payload=member(b"./a", b"x", 0o100644, size=9))
    with opened(cut) as image, pytest.raises(Corrupt, match="payload is cut") as caught:
        unpack(only(image.tree, ["/b"]), tmp_path, jobs)
    assert caught.value.path == b"/a" and found(tmp_path) == {}
    cut = Rpm([*files, link(b"/z", b"target")], payload=member(b"./z", b"tar", 0o120777, size=6))
    with opened(cut) as image, pytest.raises(Corrupt, match="payload is cut"):
        unpack(image.tree, tmp_path, jobs, force=True)


@JOBS
def test_broken_members(jobs: int, tmp_path: Path) -> None:
    end = member(b"TRAILER!!!", b"", 0)
    crc = Rpm([Entry(b"/a", b"x")], form="crc")
    links = [Entry(b"/z", b"z"), link(b"/a", b"x")]
    for package, message in (
        (crc.but(payload=crc.cpio().replace(b"x\0\0\0", b"y\0\0\0")), "checksum of a file"),
        (Rpm([Entry(b"/a", b"x")], payload=end), "not in the payload"),
        (Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"xy", 0o100644) + end), "another size"),
        (Rpm(links, payload=member(b"./a", b"y" * 10**6, 0o120777) + end), "another target"),
        (Rpm([Entry(b"/a", b"x")], payload=member(b"./a", b"x", 0o100644)), "without TRAILER"),
    ):
        with opened(package) as image, pytest.raises(Corrupt, match=message):
            unpack(image.tree, tmp_path, jobs, force=True)
        assert found(tmp_path) == {}


@JOBS
def test_limits_and_existing_files(jobs: int, tmp_path: Path) -> None:
    data = Rpm(FILES, compression="zstd").build()
    with opened(data, Limits(max_stream=300_000)) as image, pytest.raises(LimitExceeded, match="max_stream"):
        unpack(image.tree, tmp_path / "a", jobs)
    (tmp_path / "b/d").mkdir(parents=True)
    (tmp_path / "b/d/050").write_bytes(b"mine")
    with opened(data) as image, pytest.raises(TargetExists):
        unpack(image.tree, tmp_path / "b", jobs)
    assert (tmp_path / "b/d/050").read_bytes() == b"mine"
    with opened(data) as image:
        unpack(image.tree, tmp_path / "b", jobs, force=True)
    assert found(tmp_path / "b") == contents(FILES)


@JOBS
def test_readers_meanwhile(jobs: int, tmp_path: Path) -> None:
    with opened(Rpm(FILES, compression="gzip")) as image:
        read: list[bool] = []

        def reader(step: int) -> None:
            for number in range(119, 0, -step):
                node = image.tree[f"/d/{number:03}"]
                assert isinstance(node, File)
                read.append(read_all(node.content) == FILES[number].content)

        threads = [threading.Thread(target=reader, args=(step,)) for step in (1, 2, 3)]
        way = image.payload.take(range(120), ahead=jobs > 1)
        next(way)
        for one in threads:
            one.start()
        unpack(image.tree, tmp_path / "a", jobs)
        for one in threads:
            one.join()
        way.close()
        assert all(read) and len(read) == 119 + 60 + 40
        assert not image.payload.in_order  # from now on out of the temporary file
        unpack(image.tree, tmp_path / "b", jobs)
    assert found(tmp_path / "a") == found(tmp_path / "b") == contents(FILES)


@JOBS
def test_one_content_under_two_nodes(jobs: int, tmp_path: Path) -> None:
    with opened(Rpm(FILES[:9], compression="xz")) as image, opened(Rpm(FILES[:5])) as other:
        again, _ = image.with_accounts(Accounts())
        tree = join_trees([image.tree, place_tree(again, b"/again"), place_tree(other.tree, b"/other")])
        unpack(tree, tmp_path, jobs)
    right = contents(FILES[:9])
    assert found(tmp_path) == {
        **right,
        **{f"/again{path}": content for path, content in right.items()},
        **{f"/other{path}": content for path, content in contents(FILES[:5]).items()},
    }


@JOBS
def test_zeros_become_holes(jobs: int, tmp_path: Path) -> None:
    files = [
        Entry(b"/all", bytes(10 << 20)),
        Entry(b"/end", b"x" * 100_000 + bytes(5 << 20)),
        Entry(b"/middle", b"x" + bytes(5 << 20) + b"y"),
        Entry(b"/short", bytes(5000)),
    ]
    for compression in ("none", "zstd"):
        with opened(Rpm(files, compression=compression)) as image:
            unpack(image.tree, tmp_path / compression, jobs)
        assert found(tmp_path / compression) == contents(files)
        for name in ("all", "end", "middle"):
            assert (tmp_path / compression / name).stat().st_blocks * 512 < 1 << 20


def test_closed_before_the_end(tmp_path: Path) -> None:
    image = opened(Rpm(FILES, compression="gzip"))
    way = image.payload.take(range(120), ahead=True)
    _, pieces = next(way)
    assert b"".join(pieces) == FILES[1].content
    image.close()
    with pytest.raises(ValueError, match="closed"):
        next(way)
    with pytest.raises(ValueError, match="closed"):
        unpack(image.tree, tmp_path)
    assert found(tmp_path) == {"/d/000": b""}


@JOBS
def test_stopped(jobs: int, tmp_path: Path) -> None:
    control = Control(lambda event: control.cancel() if isinstance(event, Advanced) and event.files == 50 else None)
    with opened(Rpm(FILES, compression="zstd")) as image, pytest.raises(Cancelled):
        unpack(image.tree, tmp_path, jobs, control=control)
    assert found(tmp_path) == contents(FILES[:50])


def test_contents_know_their_stream() -> None:
    with opened(sample()) as image:
        node = image.tree["/usr/bin/a"]
        assert isinstance(node, File) and isinstance(node.content, PayloadFile)
        assert node.content.stream is image.payload and image.payload.in_order


def test_the_check_of_xz_is_left_to_the_digest() -> None:
    package = Rpm([Entry(b"/a", b"x")], compression="xz").build()
    for at in range(-32, -24):  # of the CRC64: 12 bytes of footer and 12 of index come behind
        data = bytearray(package)
        data[at] ^= 1
        with opened(bytes(data)) as image, pytest.raises(VerificationFailed, match="payload does not fit"):
            content = image.tree["/a"]
            assert isinstance(content, File)
            read_all(content.content)
