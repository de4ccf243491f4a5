from __future__ import annotations

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, ImgcoreError, PathError
from imgcore.listings import apply_xattr_dump, read_xattr_dump
from imgcore.model import file, tree

DUMP = rb"""# file: usr/a
user.text="a \"text\"\012with \\ octal"
user.base64=0sAQI=
user.hex=0x0102
user.empty=""
user.none
user.a\075b="1"

# file: odd\040na\012me
security.selinux="x_t\000"
# file: usr/a
user.more="2"
# file: .
user.root="r"
"""


def test_read() -> None:
    found = read_xattr_dump(BytesBlob(DUMP))
    assert {path: line for path, (line, _) in found.items()} == {b"/usr/a": 1, b"/odd na\nme": 9, b"/": 13}
    assert found[b"/usr/a"][1] == {
        b"user.text": b'a "text"\nwith \\ octal',
        b"user.base64": b"\1\2",
        b"user.hex": b"\1\2",
        b"user.empty": b"",
        b"user.none": b"",
        b"user.a=b": b"1",
        b"user.more": b"2",
    }
    assert found[b"/odd na\nme"][1] == {b"security.selinux": b"x_t\0"}


def test_apply() -> None:
    twice = file(b"", xattrs={b"user.text": b"old", b"user.stays": b"1"})
    changed = apply_xattr_dump(tree({"/usr/a": twice, "/b": twice, b"/odd na\nme": b""}), BytesBlob(DUMP))
    assert changed["/usr/a"] is changed["/b"]
    assert changed["/b"].meta.xattrs[b"user.text"].startswith(b"a ")
    assert changed["/b"].meta.xattrs[b"user.stays"] == b"1"
    assert changed.root.meta.xattrs == {b"user.root": b"r"}


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        (b'user.a="1"', Corrupt, 1),
        (b'# file: a\n="1"', Corrupt, 2),
        (b'# file: a\nuser.a="1', Corrupt, 2),
        (b'# file: a\nuser.a="', Corrupt, 2),
        (b"# file: a\nuser.a=0s!", Corrupt, 2),
        (b"# file: a\nuser.a=0x1", Corrupt, 2),
        (b"\n# file: ../a", PathError, 2),
        (b"\n# file: nope\nuser.a=1", PathError, 2),
    ],
)
def test_mistakes(text: bytes, error: type[ImgcoreError], line: int) -> None:
    with pytest.raises(error) as caught:
        apply_xattr_dump(tree({"/a": b""}), BytesBlob(text))
    assert caught.value.line == line
