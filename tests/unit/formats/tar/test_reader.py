"""Edge cases of reading tars, each a few blocks made by hand."""

from __future__ import annotations

import base64

import pytest

from imgcore.blob import BytesBlob, ZeroBlob, read_all
from imgcore.errors import Corrupt, FormatError, ImgcoreError, LimitExceeded, NotThisFormat, Unsupported
from imgcore.events import Control
from imgcore.formats import detect
from imgcore.formats.tar import FORMAT, open_image
from imgcore.formats.tar.check import check_blob
from imgcore.formats.tar.layout import BLOCK
from imgcore.limits import Limits
from imgcore.model import Device, Dir, File, Symlink, Tree
from tests.kit.archives import END, header, member, padded, pax
from tests.kit.archives import read as read_any

SECOND = 10**9


def read(data: bytes, limits: Limits | None = None) -> Tree:
    return read_any(FORMAT, data, limits)


def content(tree: Tree, path: str) -> bytes:
    node = tree[path]
    assert isinstance(node, File)
    return read_all(node.content)


def paths(tree: Tree) -> list[bytes]:
    return [path for path, _ in tree.walk()]


def binary(value: int, width: int) -> bytes:
    bits = 8 * width - 1
    marked = (value & ((1 << bits) - 1)) | 1 << bits
    return marked.to_bytes(width, "big")


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return member(b"././@LongLink", name + b"\0", kind, magic=b"ustar ", version=b" \0")


def test_names() -> None:
    tree = read(member(b"./a", b"1") + member(b"b//./c", b"2") + member(b"d/", kind=b"0") + member(b"./", kind=b"5") + END)
    assert paths(tree) == [b"/", b"/a", b"/b", b"/b/c", b"/d"]
    assert isinstance(tree["/d"], Dir) and content(tree, "/b/c") == b"2"
    assert content(read(member(b"n", b"x", prefix=b"p/q") + END), "/p/q/n") == b"x"
    gnu = member(b"n", b"x", magic=b"ustar ", version=b" \0", prefix=b"00000000000\0")
    assert paths(read(gnu + END)) == [b"/", b"/n"]
    star = member(b"n", b"x", prefix=b"p".ljust(131, b"\0") + b"00000000000 00000000000 "[:24], padding=bytes(8) + b"tar\0")
    assert paths(read(star + END)) == [b"/", b"/p", b"/p/n"]
    assert paths(read(long_name(b"q" * 300) + member(b"q" * 100) + END))[1] == b"/" + b"q" * 300
    assert paths(read(pax(path=b"z" * 200) + member(b"short") + END))[1] == b"/" + b"z" * 200
    assert paths(read(pax(hdrcharset=b"BINARY", path=b"\xff\xfe") + member(b"s") + END))[1] == b"/\xff\xfe"
    v7 = member(b"old/", b"", b"\0", magic=b"", version=b"") + member(b"old/f", b"y", b"\0", magic=b"", version=b"")
    assert content(read(v7 + END), "/old/f") == b"y"


def test_links_of_all_kinds() -> None:
    links = long_name(b"t" * 150, b"K") + member(b"s", kind=b"2") + pax(linkpath=b"u" * 150) + member(b"r", kind=b"2")
    tree = read(links + member(b"q", kind=b"2", linkname=b"v" * 100) + END)
    assert [tree[path].target for path in ("/s", "/r", "/q")] == [b"t" * 150, b"u" * 150, b"v" * 100]  # type: ignore[union-attr]
    assert isinstance(tree["/s"], Symlink)
    hard = member(b"b", kind=b"1", linkname=b"./a") + member(b"c", kind=b"1", linkname=b"b")
    for order in (hard + member(b"a", b"1"), member(b"a", b"1") + hard):
        tree = read(order + END)
        assert tree["/a"] is tree["/b"] is tree["/c"]
    late = member(b"a", b"1") + member(b"b", kind=b"1", linkname=b"a") + member(b"a", b"2")
    tree = read(late + END)
    assert (content(tree, "/a"), content(tree, "/b")) == (b"2", b"1")
    replaced = member(b"b", kind=b"1", linkname=b"nowhere") + member(b"b", b"2")
    assert content(read(replaced + END), "/b") == b"2"
    assert content(read(member(b"a", b"1") + member(b"a", kind=b"1", linkname=b"a") + END), "/a") == b"1"
    with_data = member(b"a", b"1") + member(b"b", b"1", b"1", linkname=b"a") + member(b"c", b"3")
    assert content(read(with_data + END), "/c") == b"3"
    without = member(b"a", b"12345") + header(b"b", b"1", 5, linkname=b"a") + member(b"c", b"3")
    assert content(read(without + END), "/c") == b"3"


