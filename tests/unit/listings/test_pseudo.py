from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob, HostFile, Identity
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded, PathError, SourceUnreadable, Unsupported
from imgcore.limits import Limits
from imgcore.listings import apply_pseudo, parse_pseudo, read_pseudo_file
from imgcore.model import Device, Dir, File, Meta, Pipe, Socket, Symlink, Tree, directory, file, symlink, tree
from tests.kit.files import TreeFiles

SECOND = 10**9


def base() -> Tree:
    twice = file(b"a", mtime_ns=5)
    root = directory(mtime_ns=7 * SECOND, mode=0o700)
    return tree({"/": root, "/a": twice, "/d/b": twice, "/d": directory(mtime_ns=6, xattrs={b"user.old": b"1"})})


def apply(text: bytes, on: Tree | None = None, files: TreeFiles | None = None) -> Tree:
    return apply_pseudo(on, read_pseudo_file(BytesBlob(text)), files=files or TreeFiles())


def one(line: bytes) -> object:
    """Return what one definition adds to `base`."""
    return apply(line, base())[b"/new"]


@pytest.mark.parametrize(
    ("line", "kind", "meta", "more"),
    [
        (b"new d 1755 3 4", Dir, Meta(0o1755, 3, 4, 7 * SECOND), {}),
        (b"new D 9 755 ann staff", Dir, Meta(0o755, 1001, 50, 9 * SECOND), {}),
        (b"new b 660 root root 8 1", Device, Meta(0o660, 0, 0, 7 * SECOND), {"kind": "block", "major": 8, "minor": 1}),
        (b"new B -9 660 0 6 8 1", Device, Meta(0o660, 0, 6, -9 * SECOND), {"kind": "block", "major": 8, "minor": 1}),
        (b"new c 600 0 5 5 1", Device, Meta(0o600, 0, 5, 7 * SECOND), {"kind": "char", "major": 5, "minor": 1}),
        (b"new C 1 600 0 5 5 1", Device, Meta(0o600, 0, 5, SECOND), {"kind": "char", "major": 5, "minor": 1}),
        (b"new s 777 1 2 a  target ", Symlink, Meta(0o777, 1, 2, 7 * SECOND), {"target": b"a  target "}),
        (b'new S 4 777 1 2 "q\\x', Symlink, Meta(0o777, 1, 2, 4 * SECOND), {"target": b'"q\\x'}),
        (b"new s 777 1 2 #x", Symlink, Meta(0o777, 1, 2, 7 * SECOND), {"target": b"#x"}),
        (b"new i 644 1 2 s", Socket, Meta(0o644, 1, 2, 7 * SECOND), {}),
        (b"new I 2 644 1 2 f", Pipe, Meta(0o644, 1, 2, 2 * SECOND), {}),
        (b"new D 2026-01-31T12:00:00Z 755 0 0", Dir, Meta(0o755, 0, 0, 1769860800 * SECOND), {}),
        (b"new D 2026-01-31T12:00:00.5+01:00 755 0 0", Dir, Meta(0o755, 0, 0, 1769857200 * SECOND + SECOND // 2), {}),
        (b'new D "2026-01-31 12:00:00" 755 0 0', Dir, Meta(0o755, 0, 0, 1769860800 * SECOND), {}),
    ],
)
def test_what_is_added(line: bytes, kind: type, meta: Meta, more: dict[str, object]) -> None:
    made = one(line)
    assert isinstance(made, kind)
    assert made.meta == meta  # type: ignore[attr-defined]
    assert {key: getattr(made, key) for key in more} == more


def test_m_changes_all_but_time_and_attributes() -> None:
    changed = apply(b"a m 600 1 2\nd M 8 711 3 4\n/ m 755 5 6\na m 640 1 2", base())
    assert changed["/a"].meta == Meta(0o640, 1, 2, 5)
    assert changed["/a"] is changed["/d/b"]  # a hard link stays one
    assert changed["/d"].meta == Meta(0o711, 3, 4, 8 * SECOND, {b"user.old": b"1"})
    assert changed.root.meta == Meta(0o755, 5, 6, 7 * SECOND)


def test_x() -> None:
    text = rb"""
a x user.text=plain text\012 q
a x user.escaped=0thi\012there\\
a x user.base64=0saGk=
a x user.hex=0X6869
a x user.empty=
d x user.more=2
/ x security.selinux=label
"""
    changed = apply(text, base())
    assert changed["/d/b"].meta.xattrs == {
        b"user.text": rb"plain text\012 q",
        b"user.escaped": b"hi\nthere\\",
        b"user.base64": b"hi",
        b"user.hex": b"hi",
        b"user.empty": b"",
    }
    assert changed["/d"].meta.xattrs == {b"user.old": b"1", b"user.more": b"2"}
    assert changed.root.meta.xattrs == {b"security.selinux": b"label"}


def test_files_of_the_host() -> None:
    files = TreeFiles(tree({"/a": b"host a", "/to-a": symlink("a")}))
    changed = apply(b"one l a\ntwo l to-a\nthree h to-a", base(), files)
    assert changed["/one"] is files.host["/a"]
    assert isinstance(changed["/two"], Symlink)
    assert changed["/three"] is files.host["/a"]
    assert files.asked == [(b"a", False), (b"to-a", False), (b"to-a", True)]
    with pytest.raises(SourceUnreadable) as caught:
        apply(b"\none h nope", base())
    assert caught.value.line == 2
    with pytest.raises(Unsupported):
        apply_pseudo(base(), read_pseudo_file(BytesBlob(b"one l a")))


def test_a_file_of_the_host_that_is_in_the_tree_is_a_hard_link() -> None:
    def host(path: bytes) -> File:
        return File(Meta(), HostFile(path, Identity(1, 2, 0, 0, 0, 0)))

    inside = host(b"/x/in")
    files = TreeFiles(tree({"/out": host(b"/x/out"), "/out2": host(b"/x/out2")}))
    changed = apply(b"new l out\nnew2 h out2", tree({"/in": inside}), files)
    assert changed["/new"] is changed["/in"] is changed["/new2"] is inside


def test_hard_links_inside() -> None:
    changed = apply(b"hard L d/b\nc c 600 0 0 1 3\nalso L /c", base())
    assert changed["/hard"] is changed["/a"]
    assert changed["/also"] is changed["/c"]


def test_r_and_the_data_behind() -> None:
    data = b"hello\n# START OF DATA - DO NOT MODIFY\n\0\xff"
    text = b"/ D 5 711 1 2\nsome\\ file R 3 640 7 8 5 0 0\nb R 4 644 0 0 3 2 1\ne R 4 644 0 0 0 %d 0\n#\n" % len(data)
    made = apply(text + b"# START OF DATA - DO NOT MODIFY\n#\n" + data)
    assert made.root.meta == Meta(0o711, 1, 2, 5 * SECOND)
    assert made["/some file"].meta == Meta(0o640, 7, 8, 3 * SECOND)
    assert [made[path].content.read_at(0, 99) for path in ("/some file", "/b", "/e")] == [b"hello", b"llo", b""]  # type: ignore[union-attr]


@pytest.mark.parametrize("numbers", [b"6 0", b"1 5", b"0 6", b"9 99999999999999999999"])
def test_r_beyond_the_data(numbers: bytes) -> None:
    text = b"\na R 3 640 7 8 " + numbers + b" 0\n# START OF DATA - DO NOT MODIFY\n#\n12345"
    with pytest.raises(Corrupt) as caught:
        read_pseudo_file(BytesBlob(text))
    assert (caught.value.line, caught.value.path) == (2, b"/a")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"plain d 755 0 0", b"/plain"),
        (b"  \t/lead//./x d 755 0 0  ", b"/lead/x"),
        (b"back\\ slash d 755 0 0", b"/back slash"),
        (b'"two words" d 755 0 0', b"/two words"),
        (b'q\\"q d 755 0 0', b'/q"q'),
        (b"b\\\\s d 755 0 0", b"/b\\s"),
        (b'"a\\"b"c d 755 0 0', b'/a"bc'),
        (b"\\#hash d 755 0 0", b"/#hash"),
        (b"tab\\\tt d 755 0 0", b"/tab\tt"),
        (b"n\\\nl d 755 0 0", b"/n\nl"),  # what `unsquashfs -pf` writes of a name with a newline
        (b"\\\nl d 755 0 0", b"/\nl"),
        (b"\xff d 755 0 0", b"/\xff"),
        (b"joined d \\\n755 0 \\\n 0", b"/joined"),
        (b"crlf d 755 0 0\r", b"/crlf"),
        (b'"c r" d 755 0 0\r', b"/c r"),
    ],
)
def test_quoting(line: bytes, path: bytes) -> None:
    (entry,) = read_pseudo_file(BytesBlob(line + b"\n"))
    assert (entry.path, entry.mode, entry.user, entry.group) == (path, 0o755, "0", "0")


