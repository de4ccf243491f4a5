"""cpio: members made by hand, links, sums, chains of archives, what is refused; and where the writer puts things."""

from __future__ import annotations

import gzip
import random
import stat

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import Corrupt, FormatError, LimitExceeded, NotRepresentable, NotThisFormat
from imgcore.events import Control
from imgcore.formats import detect
from imgcore.formats.cpio import FORMAT, Options, open_image
from imgcore.formats.cpio.check import check_blob
from imgcore.formats.cpio.layout import TRAILER, Numbers, byte_sum, newc_header
from imgcore.formats.cpio.magic import NEWC, ODC
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Meta, Socket, Symlink, Tree, tree
from imgcore.testing.strategies import HolesBlob
from tests.kit.archives import read as read_any
from tests.kit.archives import written

FILE = stat.S_IFREG | 0o644
DIR = stat.S_IFDIR | 0o755


def member(name: bytes, data: bytes = b"", mode: int = FILE, *, magic: bytes = NEWC, **numbers: int) -> bytes:
    values = dict.fromkeys(Numbers._fields, 0) | {"mode": mode, "nlink": 1, "filesize": len(data), "namesize": len(name) + 1}
    head = magic + newc_header(Numbers(**(values | numbers)))[6:] + name + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def odc(name: bytes, data: bytes = b"", mode: int = FILE, ino: int = 1, nlink: int = 1, rdev: int = 0) -> bytes:
    head = b"%06o" * 7 % (0, ino, mode, 5, 6, nlink, rdev) + b"%011o%06o%011o" % (77, len(name) + 1, len(data))
    return ODC + head + name + b"\0" + data


END = member(TRAILER)


def read(data: bytes, limits: Limits | None = None) -> Tree:
    return read_any(FORMAT, data, limits)


def content(found: Tree, path: str) -> bytes:
    node = found[path]
    assert isinstance(node, File)
    return read_all(node.content)


def test_members() -> None:
    data = (
        member(b".", mode=stat.S_IFDIR | 0o700, uid=1, gid=2, mtime=3)
        + member(b"d", mode=DIR)
        + member(b"d/f", b"12345", uid=2**32 - 2, mtime=2**32 - 1)
        + member(b"l", b"target", stat.S_IFLNK | 0o777)
        + member(b"c", mode=stat.S_IFCHR | 0o600, rdevmajor=300, rdevminor=70000)
        + member(b"s", mode=stat.S_IFSOCK | 0o755)
        + member(b"p", mode=stat.S_IFIFO | 0o755)
        + member(b"./missing/f", b"x", mtime=9)
        + END
    )
    found = read(data)
    assert [path for path, _ in found.walk()] == [b"/", b"/c", b"/d", b"/d/f", b"/l", b"/missing", b"/missing/f", b"/p", b"/s"]
    assert found.root.meta == Meta(0o700, 1, 2, 3 * 10**9)
    assert found["/d/f"].meta == Meta(0o644, 2**32 - 2, 0, (2**32 - 1) * 10**9) and content(found, "/d/f") == b"12345"
    link, char = found["/l"], found["/c"]
    assert isinstance(link, Symlink) and link.target == b"target"
    assert isinstance(char, Device) and (char.major, char.minor) == (300, 70000)
    assert isinstance(found["/s"], Socket) and found["/missing"].meta == Meta(0o755, mtime_ns=9 * 10**9)
    assert found.time_step_ns == 10**9


def test_hard_links() -> None:
    three = [member(name, data, ino=7, nlink=3) for name, data in ((b"a", b""), (b"b", b""), (b"c", b"data"))]
    found = read(b"".join(three) + END)
    assert found["/a"] is found["/b"] is found["/c"] and content(found, "/a") == b"data"
    found = read(b"".join(reversed(three)) + member(b"d", b"", ino=7, nlink=1) + END)
    assert found["/a"] is found["/c"] and content(found, "/a") == b"data" and found["/d"] is not found["/a"]
    found = read(three[0] + member(b"a", b"other") + three[2] + END)
    assert content(found, "/a") == b"other" and content(found, "/c") == b"data"
    found = read(three[0] + END + three[2] + END)
    assert found["/a"] is not found["/c"], "inode numbers are those of one archive"
    pair = member(b"x", mode=stat.S_IFIFO, ino=3, nlink=2) + member(b"y", mode=stat.S_IFIFO, ino=3, nlink=2)
    found = read(pair + END)
    assert found["/x"] is found["/y"]


def test_sums() -> None:
    data = random.Random(3).randbytes(200_001)
    assert byte_sum(data) == sum(data) and byte_sum(b"\xff" * (1 << 20)) == 255 << 20 and byte_sum(b"") == 0
    good = member(b"f", data, magic=b"070702", check=sum(data)) + member(b"d", mode=DIR, magic=b"070702") + END
    assert content(read(good), "/f") == data
    with pytest.raises(Corrupt, match="checksum") as caught:
        read(member(b"f", data, magic=b"070702", check=sum(data) + 1) + END)
    assert caught.value.path == b"f" and caught.value.field == "c_check"


def test_odc() -> None:
    found = read(odc(b"d", mode=DIR) + odc(b"d/f", b"123") + odc(b"c", mode=stat.S_IFCHR, rdev=0x103) + odc(TRAILER))
    assert content(found, "/d/f") == b"123" and found["/d"].meta == Meta(0o755, 5, 6, 77 * 10**9)
    char = found["/c"]
    assert isinstance(char, Device) and (char.major, char.minor) == (1, 3)