def test_a_long_chain_of_links_backwards() -> None:
    links = b"".join(member(b"%d" % number, kind=b"1", linkname=b"%d" % (number + 1)) for number in range(5000))
    tree = read(links + member(b"5000", b"end") + END)
    assert tree["/0"] is tree["/5000"]


def test_numbers() -> None:
    tree = read(
        member(b"a", uid=binary(3_000_000_000, 8), gid=binary(-2, 8), mtime=binary(-86400, 12))
        + member(b"b", uid=b"   644 \0", mode=b"100644 \0", mtime=b"77777777777\0")
        + member(b"c", uid=b"12345670", gid=b"\0" * 8)
        + pax(uid=b"4294967294", gid=b"8589934592", mtime=b"-1.25", size=b"3")
        + header(b"d", size=0)
        + padded(b"abc")
        + pax(mtime=b"1.1234567899")
        + member(b"e")
        + pax(mtime=b"-0.0000000001")
        + member(b"f")
        + END
    )
    metas = {path: node.meta for path, node in tree.walk()}
    assert (metas[b"/a"].uid, metas[b"/a"].gid, metas[b"/a"].mtime_ns) == (3_000_000_000, 2**32 - 2, -86400 * SECOND)
    assert (metas[b"/b"].uid, metas[b"/b"].mode, metas[b"/b"].mtime_ns) == (0o644, 0o644, (8**11 - 1) * SECOND)
    assert (metas[b"/c"].uid, metas[b"/c"].gid) == (0o12345670, 0)
    assert (metas[b"/d"].uid, metas[b"/d"].gid, metas[b"/d"].mtime_ns) == (2**32 - 2, 2**33, -1_250_000_000)
    assert content(tree, "/d") == b"abc"
    assert (metas[b"/e"].mtime_ns, metas[b"/f"].mtime_ns) == (1_123_456_789, -1)
    assert tree.time_step_ns == 1
    assert read(member(b"a") + END).time_step_ns == SECOND


def test_global_records_and_what_takes_them_back() -> None:
    data = (
        pax(b"g", uid=b"7", comment=b"x" * 100)
        + member(b"a")
        + pax(uid=b"8")
        + member(b"b")
        + pax(b"g", uid=b"")
        + member(b"c")
    )
    tree = read(data + END)
    assert [tree[path].meta.uid for path in ("/a", "/b", "/c")] == [7, 8, 0]


def test_attributes() -> None:
    records = {
        "SCHILY__xattr__user.a": b"\0\n=",
        "SCHILY__xattr__user.e%3Df%25": b"",
        "LIBARCHIVE__xattr__user.b%20c": base64.b64encode(b"\xff\0").rstrip(b"="),
        "RHT__security__selinux": b"system_u:object_r:etc_t:s0",
        "SCHILY__acl__access": b"user::rwx,user:who:r--:1000,group::r-x,mask::r-x,other::---",
        "SCHILY__acl__default": b"user::rwx\nuser:who:r--\ngroup::r-x\nmask::r-x\nother::---\n",
    }
    meta = read(pax(**records) + member(b"a") + END)["/a"].meta
    acl = meta.xattrs[b"system.posix_acl_access"]
    assert acl[:4] == b"\2\0\0\0" and (b"\2\0\4\0" + (1000).to_bytes(4, "little")) in acl and len(acl) == 44
    assert dict(meta.xattrs) == {
        b"user.a": b"\0\n=",
        b"user.e=f%": b"",
        b"user.b c": b"\xff\0",
        b"security.selinux": b"system_u:object_r:etc_t:s0\0",
        b"system.posix_acl_access": acl,
        b"SCHILY.acl.default": records["SCHILY__acl__default"],
    }


def test_devices_and_kinds() -> None:
    tree = read(
        member(b"c", kind=b"3", devmajor=b"0000010\0", devminor=b"0000003\0")
        + pax(SCHILY__devmajor=b"300", SCHILY__devminor=b"400000")
        + member(b"b", kind=b"4")
        + header(b"p", b"6", 99)
        + member(b"f", b"7", kind=b"7")
        + member(b"d", b"Yname\0", kind=b"D")
        + member(b"volume", kind=b"V")
        + END
    )
    char, block = tree["/c"], tree["/b"]
    assert isinstance(char, Device) and (char.kind, char.major, char.minor) == ("char", 8, 3)
    assert isinstance(block, Device) and (block.kind, block.major, block.minor) == ("block", 300, 400000)
    assert paths(tree) == [b"/", b"/b", b"/c", b"/d", b"/f", b"/p"]


