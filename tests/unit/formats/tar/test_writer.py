"""What the tar writer puts where: names, numbers, records, holes, links, the end."""

from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob, ZeroBlob
from imgcore.errors import NotRepresentable
from imgcore.formats.archive_writer import content_runs
from imgcore.formats.tar import FORMAT, Options, open_image
from imgcore.formats.tar.acl import acl_from_text, acl_to_text
from imgcore.formats.tar.layout import parse_pax_time, pax_record, pax_records, pax_time
from imgcore.formats.tar.members import MemberReader
from imgcore.formats.tar.writer import split_name
from imgcore.limits import Limits
from imgcore.model import Dir, File, Meta, Node, Socket, Tree, tree
from imgcore.testing.strategies import HolesBlob
from tests.kit.archives import ACL, hard, read, written


def members(data: bytes) -> dict[bytes, tuple[bytes, list[bytes]]]:
    """Return (kind, keywords of its records) of each member by name."""
    reader = MemberReader(BytesBlob(data), Limits())
    return {member.name: (member.kind, [key for key, _ in member.records]) for member in reader}


def one(node: Node) -> bytes:
    return written(FORMAT, Tree(Dir(Meta(0o755), {b"f": node})))


def test_plain_trees_need_no_records() -> None:
    data = written(FORMAT, tree({"/usr/bin/x": b"1", "/etc/": b""}))
    assert list(members(data)) == [b"./", b"./etc/", b"./usr/", b"./usr/bin/", b"./usr/bin/x"]
    assert open_image(BytesBlob(data)).info()["dialects"] == ["ustar"]
    assert len(data) % 10240 == 0 and data.endswith(bytes(1024))


@pytest.mark.parametrize(
    ("meta", "keys"),
    [
        (Meta(uid=0o7777777, mtime_ns=0), []),
        (Meta(uid=0o10000000), [b"uid"]),
        (Meta(gid=2**32 - 2), [b"gid"]),
        (Meta(mtime_ns=1), [b"mtime"]),
        (Meta(mtime_ns=-(10**9)), [b"mtime"]),
        (Meta(mtime_ns=(8**11 - 1) * 10**9), []),
        (Meta(mtime_ns=8**11 * 10**9), [b"mtime"]),
        (Meta(xattrs={b"user.b": b"", b"user.a=%": b"1"}), [b"SCHILY.xattr.user.a%3D%25", b"SCHILY.xattr.user.b"]),
        (Meta(xattrs={b"system.posix_acl_access": ACL}), [b"SCHILY.acl.access"]),
        (Meta(xattrs={b"system.posix_acl_access": ACL + b"x"}), [b"SCHILY.xattr.system.posix_acl_access"]),
        (Meta(xattrs={b"SCHILY.acl.access": b"user:who:r--"}), [b"SCHILY.acl.access"]),
    ],
)
def test_records_only_where_they_are_needed(meta: Meta, keys: list[bytes]) -> None:
    data = one(File(meta))
    assert members(data)[b"./f"] == (b"0", keys)
    found = read(FORMAT, data)["/f"].meta
    assert (found.uid, found.gid, found.mtime_ns, dict(found.xattrs)) == (meta.uid, meta.gid, meta.mtime_ns, dict(meta.xattrs))


def test_holes() -> None:
    node = File(Meta(), HolesBlob([b"a" * 70_000, 1 << 20, b"b"]))
    data = one(node)
    assert len(data) < 200_000
    assert b"./GNUSparseFile.0/f" in data
    assert members(data)[b"./f"][1][:2] == [b"GNU.sparse.major", b"GNU.sparse.minor"]
    flat = written(FORMAT, Tree(Dir(Meta(0o755), {b"f": node})), Options(sparse=False))
    assert len(flat) > 1 << 20 and members(flat)[b"./f"] == (b"0", [])
    zeros = one(File(Meta(), BytesBlob(bytes(1 << 20))))
    assert zeros == one(File(Meta(), ZeroBlob(1 << 20))), "an archive depends on bytes, not on how they are stored"