def test_chains() -> None:
    first, second = member(b"a", b"1") + member(b"b", b"1") + END, member(b"b", b"2") + END
    for data, parts in (
        (first + second, ["plain", "plain"]),
        (first + bytes(500) + second + bytes(3), ["plain", "plain"]),
        (first + gzip.compress(second), ["plain", "gzip"]),
        (first + bytes(9) + gzip.compress(second + bytes(8) + member(b"c") + END) + bytes(5), ["plain", "gzip", "gzip"]),
    ):
        with open_image(BytesBlob(data)) as image:
            assert image.info()["parts"] == parts
            assert content(image.tree, "/a") == b"1" and content(image.tree, "/b") == b"2"
            assert sum(item.size for item in image.layout()) <= len(data)
        assert list(check_blob(BytesBlob(data), Limits(), Control())) == []
    behind = first + b"junk!"
    assert [(finding.rule, finding.offset) for finding in check_blob(BytesBlob(behind), Limits(), Control())] == [
        ("garbage", len(first))
    ]
    odd = first + b"\0" + second
    assert [finding.rule for finding in check_blob(BytesBlob(odd), Limits(), Control())] == ["position"]
    bomb = first + gzip.compress(member(b"z", bytes(5 << 20)) + END)
    with pytest.raises(LimitExceeded) as caught:
        read(bomb, Limits(max_stream=2 << 20))
    assert caught.value.field == "max_stream"


BROKEN = {
    "no trailer": b"",
    "no trailer but zeros": bytes(512),
    "no header": b"nonsense" * 20,
    "header cut": member(b"f")[:50],
    "number": member(b"f").replace(b"00000001", b"0000 001", 1) + END,
    "sign": member(b"f").replace(b"00000001", b"+0000001", 1) + END,
    "name cut": member(b"f")[:111],
    "name without end": member(b"f", namesize=1) + END,
    "no name": member(b"f", namesize=0) + END,
    "empty name": member(b"") + END,
    "content cut": member(b"f", b"12345", filesize=5000),
    "absolute": member(b"/f") + END,
    "dots": member(b"a/../../f") + END,
    "below a link": member(b"l", b"/etc", stat.S_IFLNK) + member(b"l/f", b"x") + END,
    "link without target": member(b"l", b"", stat.S_IFLNK) + END,
    "no type": member(b"f", mode=0o644) + END,
    "root is a file": member(b".", b"x") + END,
    "compressed garbage": END + gzip.compress(b"no cpio"),
    "compressed and cut": END + gzip.compress(member(b"f") + END)[:-9],
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused(name: str) -> None:
    data = member(b"first", b"1") + BROKEN[name]
    with pytest.raises(FormatError) as caught:
        read(data)
    assert caught.value.offset is not None and caught.value.offset >= 116
    findings = list(check_blob(BytesBlob(data), Limits(), Control()))
    assert [(finding.fatal, finding.message) for finding in findings] == [(True, caught.value.message)]


@pytest.mark.parametrize(
    ("limits", "data", "field"),
    [
        (Limits(max_entries=5), member(b"d", mode=stat.S_IFCHR) * 6, "max_entries"),
        (Limits(max_path=20), member(b"d" * 30), "max_path"),
        (Limits(max_path=20), member(b"l", b"t" * 30, stat.S_IFLNK), "max_path"),
        (Limits(max_file_size=4), member(b"f", b"12345"), "max_file_size"),
    ],
)
def test_limits(limits: Limits, data: bytes, field: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(data + END, limits)
    assert caught.value.field == field


def test_detection() -> None:
    assert detect(BytesBlob(member(b"f") + END)) is FORMAT
    with pytest.raises(NotThisFormat):
        read(b"x" * 200)


def test_what_is_written() -> None:
    shared = File(Meta(), BytesBlob(b"shared"))
    what = Tree(Dir(Meta(0o755), {b"a": shared, b"b": Dir(Meta(), {b"c": shared}), b"z": shared}))
    image = open_image(BytesBlob(written(FORMAT, what)))
    items = [(item.name, item.value) for item in image.layout()]
    assert [value for name, value in items if name.startswith("header")] == [".", "a", "b", "b/c", "z", "TRAILER!!!"]
    assert items[5] == ("content", "") and sum(name == "content" for name, _ in items) == 1
    data = written(FORMAT, tree({"/x": b"1"}))
    assert len(data) % 512 == 0 and data[6:14] == b"00000001"
    holes = written(FORMAT, tree({"/x": HolesBlob([b"a", 100_000, b"b"])}))
    assert content(read(holes), "/x") == b"a" + bytes(100_000) + b"b"


def test_a_file_that_is_called_as_the_end_is() -> None:
    """Found by test_what_is_written_is_read: it ended the archive, and all behind it was lost."""
    made = tree({"/TRAILER!!!": "content", "/dir/TRAILER!!!": "inner", "/z": "behind"})
    data = written(FORMAT, made)
    assert data.count(b"./TRAILER!!!\0") == 1
    found = read(data)
    assert [content(found, path) for path in ("/TRAILER!!!", "/dir/TRAILER!!!", "/z")] == [b"content", b"inner", b"behind"]
    made = tree({"/TRAILER!!!/a": "x"})
    assert content(read(written(FORMAT, made)), "/TRAILER!!!/a") == b"x"


def test_what_cannot_be_written() -> None:
    class Huge(HolesBlob):
        size = 1 << 32  # type: ignore[assignment]

    for what in (tree({"/x": Huge([b""])}), tree({"/x": File(Meta(mtime_ns=-1))})):
        with pytest.raises(NotRepresentable):
            written(FORMAT, what)
    with pytest.raises(ValueError, match="levels 1 to 9"):
        Options(compression="gzip", level=12)