def test_directories_that_are_missing_or_come_twice() -> None:
    tree = read(
        member(b"a/b/f", mtime=b"00000000012\0") + member(b"a", kind=b"5", mode=b"0000700\0", mtime=b"00000000020\0") + END
    )
    assert (tree["/a"].meta.mode, tree["/a"].meta.mtime_ns) == (0o700, 16 * SECOND)
    assert (tree["/a/b"].meta.mode, tree["/a/b"].meta.mtime_ns, tree.root.meta.mtime_ns) == (0o755, 10 * SECOND, 10 * SECOND)
    tree = read(member(b"a", b"file") + member(b"a", kind=b"5") + member(b"a/f") + END)
    assert paths(tree) == [b"/", b"/a", b"/a/f"]
    tree = read(member(b"a", kind=b"5") + member(b"a/b", kind=b"5") + member(b"a/b", b"file") + member(b"a/c", b"2") + END)
    assert content(tree, "/a/b") == b"file" and content(tree, "/a/c") == b"2"


@pytest.mark.parametrize(
    ("end", "ending", "findings"),
    [
        (END, "zeros", []),
        (END + bytes(9216), "zeros", []),
        (END + b"garbage", "zeros", ["garbage"]),
        (bytes(BLOCK), "lone zero block", ["end"]),
        (bytes(BLOCK) + member(b"hidden"), "lone zero block", ["end"]),
        (b"", "no zeros", ["end"]),
        (bytes(100), "lone zero block", ["end"]),
    ],
)
def test_ends(end: bytes, ending: str, findings: list[str]) -> None:
    data = member(b"a", b"1") + end
    image = open_image(BytesBlob(data))
    assert paths(image.tree) == [b"/", b"/a"]
    assert image.ending == ending
    assert [finding.rule for finding in check_blob(BytesBlob(data), Limits(), Control())] == findings


def test_a_last_member_that_is_not_filled_up() -> None:
    assert content(read(member(b"a", b"12345")[: BLOCK + 5]), "/a") == b"12345"
    with pytest.raises(Corrupt, match="cut"):
        read(member(b"a", b"12345")[: BLOCK + 4])


def sparse(*runs: tuple[int, int]) -> bytes:
    return b"".join(b"%011o\0%011o\0" % run for run in runs)


def gnu_sparse(stored: bytes, size: int, runs: list[tuple[int, int]]) -> bytes:
    first, rest = runs[:4], runs[4:]
    tail = bytes(41) + sparse(*first).ljust(96, b"\0") + (b"\1" if rest else b"\0") + b"%011o\0" % size
    head = header(
        b"s", b"S", len(stored), magic=b"ustar ", version=b" \0", prefix=tail[:155], padding=tail[155:].ljust(12, b"\0")
    )
    blocks = []
    while rest:
        block, rest = rest[:21], rest[21:]
        blocks.append(sparse(*block).ljust(504, b"\0") + (b"\1" if rest else b"\0") + bytes(7))
    return head + b"".join(blocks) + padded(stored)


def test_sparse_files() -> None:
    runs = [(number * 1000, 10) for number in range(30)]
    want = b"".join(b"0123456789" + bytes(990) for _ in runs) + bytes(70_000)
    stored = b"0123456789" * 30
    gnu = gnu_sparse(stored, len(want), runs)
    text = b"30\n" + b"".join(b"%d\n%d\n" % run for run in runs)
    records = {"GNU__sparse__major": b"1", "GNU__sparse__minor": b"0", "GNU__sparse__name": b"s"}
    one = pax(GNU__sparse__realsize=b"%d" % len(want), **records) + member(b"GNUSparseFile.0/s", padded(text) + stored)
    flat = b",".join(b"%d,%d" % run for run in runs)
    zero_one = pax(GNU__sparse__size=b"%d" % len(want), GNU__sparse__map=flat) + member(b"s", stored)
    for data in (gnu, one, zero_one):
        tree = read(data + member(b"after", b"x") + END)
        assert content(tree, "/s") == want
        assert content(tree, "/after") == b"x"
        node = tree["/s"]
        assert isinstance(node, File)
        assert [part.size for part in node.content.segments() if not part.hole] == [10] * 30
        assert node.content.read_at(995, 20) == bytes(5) + b"0123456789" + bytes(5)
        assert node.content.read_at(len(want) - 3, 9) == bytes(3) and node.content.read_at(len(want), 1) == b""


