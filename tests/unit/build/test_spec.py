from __future__ import annotations

import pytest

from imgcore.build.spec import Part, SourceSpec, parse_source


def parse(text: str, *existing: str) -> SourceSpec:
    return parse_source(text, exists=lambda path: path in existing)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("tree", SourceSpec("tree", "tree")),
        ("./a/b", SourceSpec("./a/b", "./a/b")),
        ("squashfs:x.bin", SourceSpec("squashfs:x.bin", "x.bin", kind="squashfs")),
        ("what:x.bin", SourceSpec("what:x.bin", "what:x.bin")),
        ("a.raw@/usr", SourceSpec("a.raw@/usr", "a.raw", parts=(Part("/usr"),))),
        ("a@b@c", SourceSpec("a@b@c", "a", parts=(Part("b"), Part("c")))),
        ("disk#root", SourceSpec("disk#root", "disk", partition="root")),
        ("disk#1@/x#2", SourceSpec("disk#1@/x#2", "disk", partition="1", parts=(Part("/x", "2"),))),
        ("/opt/x=dir", SourceSpec("/opt/x=dir", "dir", place="/opt/x")),
        ("/opt/x=dir:tree@/y", SourceSpec("/opt/x=dir:tree@/y", "tree", "/opt/x", "dir", parts=(Part("/y"),))),
        ("user\\@host", SourceSpec("user\\@host", "user@host")),
        ("a\\#1\\:2\\=3\\\\", SourceSpec("a\\#1\\:2\\=3\\\\", "a#1:2=3\\")),
        ("/pla\\=ce=x", SourceSpec("/pla\\=ce=x", "x", place="/pla=ce")),
        ("a\\b", SourceSpec("a\\b", "a\\b")),
        ("-", SourceSpec("-", "-", is_stdin=True)),
        ("squashfs:-", SourceSpec("squashfs:-", "-", kind="squashfs", is_stdin=True)),
    ],
)
def test_grammar(text: str, spec: SourceSpec) -> None:
    assert parse(text) == spec


@pytest.mark.parametrize("text", ["a@b", "dir:x", "/opt=x", "a#1", "-", "a\\@b"])
def test_what_exists_is_taken_as_it_stands(text: str) -> None:
    assert parse(text, text) == SourceSpec(text, text)


def test_what_exists_behind_a_prefix_is_taken_as_it_stands() -> None:
    assert parse("squashfs:a@b", "a@b") == SourceSpec("squashfs:a@b", "a@b", kind="squashfs")
    assert parse("/opt=a#1", "a#1") == SourceSpec("/opt=a#1", "a#1", place="/opt")


@pytest.mark.parametrize("text", ["", "squashfs:", "@/usr", "/opt="])
def test_nothing_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"source|file"):
        parse(text)