def test_comments_and_lines() -> None:
    text = b"# c \\\nin the comment too\n\n  # d\n\t\na d 755 0 \\\n0\nb s 777 0 0 one\\\ntwo"
    entries = read_pseudo_file(BytesBlob(text))
    assert [(entry.path, entry.line) for entry in entries] == [(b"/a", 6), (b"/b", 8)]
    assert entries[1].target == b"onetwo"
    assert parse_pseudo(b"") is None
    assert parse_pseudo(b" # x") is None


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        (b"a", Corrupt, "not a pseudo-file definition"),
        (b"a d", Corrupt, "not a pseudo-file definition"),
        (b"a dd 755 0 0", Corrupt, "not a pseudo-file definition"),
        (b"a z 755 0 0", Corrupt, "not a pseudo-file definition"),
        (b'"a d 755 0 0', Corrupt, "quote"),
        (b"a f 644 0 0 echo", Unsupported, "runs no programs"),
        (b"a F 1 644 0 0 echo", Unsupported, "runs no programs"),
        (b"../a d 755 0 0", PathError, r"`\.\.`"),
        (b"a/../b d 755 0 0", PathError, r"`\.\.`"),
        (b"a\0 d 755 0 0", PathError, "NUL"),
        (b"a d 755", Corrupt, "mode, user and group"),
        (b"a d 855 0 0", Corrupt, "octal"),
        (b"a d 17777 0 0", Corrupt, "octal"),
        (b"a d u=rwx 0 0", Corrupt, "octal"),
        (b"a d 755 0 0 more", Corrupt, "0 words"),
        (b"a d 755 4294967295 0", Corrupt, "a user"),
        (b"a d 755 0 99999999999999999999999", Corrupt, "a group"),
        (b"a d 755 nobody-knows 0", Corrupt, "no such user"),
        (b"a d 755 0 nobody-knows", Corrupt, "no such group"),
        (b"a D soon 755 0 0", Corrupt, "not a time"),
        (b"a D #x", Corrupt, "time"),
        (b"a D 5", Corrupt, "time"),
        (b"a c 600 0 0 1", Corrupt, "2 words"),
        (b"a c 600 0 0 1 x", Corrupt, "a device"),
        (b"a c 600 0 0 1 4294967296", Corrupt, "a device"),
        (b"a i 600 0 0 x", Corrupt, "neither s"),
        (b"a i 600 0 0", Corrupt, "1 words"),
        (b"a s 777 0 0", Corrupt, "without a target"),
        (b"a x user.a", Corrupt, "="),
        (b"d x user.a=0s!", Corrupt, "extended attribute"),
        (b"d x user.a=0x123", Corrupt, "extended attribute"),
        (b"a R 1 644 0 0 1 0 0", Corrupt, "not in the data"),
        (b"a R 1 644 0 0 1 0", Corrupt, "3 words"),
        (b"a L x y", Corrupt, "one path"),
        (b"a L nope", PathError, "no such path"),
        (b"a L d", PathError, "no such path"),
        (b"a L ../x", PathError, r"\.\."),
        (b"x/y d 755 0 0", PathError, "its directory is missing"),
        (b"f/y d 755 0 0", PathError, "not a directory"),
        (b"f d 755 0 0", PathError, "named twice"),
        (b"d d 755 0 0", PathError, "named twice"),
        (b"/ d 755 0 0", PathError, "root"),
        (b"nope m 755 0 0", PathError, "no such path"),
        (b"nope x user.a=1", PathError, "no such path"),
    ],
)
def test_mistakes_name_their_line(line: bytes, error: type[ImgcoreError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        apply(b"\n" + line, tree({"/f": b"", "/d/": b""}))
    assert type(caught.value) is error
    assert caught.value.line == 2


def test_two_definitions_of_one_name() -> None:
    with pytest.raises(PathError, match="named twice") as caught:
        apply(b"a d 755 0 0\na c 600 0 0 1 3")
    assert caught.value.line == 2


def test_conflicts_may_be_left_out() -> None:
    told: list[tuple[int | None, bytes | str | None]] = []
    changed = apply_pseudo(
        base(),
        read_pseudo_file(BytesBlob(b"a d 755 0 0\n/ d 755 0 0\nnope m 755 0 0\nnew d 755 0 0")),
        conflict=lambda error: told.append((error.line, error.path)),
    )
    assert told == [(2, b"/"), (1, b"/a"), (3, b"/nope")]
    assert isinstance(changed["/a"], File)
    assert isinstance(changed["/new"], Dir)
    for text in (b"x/y d 755 0 0", b"l L nope"):  # nothing is in the way: it cannot be made
        with pytest.raises(PathError):
            apply_pseudo(base(), read_pseudo_file(BytesBlob(text)), conflict=lambda error: told.append((0, b"")))


def test_the_order_says_nothing() -> None:
    lines = [b"d/e d 755 0 0", b"d d 755 0 0", b"d/l L d/e/f", b"d/e/f c 600 0 0 1 3", b"d/e/f m 640 1 1"]
    forth, back = apply(b"\n".join(lines)), apply(b"\n".join(reversed(lines)))
    for made in (forth, back):
        assert made["/d/l"] is made["/d/e/f"]
        assert made["/d/l"].meta.mode == 0o640


def test_directories_that_are_made_on_the_way() -> None:
    made = apply_pseudo(None, read_pseudo_file(BytesBlob(b"x/y/z d 700 0 0")), missing=Meta(0o751))
    assert [made[path].meta.mode for path in ("/x", "/x/y", "/x/y/z")] == [0o751, 0o751, 0o700]


def test_limits() -> None:
    with pytest.raises(LimitExceeded, match="max_entries"):
        read_pseudo_file(BytesBlob(b"a d 755 0 0\n" * 9), Limits(max_entries=5))
    with pytest.raises(LimitExceeded, match="max_path"):
        apply_pseudo(None, read_pseudo_file(BytesBlob(b"a" * 40 + b" d 755 0 0")), limits=Limits(max_path=30))
    with pytest.raises(LimitExceeded, match="max_depth"):
        deep = b"/".join([b"a"] * 40) + b" d 755 0 0"
        apply_pseudo(None, read_pseudo_file(BytesBlob(deep)), missing=Meta(), limits=Limits(max_depth=30))
    endless = BytesBlob(b"a \\\n" * 200_000)
    with pytest.raises(Corrupt, match="too long"):
        read_pseudo_file(endless, Limits(max_path=16, max_xattrs=16))


def test_long_data_is_no_long_line() -> None:
    text = b"a R 1 644 0 0 3000000 0 0\n# START OF DATA - DO NOT MODIFY\n#\n" + b"x" * 3_000_000
    limits = Limits(max_path=16, max_xattrs=16)
    (entry,) = read_pseudo_file(BytesBlob(text), limits)
    assert entry.numbers == (3_000_000, 0)