BROKEN = {
    "absolute": member(b"/etc/passwd"),
    "dots": member(b"a/../../etc"),
    "dots only": member(b".."),
    "NUL": pax(path=b"a\0b") + member(b"x"),
    "empty name": member(b""),
    "link outside": member(b"a", kind=b"1", linkname=b"../b"),
    "link to an absolute name": member(b"a", kind=b"1", linkname=b"/b"),
    "dangling link": member(b"a", kind=b"1", linkname=b"b"),
    "links in a circle": member(b"a", kind=b"1", linkname=b"b") + member(b"b", kind=b"1", linkname=b"a"),
    "link to itself": member(b"a", kind=b"1", linkname=b"a"),
    "link to a directory": member(b"d", kind=b"5") + member(b"a", kind=b"1", linkname=b"d"),
    "later link to a directory": member(b"a", kind=b"1", linkname=b"d") + member(b"d", kind=b"5"),
    "through a symbolic link": member(b"l", kind=b"2", linkname=b"/etc") + member(b"l/passwd", b"x"),
    "below a file": member(b"f", b"x") + member(b"f/g"),
    "over a directory": member(b"d/f") + member(b"d", b"x"),
    "root is a file": member(b".", b"x"),
    "symbolic link to nothing": member(b"l", kind=b"2"),
    "beyond the end": header(b"a", size=1 << 30),
    "negative size": header(b"a", size_field=binary(-1, 12)),
    "no number": member(b"a", uid=b"bananas\0"),
    "eight": member(b"a", uid=b"0000008\0"),
    "time out of range": member(b"a", mtime=binary(1 << 80, 12)),
    "owner out of range": pax(uid=b"9" * 20) + member(b"a"),
    "PAX uid": pax(uid=b"1x") + member(b"a"),
    "PAX mtime": pax(mtime=b"1e5") + member(b"a"),
    "PAX length": member(b"x", b"99 path=a\n", b"x") + member(b"a"),
    "PAX no newline": member(b"x", b"9 path=ab", b"x") + member(b"a"),
    "PAX no equals": member(b"x", b"7 path\n", b"x") + member(b"a"),
    "PAX no keyword": member(b"x", b"5 =a\n", b"x") + member(b"a"),
    "PAX at the end": pax(path=b"a"),
    "PAX cut": header(b"x", b"x", 5000) + b"11 path=ab\n",
    "unknown kind": member(b"a", kind=b"Q"),
    "several volumes": member(b"a", kind=b"M"),
    "attributes for all": pax(b"g", SCHILY__xattr__user__a=b"1") + member(b"a"),
    "no base64": pax(LIBARCHIVE__xattr__user__a=b"***") + member(b"a"),
    "attribute without a name": pax(SCHILY__xattr__=b"x") + member(b"a"),
    "device number": member(b"a", kind=b"3", devmajor=binary(1 << 40, 8)),
    "sparse: out of order": gnu_sparse(b"x" * 20, 100, [(50, 10), (0, 10)]),
    "sparse: beyond the size": gnu_sparse(b"x" * 20, 15, [(0, 10), (10, 10)]),
    "sparse: more than stored": gnu_sparse(b"x" * 5, 100, [(0, 10)]),
    "sparse: no size": pax(GNU__sparse__map=b"0,1") + member(b"a", b"x"),
    "sparse: odd map": pax(GNU__sparse__size=b"9", GNU__sparse__map=b"0,1,2") + member(b"a", b"x"),
    "sparse: map of words": pax(GNU__sparse__size=b"9", GNU__sparse__map=b"a,b") + member(b"a", b"x"),
    "sparse: 2.0": pax(GNU__sparse__major=b"2", GNU__sparse__realsize=b"9") + member(b"a", b"x"),
    "sparse: long map": pax(GNU__sparse__major=b"1", GNU__sparse__realsize=b"9") + member(b"a", b"99\n1\n".ljust(512, b"\n")),
    "sparse: endless map": pax(GNU__sparse__major=b"1", GNU__sparse__realsize=b"9") + member(b"a", b"1" * 512),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_refused(name: str) -> None:
    data = member(b"first", b"1") + BROKEN[name] + END
    with pytest.raises(FormatError) as caught:
        read(data)
    assert caught.value.offset is not None and caught.value.offset >= 2 * BLOCK
    findings = list(check_blob(BytesBlob(data), Limits(), Control()))
    assert [(finding.fatal, finding.message) for finding in findings] == [(True, caught.value.message)]


def test_a_wrong_checksum_names_the_place() -> None:
    good = member(b"a", b"1") + member(b"b", b"2")
    for at in (0, 2 * BLOCK):
        bad = bytearray(good + END)
        bad[at + 5] ^= 1
        with pytest.raises(Corrupt, match="checksum") as caught:
            read(bytes(bad))
        assert caught.value.offset == at


def test_signed_checksums() -> None:
    block = bytearray(header(b"\xff\xfe"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(byte - 256 if byte > 127 else byte for byte in block)
    assert paths(read(bytes(block) + END)) == [b"/", b"/\xff\xfe"]


@pytest.mark.parametrize(
    ("limits", "data", "field"),
    [
        (Limits(max_entries=10), b"".join(member(b"%d" % n, kind=b"3") for n in range(11)), "max_entries"),
        (Limits(max_entries=10), member(b"same", kind=b"3") * 11, "max_entries"),
        (Limits(max_entries=10), member(b"/".join([b"d"] * 12)), "max_entries"),
        (Limits(max_depth=4), member(b"/".join([b"d"] * 6)), "max_depth"),
        (Limits(max_path=50), member(b"d" * 60), "max_path"),
        (Limits(max_path=200), long_name(b"d" * 300) + member(b"d"), "max_path"),
        (Limits(max_path=200), pax(path=b"d" * 300) + member(b"d"), "max_path"),
        (Limits(max_xattrs=100), pax(SCHILY__xattr__user__a=b"x" * 200) + member(b"d"), "max_xattrs"),
        (Limits(max_xattrs=100, max_path=100), pax(comment=b"x" * 70_000) + member(b"d"), "max_xattrs"),
        (Limits(max_xattrs=100, max_path=100), pax(comment=b"x" * 40_000) * 2 + member(b"d"), "max_xattrs"),
        (Limits(max_file_size=4), member(b"d", b"12345"), "max_file_size"),
        (Limits(max_file_size=4), gnu_sparse(b"", 5, []), "max_file_size"),
        (Limits(max_metadata=1000), b"".join(member(b"%d" % n) for n in range(10)), "max_metadata"),
        (
            Limits(),
            pax(GNU__sparse__major=b"1", GNU__sparse__realsize=b"9") + member(b"a", b"9" * 15 + b"\n" * 497),
            "max_metadata",
        ),
    ],
)
def test_limits(limits: Limits, data: bytes, field: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        read(data + END, limits)
    assert caught.value.field == field


def test_what_is_detected() -> None:
    v7 = member(b"a", magic=b"", version=b"")
    for data in (member(b"a"), v7, bytes(10240), bytes(1024)):
        assert detect(BytesBlob(data)) is FORMAT
    assert paths(read(bytes(10240))) == [b"/"]
    for other in (b"", b"x" * 600, bytes(512), bytes(2048), v7[:511], b"\0" + v7[1:]):
        assert detect(BytesBlob(other)) is not FORMAT
    assert detect(ZeroBlob(1 << 40)) is None
    with pytest.raises(NotThisFormat):
        read(b"x" * 2000)
    with pytest.raises(ImgcoreError):
        read(b"ustar")


def test_info_and_layout() -> None:
    data = pax(mtime=b"1.5") + member(b"a", b"1") + member(b"b", kind=b"1", linkname=b"a") + END
    image = open_image(BytesBlob(data))
    assert image.info() == {
        "dialects": ["pax", "ustar"],
        "members": 2,
        "kinds": {"file": 1, "hard link": 1},
        "content_bytes": 1,
        "end": 5 * BLOCK,
        "ending": "zeros",
        "file_size": 7 * BLOCK,
    }
    assert [(item.offset, item.size, item.name, item.value) for item in image.layout()] == [
        (0, 2 * BLOCK, "extended headers", ""),
        (2 * BLOCK, BLOCK, "Header: file", "a"),
        (3 * BLOCK, 1, "content", ""),
        (4 * BLOCK, BLOCK, "Header: hard link", "b"),
        (5 * BLOCK, 2 * BLOCK, "end of archive", "zeros"),
    ]


def test_unsupported_says_what_to_do() -> None:
    with pytest.raises(Unsupported) as caught:
        read(member(b"a", kind=b"M") + END)
    assert caught.value.hint and "joined" in caught.value.hint