def test_a_huge_hole_is_not_read() -> None:
    class Guarded(ZeroBlob):
        def read_at(self, at: int, size: int) -> bytes:
            raise AssertionError("a hole was read")

    data = one(File(Meta(), Guarded(1 << 40)))
    found = read(FORMAT, data)["/f"]
    assert isinstance(found, File) and found.content.size == 1 << 40
    assert [(part.at, part.size, part.hole) for part in content_runs(HolesBlob([b"x", 5 << 20, b"y"]))] == [
        (0, 65536, False),
        (65536, (5 << 20) - 65536, True),
        (5 << 20, 2, False),
    ]


def test_sockets_are_a_loss_that_can_be_allowed() -> None:
    what = Tree(Dir(Meta(), {b"s": Socket(Meta()), b"f": File(Meta())}))
    with pytest.raises(NotRepresentable) as caught:
        written(FORMAT, what)
    assert caught.value.hint == "--allow-loss device writes it without"
    assert list(members(written(FORMAT, what, Options(allow_loss=("device",))))) == [b"./", b"./f"]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (b"x" * 100, (b"", b"x" * 100)),
        (b"x" * 101, None),
        (b"./" + b"x" * 100, (b".", b"x" * 100)),
        (b"p" * 155 + b"/" + b"x" * 100, (b"p" * 155, b"x" * 100)),
        (b"p" * 156 + b"/" + b"x" * 100, None),
        (b"./" + b"d" * 97 + b"/", (b"", b"./" + b"d" * 97 + b"/")),
        (b"./" + b"d" * 98 + b"/", (b".", b"d" * 98 + b"/")),
        (b"./" + b"d" * 100 + b"/", None),
    ],
)
def test_names_are_split(name: bytes, split: tuple[bytes, bytes] | None) -> None:
    assert split_name(name) == split


@pytest.mark.parametrize("size", [*range(1, 12), 90, 91, 92, 93, 94, 95, 989, 990, 991, 992, 993, 994, 995, 100_000])
def test_a_record_counts_its_own_length(size: int) -> None:
    record = pax_record(b"k", b"v" * size)
    assert int(record.partition(b" ")[0]) == len(record)
    assert pax_records(record + record, 0) == [(b"k", b"v" * size)] * 2


@pytest.mark.parametrize("time", [0, 1, -1, 10**9, -(10**9), 1_500_000_000, -1_500_000_000, 10**18 + 120, -1_000_000_001])
def test_times(time: int) -> None:
    assert parse_pax_time(pax_time(time)) == time
    assert pax_time(1_500_000_000) == b"1.5" and pax_time(-1_500_000_000) == b"-1.5" and pax_time(10**10) == b"10"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        (b"user::rwx,group::r-x,other::r--", True),
        (b"u::rwx,g::r-x,o:r--", True),
        (b"user::rwx,user:0:---,user:5:r--,group::r-x,group:9:-wx,mask::rwx,other::---", True),
        (b"user::rwx # owner\ngroup::r-x\nother::r--\n", True),
        (b"user::rwx,user:joe:r--:17,group::r-x,mask::r--,other::r--", True),
        (b"user::rwx,user:joe:r--,group::r-x,other::r--", False),
        (b"nonsense", False),
        (b"user::q", False),
        (b"", False),
    ],
)
def test_access_lists(text: bytes, good: bool) -> None:
    data = acl_from_text(text)
    assert (data is not None) == good
    if data is not None:
        back = acl_to_text(data)
        assert back is not None and acl_from_text(back) == data
    assert acl_to_text(b"") is None and acl_to_text(b"\3\0\0\0" + ACL[4:]) is None


@pytest.mark.parametrize(("name", "level"), [("gzip", 1), ("xz", 0), ("zstd", 3), ("bzip2", 1), ("none", None)])
def test_options(name: str, level: int | None) -> None:
    settings = {"compression": name, "sparse": "no"} | ({} if level is None else {"level": str(level)})
    options = Options().with_settings(settings)
    assert options == Options(compression=name, level=level, sparse=False)
    assert options.with_settings({}) == options


@pytest.mark.parametrize(
    "settings",
    [
        {"nonsense": "1"},
        {"compression": "lz4"},
        {"level": "3"},
        {"level": "x", "compression": "xz"},
        {"sparse": "maybe"},
        {"jobs": "2"},
    ],
)
def test_bad_options(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        Options().with_settings(settings)
    with pytest.raises(ValueError):
        Options(jobs=0)


def test_everything_comes_back() -> None:
    what = hard()
    first = written(FORMAT, what)
    assert written(FORMAT, read(FORMAT, first)) == first
