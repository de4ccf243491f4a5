from __future__ import annotations

from pathlib import Path

import pytest

from imgcore.errors import LimitExceeded, PathError, SourceUnreadable
from imgcore.hosts import scan
from imgcore.limits import Limits
from imgcore.model import Symlink, Tree, directory, file, symlink, tree
from imgcore.transforms import dereference


def paths(of: Tree) -> list[str]:
    return [path.decode() for path, _ in of.sorted_entries()]


def test_files_become_hard_links_and_directories_copies() -> None:
    sample = tree(
        {
            "/a": b"1",
            "/abs": symlink("/a"),
            "/d/up": symlink("../a"),
            "/d/twice": symlink("up"),
            "/copy": symlink("d"),
            "/e/d": symlink("/d"),
            "/d/": directory(mode=0o711),
        }
    )
    made = dereference(sample)
    assert not any(isinstance(node, Symlink) for _, node in made.walk())
    for path in ("/abs", "/d/up", "/d/twice", "/copy/up", "/e/d/twice"):
        assert made[path] is made["/a"]
    assert made["/copy"] is not made["/d"]
    assert made["/copy"].meta.mode == 0o711
    copied = ["/copy", "/copy/twice", "/copy/up", "/d", "/d/twice", "/d/up", "/e", "/e/d", "/e/d/twice", "/e/d/up"]
    assert paths(made) == ["/", "/a", "/abs", *copied]


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ({"/l": symlink("nowhere")}, b"/l"),
        ({"/l": symlink("l")}, b"/l"),
        ({"/d/a": symlink("b"), "/d/b": symlink("a")}, b"/d/"),
        ({"/f": b"", "/l": symlink("f/x")}, b"/l"),
        ({"/l": symlink(".")}, b"/l"),
        ({"/l": symlink("/")}, b"/l"),
        ({"/l": symlink("..")}, b"/l"),
        ({"/d/e/l": symlink("../..")}, b"/d/e/l"),
        ({"/a/l": symlink("../b"), "/b/l": symlink("../a")}, b"/"),
    ],
)
def test_links_that_lead_nowhere_or_around(entries: dict[str, Symlink], path: bytes) -> None:
    with pytest.raises(PathError) as caught:
        dereference(tree(entries))
    assert bytes(caught.value.path).startswith(path)  # type: ignore[arg-type]


def test_copies_of_copies_are_bounded() -> None:
    entries = {f"/d{level}/{side}": symlink(f"../d{level + 1}") for level in range(60) for side in "lr"}
    sample = tree({**entries, "/d60/f": file(b"")})
    with pytest.raises(LimitExceeded, match="max_entries"):
        dereference(Tree(sample.root, Limits(max_entries=10_000)))


def test_of_the_host(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "in"
    (outside / "deep").mkdir(parents=True)
    (outside / "deep" / "f").write_bytes(b"f")
    (inside / "d").mkdir(parents=True)
    (inside / "a").write_bytes(b"a")
    (inside / "hard").hardlink_to(inside / "a")
    (inside / "d" / "l").symlink_to("../a")
    (inside / "out").symlink_to(outside)
    (inside / "f").symlink_to(outside / "deep" / "f")
    made = scan(inside, dereference=True)
    assert made["/d/l"] is made["/a"] is made["/hard"]
    assert made["/out/deep/f"] is made["/f"]
    assert not any(isinstance(node, Symlink) for _, node in made.walk())


@pytest.mark.parametrize("target", ["nowhere", "l", ".", "..", "../in/d"])
def test_of_the_host_nowhere_or_around(tmp_path: Path, target: str) -> None:
    (tmp_path / "in" / "d").mkdir(parents=True)
    link = tmp_path / "in" / "d" / "l"
    link.symlink_to(target)
    with pytest.raises(SourceUnreadable, match="leads") as caught:
        scan(tmp_path / "in", dereference=True)
    assert caught.value.path
