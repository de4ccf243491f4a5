from __future__ import annotations

import pytest

from imgcore.errors import Corrupt
from imgcore.model import file, symlink, tree
from imgcore.transforms import FileContexts, label

TEXT = """
/.*            u:o:default
/usr/bin(/.*)? u:o:bin
/usr/bin/a  -- u:o:exact
/usr/bin/.  -- u:o:late
/proc(/.*)?    <<none>>
"""


def test_lookup() -> None:
    contexts = FileContexts.parse(TEXT)
    assert contexts.lookup(b"/usr/bin/a", "file") == b"u:o:exact\0"
    assert contexts.lookup(b"/usr/bin/a", "symlink") == b"u:o:bin\0"
    assert contexts.lookup(b"/usr/bin/b", "file") == b"u:o:late\0"
    assert contexts.lookup(b"/proc/1", "dir") is None
    assert contexts.lookup(b"/\xff", "dir") == b"u:o:default\0"
    assert FileContexts().lookup(b"/", "dir") is None


def test_label() -> None:
    twice = file(b"", xattrs={b"user.a": b"1"})
    sample = tree(
        {"/usr/bin/a": twice, "/zz": twice, "/proc/x": file(b"", xattrs={b"security.selinux": b"old"}), "/l": symlink("x")}
    )
    made = label(sample, FileContexts.parse(TEXT))
    assert made["/usr/bin/a"] is made["/zz"]
    assert made["/zz"].meta.xattrs == {b"user.a": b"1", b"security.selinux": b"u:o:exact\0"}
    assert made["/proc/x"].meta.xattrs == {b"security.selinux": b"old"}
    assert made["/l"].meta.xattrs == {b"security.selinux": b"u:o:default\0"}
    below = label(tree({"/a": b""}), FileContexts.parse(TEXT), prefix=b"/usr/bin")
    assert below["/a"].meta.xattrs == {b"security.selinux": b"u:o:exact\0"}
    assert below.root.meta.xattrs == {b"security.selinux": b"u:o:bin\0"}


def test_substitutions() -> None:
    contexts = FileContexts.parse(TEXT)
    contexts.add_substitutions("# comment\n/bin /usr/bin # too\n/top /\n")
    contexts.add_substitutions("/mine /bin", local=True)
    for path in (b"/bin/a", b"/mine/a", b"/top/usr/bin/a"):
        assert contexts.lookup(path, "file") == b"u:o:exact\0"
    assert contexts.lookup(b"/binary", "file") == b"u:o:default\0"
    assert contexts.lookup(b"/top", "dir") == b"u:o:default\0"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/a", "an expression"),
        ("/a -- u:o:t more", "an expression"),
        ("/a -x u:o:t", "unknown type"),
        ("/a u:t", "not a context"),
        ("/a( u:o:t", "not a regular expression"),
        ("/a[b u:o:t", "not a regular expression"),
    ],
)
def test_mistakes(line: str, says: str) -> None:
    with pytest.raises(Corrupt, match=says) as caught:
        FileContexts.parse("\n" + line)
    assert caught.value.line == 2


def test_mistakes_in_substitutions() -> None:
    with pytest.raises(Corrupt, match="two paths") as caught:
        FileContexts().add_substitutions("\n/a")
    assert caught.value.line == 2


def test_a_context_is_ascii() -> None:
    with pytest.raises(Corrupt, match="not a context") as caught:
        FileContexts.parse("/a x:y:z\n/b x:y:\udcff\n")
    assert caught.value.line == 2
