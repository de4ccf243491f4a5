"""Users and groups that a tree knows."""

from __future__ import annotations

import pytest

from imgcore.blob import ZeroBlob
from imgcore.errors import LimitExceeded
from imgcore.model import Accounts, File, Meta, directory, file, symlink, tree


def test_passwd_and_group() -> None:
    made = tree(
        {
            "/etc/passwd": file(b"root:x:7:7::/:/bin/sh\nme:x:1000:100::/:\nbroken\nbad:x:-1:0\nbig:x:4294967295:0\n"),
            "/etc/group": file(b"# nothing\nusers:x:100:\n"),
            "/usr/lib/passwd": file(b"me:x:5:5\nother:x:6:6\n"),
        }
    )
    known = Accounts.of_tree(made)
    assert (known.uid("me"), known.uid("other"), known.gid("users")) == (1000, 6, 100)
    assert (known.uid("root"), known.gid("root")) == (0, 0)
    assert [known.uid(name) for name in ("bad", "big", "broken", "none")] == [None] * 4


def test_sysusers() -> None:
    text = (
        b'# comment\nu one 401 "A user" /\nu! two 402:403\nu three 404:users\nu four -\nu five /usr/bin/x\n'
        b"u six -:406\ng seven 407\ng eight -\nm one seven\nr - 500-600\nbroken\nu\n"
    )
    known = Accounts.of_tree(tree({"/usr/lib/sysusers.d/a.conf": file(text), "/usr/lib/sysusers.d/no.txt": file(b"u no 9\n")}))
    assert known.users == {"one": 401, "two": 402, "three": 404}
    assert known.groups == {"one": 401, "two": 403, "six": 406, "seven": 407}


def test_etc_hides_usr_and_passwd_comes_first() -> None:
    made = tree(
        {
            "/etc/sysusers.d/a.conf": file(b"u a 1\n"),
            "/usr/lib/sysusers.d/a.conf": file(b"u hidden 2\n"),
            "/usr/lib/sysusers.d/b.conf": file(b"u a 3\nu b 4\n"),
            "/etc/passwd": symlink("../usr/share/passwd"),
            "/usr/share/passwd": file(b"b:x:5:5\n"),
        }
    )
    assert Accounts.of_tree(made).users == {"a": 1, "b": 5}
    assert Accounts({"a": 9}).over(Accounts.of_tree(made)).users == {"a": 9, "b": 5}


def test_odd_trees() -> None:
    assert Accounts.of_tree(tree({})).users == {}
    assert Accounts.of_tree(tree({"/etc/passwd": directory(), "/usr/lib/sysusers.d": file(b"")})).users == {}
    with pytest.raises(LimitExceeded, match="accounts"):
        Accounts.of_tree(tree({"/etc/passwd": File(Meta(), ZeroBlob(1 << 30))}))
