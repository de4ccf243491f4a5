from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, ImgcoreError, PathError, SourceUnreadable, Unsupported
from imgcore.limits import Limits
from imgcore.listings import read_pack_file
from imgcore.model import Device, Meta, Pipe, Socket, Symlink, Tree, char_device, directory, file, symlink, tree
from tests.kit.files import TreeFiles


def read(text: bytes, files: TreeFiles | None = None) -> Tree:
    return read_pack_file(BytesBlob(text), files or TreeFiles(), time_ns=9)


def test_every_entry() -> None:
    text = rb"""
# a comment
  dir /dev 0750 1 2
nod /dev/console 0600 0 5 c 5 1
nod /dev/sda 660 0 6 B 8 0
slink /l 0700 1 2 a target  with blanks
slink "/q s\"x\\" 0777 0 0 "quoted"
file /a 0640 3 4
file /made/b 0600 0 0 sub/w
file "/with blank" 0600 0 0 with blank
pipe /p 0644 0 0
sock /s 0644 0 0
link /hard 0 0 0 /made/b
dir / 0711 7 8
dir /made 0700 0 0
dir back\slash 0755 0 0
dir /quo"te 0755 0 0
"""
    made = read(text, TreeFiles(tree({"/a": b"host a", "/sub/w": b"host w", "/with blank": b"blank"})))
    assert made.root.meta == Meta(0o711, 7, 8, 9)
    assert made["/dev"].meta == Meta(0o750, 1, 2, 9)
    assert isinstance(made["/dev/console"], Device)
    assert (made["/dev/sda"].kind, made["/dev/sda"].major, made["/dev/sda"].minor) == ("block", 8, 0)  # type: ignore[union-attr]
    assert isinstance(made["/l"], Symlink)
    assert (made["/l"].target, made["/l"].meta.mode) == (b"a target  with blanks", 0o777)
    assert made['/q s"x\\'].target == b'"quoted"'  # type: ignore[union-attr]
    assert made["/a"].content.read_at(0, 9) == b"host a"  # type: ignore[union-attr]
    assert made["/made/b"].content.read_at(0, 9) == b"host w"  # type: ignore[union-attr]
    assert made["/with blank"].content.read_at(0, 9) == b"blank"  # type: ignore[union-attr]
    assert made["/made"].meta.mode == 0o700
    assert isinstance(made["/p"], Pipe)
    assert isinstance(made["/s"], Socket)
    assert made["/hard"] is made["/made/b"]
    assert {b"/back\\slash", b'/quo"te'} <= {path for path, _ in made.walk()}


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        (b"dir", Corrupt, "not an entry"),
        (b"dir /a", Corrupt, "not an entry"),
        (b'dir "/a 0755 0 0', Corrupt, "not an entry"),
        (b"folder /a 0755 0 0", Corrupt, "unknown entry"),
        (b"dir /a 0755 0 0 more", Corrupt, "no more"),
        (b"slink /a 0755 0 0", Corrupt, "needs more"),
        (b"glob /a 0755 0 0", Corrupt, "needs more"),
        (b"dir /a 0999 0 0", Corrupt, "octal"),
        (b"dir /a 0755 ann 0", Corrupt, "a user"),
        (b"dir /a 0755 0 -1", Corrupt, "a group"),
        (b"dir ../a 0755 0 0", PathError, r"\.\."),
        (b"dir /a\0 0755 0 0", PathError, "NUL"),
        (b"nod /a 0755 0 0 c 5", Corrupt, "not a device"),
        (b"nod /a 0755 0 0 x 5 1", Corrupt, "not a device"),
        (b"nod /a 0755 0 0 c 5 x", Corrupt, "a device"),
        (b"file /a 0755 0 0 nope", SourceUnreadable, "cannot open"),
        (b"file /a 0755 0 0 sub", PathError, "not a file"),
        (b"link /a 0 0 0 /nope", PathError, "no such path"),
        (b"link /a 0 0 0 /", PathError, "no such path"),
        (b"pipe /there 0755 0 0", PathError, "named twice"),
        (b"pipe /there/x 0755 0 0", PathError, "not a directory"),
        (b"glob /a * * * -what sub", Unsupported, "unknown option"),
        (b"glob /a * * * -type x sub", Corrupt, "unknown type"),
        (b"glob /a * * * -type d", Corrupt, "value and a location"),
        (b'glob /a * * * -name "x sub', Corrupt, "value and a location"),
        (b"glob /a * * * -- ", Corrupt, "location"),
        (b"glob /a * ann * sub", Corrupt, "a user"),
    ],
)
def test_mistakes_name_their_line(line: bytes, error: type[ImgcoreError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        read(b"pipe /there 0644 0 0\n" + line)
    assert type(caught.value) is error
    assert caught.value.line == 2


def sources() -> TreeFiles:
    twice = file(b"2", mode=0o600, uid=5, gid=6, mtime_ns=77)
    return TreeFiles(
        tree(
            {
                "/in/a.so": twice,
                "/in/b c": b"",
                "/in/x": directory(mode=0o750, mtime_ns=8),
                "/in/x/a.so": twice,
                "/in/x/y/deep.so.1": b"",
                "/in/x/l": symlink("a.so"),
                "/in/x/n": char_device(1, 3),
            }
        )
    )


def globbed(options: bytes, before: bytes = b"") -> dict[str, str]:
    made = read(before + b"\nglob /to " + options + b" in", sources())
    return {path.decode(): f"{node.meta.mode:o} {node.meta.uid} {node.meta.gid}" for path, node in made.walk() if path[1:]}


ALL = {"/to/a.so", "/to/b c", "/to/x", "/to/x/a.so", "/to/x/y", "/to/x/y/deep.so.1", "/to/x/l", "/to/x/n"}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (b"* * *", ALL),
        (b"* * * -xdev", ALL),
        (b"* * * -mount --", ALL),
        (b"* * * -type d", {"/to/x", "/to/x/y"}),
        (b"* * * -type f", {"/to/a.so", "/to/b c"}),
        (b"* * * -type f -type d", ALL - {"/to/x/l", "/to/x/n"}),
        (b"* * * -type d -type l -type c", {"/to/x", "/to/x/y", "/to/x/l", "/to/x/n"}),
        (b"* * * -nonrecursive", {"/to/a.so", "/to/b c", "/to/x"}),
        (b"* * * -name *.so", {"/to/a.so"}),
        (b"* * * -name 'b c'", {"/to/b c"}),
        (b'* * * -name "b c"', {"/to/b c"}),
        (b"* * * -path to/x*", {"/to/x"}),
        (b"* * * -path to/*", {"/to/a.so", "/to/b c", "/to/x"}),
        (b"* * * -path /to/*", set()),
    ],
)
def test_glob(options: bytes, found: set[str]) -> None:
    assert set(globbed(options)) - {"/to"} == found


def test_glob_enters_directories_that_are_there() -> None:
    found = globbed(b"* * * -type f", b"dir /to/x 0711 1 1\n")
    assert set(found) == {"/to", "/to/a.so", "/to/b c", "/to/x", "/to/x/a.so"}
    assert found["/to/x"] == "711 1 1"


def test_glob_metadata() -> None:
    assert globbed(b"* * *")["/to/a.so"] == "600 5 6"
    changed = globbed(b"0640 1 *")
    assert (changed["/to/a.so"], changed["/to/x"], changed["/to/x/l"]) == ("640 1 6", "640 1 0", "777 1 0")
    files = sources()
    assert read(b"glob / * * * -keeptime in", files)["/a.so"].meta.mtime_ns == 77
    made = read(b"glob / * * * -xdev in", files)
    assert made["/a.so"].meta.mtime_ns == 9
    assert made["/a.so"] is made["/x/a.so"]
    assert files.asked == [(b"in", False), (b"in", True)]


def test_limits() -> None:
    with pytest.raises(ImgcoreError, match="max_entries"):
        read_pack_file(
            BytesBlob(b"\n".join(b"pipe /%d 0644 0 0" % n for n in range(9))), TreeFiles(), limits=Limits(max_entries=5)
        )
