"""Packages as one tree."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, read_all
from imgcore.errors import MergeConflict, PathError
from imgcore.events import Control, Event, Warned
from imgcore.formats.rpm import RpmImage, open_image
from imgcore.model import Accounts, Dir, File, Symlink, directory, file, symlink, tree
from imgcore.packages import Installed, PackageDirectory, install, resolve
from tests.kit.packages import Entry, Rpm, folder, link, sample


def opened(*packages: Rpm) -> list[RpmImage]:
    return [open_image(BytesBlob(one.build())) for one in packages]


def rpm(name: str, *files: Entry) -> Rpm:
    return Rpm(files, name=name)


def paths(installed: Installed) -> list[bytes]:
    return [path for path, _ in installed.tree.walk()]


def content(installed: Installed, path: str) -> bytes:
    node = installed.tree[path]
    assert isinstance(node, File)
    return read_all(node.content)


def test_two_packages() -> None:
    one = rpm("one", folder(b"/usr", 0o700), Entry(b"/usr/a", b"1", inode=4), Entry(b"/usr/c", b"1", inode=4))
    with install(opened(rpm("two", Entry(b"/usr/b", b"2")), one)) as made:
        assert paths(made) == [b"/", b"/usr", b"/usr/a", b"/usr/b", b"/usr/c"]
        assert made.tree["/usr"].meta.mode == 0o700 and made.tree["/usr/a"] is made.tree["/usr/c"]
        assert content(made, "/usr/b") == b"2"
        assert [package.name for package in made.packages] == ["one", "two"] and made.warnings == ()


def test_the_order_does_not_matter() -> None:
    packages = [rpm(name, folder(b"/d", mode), Entry(b"/d/f", b"x", mtime=mode)) for name, mode in (("a", 0o700), ("b", 0o755))]
    for some in (packages, packages[::-1]):
        with install(opened(*some)) as made:
            assert made.tree["/d"].meta.mode == 0o700 and made.tree["/d/f"].meta.mtime_ns == 0o700 * 10**9
            assert made.warnings == (
                "a-1.0-1.x86_64 and b-1.0-1.x86_64 say different things of the directory /d: the first holds",
            )


DIFFERENT = {
    "content": (Entry(b"/f", b"1"), Entry(b"/f", b"2")),
    "size": (Entry(b"/f", b"1"), Entry(b"/f", b"11")),
    "mode": (Entry(b"/f", b"1"), Entry(b"/f", b"1", stat.S_IFREG | 0o4755)),
    "owner": (Entry(b"/f", b"1"), Entry(b"/f", b"1", user=b"web")),
    "capabilities": (Entry(b"/f", b"1"), Entry(b"/f", b"1", caps=b"cap_chown=ep")),
    "type": (Entry(b"/f", b"1"), link(b"/f", b"1")),
    "target": (link(b"/f", b"1"), link(b"/f", b"2")),
    "directory": (folder(b"/f"), Entry(b"/f", b"1")),
    "link and directory": (link(b"/f", b"g"), folder(b"/f")),
    "device": (
        Entry(b"/f", mode=stat.S_IFCHR | 0o600, rdev=1),
        Entry(b"/f", mode=stat.S_IFCHR | 0o600, rdev=2),
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_conflicts(case: str) -> None:
    one, two = DIFFERENT[case]
    known = Accounts({"web": 33})
    with pytest.raises(MergeConflict, match=r"a-1\.0-1\.x86_64 and b-1\.0-1\.x86_64") as caught:
        install(opened(rpm("a", one), rpm("b", two)), accounts=known)
    assert caught.value.path == b"/f"
    for same in (one, two):
        with install(opened(rpm("a", same), rpm("b", same)), accounts=known) as made:
            assert paths(made) == [b"/", b"/f"]


def test_owners_come_from_base_packages_and_the_caller() -> None:
    base = tree({"/etc/passwd": file(b"web:x:33:33::/:\n"), "/etc/group": file(b"web:x:34:\n")})
    users = rpm("users", Entry(b"/usr/lib/sysusers.d/u.conf", b"u app 500\n"))
    wanted = rpm("w", *(Entry(b"/" + name, user=name, group=name) for name in (b"app", b"web", b"none", b"mine")))
    events: list[Event] = []
    with install(
        opened(users, wanted), base=base, accounts=Accounts({"mine": 7}, {"mine": 8}), control=Control(events.append)
    ) as made:
        owners = {path: (node.meta.uid, node.meta.gid) for path, node in made.tree.walk() if len(path) < 6 and path != b"/"}
        assert owners == {b"/app": (500, 500), b"/web": (33, 34), b"/none": (0, 0), b"/mine": (7, 8), b"/usr": (0, 0)}
        assert made.warnings == tuple(f"w-1.0-1.x86_64: {kind} `none` is not known: root instead" for kind in ("user", "group"))
        assert [event.message for event in events if isinstance(event, Warned)] == list(made.warnings)
        assert "/etc/passwd" not in made.tree


def test_links_to_directories() -> None:
    base = tree({"/lib": symlink("usr/lib"), "/usr/lib": directory(), "/loop": symlink("loop"), "/up": symlink("../../usr")})
    package = rpm("a", folder(b"/lib"), Entry(b"/lib/x", b"1"), Entry(b"/up/y"))
    with install(opened(package), base=base) as made:
        assert paths(made) == [b"/", b"/usr", b"/usr/lib", b"/usr/lib/x", b"/usr/y"]
    filesystem = rpm("filesystem", link(b"/lib64", b"/usr/lib64"), folder(b"/usr/lib64", 0o711))
    with install(opened(rpm("glibc", Entry(b"/lib64/ld.so", b"x"), Entry(b"/usr/lib64/libc.so")), filesystem)) as made:
        assert paths(made) == [b"/", b"/lib64", b"/usr", b"/usr/lib64", b"/usr/lib64/ld.so", b"/usr/lib64/libc.so"]
        assert made.tree["/usr/lib64"].meta.mode == 0o711 and isinstance(made.tree["/lib64"], Symlink)
    with pytest.raises(PathError, match="too many levels"):
        install(opened(rpm("a", Entry(b"/loop/x"))), base=base)


def test_scriptlets_are_listed() -> None:
    with install(opened(sample())) as made:
        assert [(one.package, one.scriptlet.name) for one in made.scriptlets] == [
            ("demo-2:1.0-1.x86_64", "post"),
            ("demo-2:1.0-1.x86_64", "preun"),
            ("demo-2:1.0-1.x86_64", "triggerin"),
        ]
        assert made.tree["/etc/demo"].meta.uid == 412  # its own sysusers.d says so


def test_from_a_directory(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.rpm").write_bytes(rpm("a", Entry(b"/usr/bin/a", b"1")).but(requires=("/usr/bin/b",)).build())
    (tmp_path / "sub/b.rpm").write_bytes(rpm("b", Entry(b"/usr/bin/b", b"2")).build())
    (tmp_path / "s.rpm").write_bytes(Rpm(name="s", tags={1044: None}).build())
    (tmp_path / "other").write_text("no package")
    source = PackageDirectory(tmp_path)
    assert [one.name for one in source.candidates()] == ["a", "b"] and source.name == str(tmp_path)
    found = resolve(["a"], [source], arch="x86_64")
    with install(found.packages) as made:
        assert paths(made) == [b"/", b"/usr", b"/usr/bin", b"/usr/bin/a", b"/usr/bin/b"]
        assert content(made, "/usr/bin/b") == b"2"
    with install([tmp_path / "a.rpm"]) as made:
        assert isinstance(made.tree["/usr"], Dir)
        made.close()


def test_nothing() -> None:
    with install([]) as made:
        assert paths(made) == [b"/"] and made.packages == ()
