from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from imgcore.blob import BytesBlob
from imgcore.errors import Corrupt, ImgcoreError, LimitExceeded, PathError
from imgcore.limits import Limits
from imgcore.listings import read_manifest
from imgcore.model import Dir, Meta, Tree, Whiteout, diff, directory, file, manifest_lines, tree
from tests.kit.files import TreeFiles
from tests.kit.sample_trees import everything

DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of "abc"


def read(*lines: str, contents: Tree | None = None) -> Tree:
    return read_manifest(BytesBlob("\n".join(lines).encode()), contents=contents)


def texts(of: Tree) -> list[str]:
    return list(manifest_lines(of))


def test_everything_comes_back() -> None:
    sample = everything()
    again = read(*texts(sample), contents=sample)
    assert texts(again) == texts(sample)
    assert list(diff(sample, again)) == []
    assert again["/link"] is again["/sub/sub/other-name"]


def test_what_only_layers_have_comes_back() -> None:
    opaque = Dir(Meta(0o700), {b"w": Whiteout(Meta(0))}, opaque=True)
    sample = Tree(Dir(Meta(0o711), {b"d": opaque, b"\xff": directory(xattrs={b"user.\xfe": b"\0"})}, opaque=True))
    assert texts(read(*texts(sample))) == texts(sample)


def test_defaults_and_a_missing_root() -> None:
    made = read(
        '{"path":"/d","type":"dir"}', "", '{"type":"symlink","path":"/d/l","target":"x"}', '{"path":"/f","type":"file"}'
    )
    assert made.root.meta == Meta(0o755)
    assert [node.meta.mode for _, node in made.sorted_entries()] == [0o755, 0o755, 0o777, 0o644]
    assert made["/f"].content.size == 0  # type: ignore[union-attr]


def test_contents_by_path_and_by_key() -> None:
    there = tree({"/a": b"abc", "/e/o": b"other"})
    made = read('{"path":"/a","type":"file","size":3}', '{"path":"/b","type":"file","content":"/e/o"}', contents=there)
    assert made["/a"].content.read_at(0, 9) == b"abc"  # type: ignore[union-attr]
    assert made["/b"].content.read_at(0, 9) == b"other"  # type: ignore[union-attr]


def test_contents_of_the_host() -> None:
    files = TreeFiles()
    exact = base64.b64encode(b"sub/w").decode()
    text = '{"path":"/x","type":"file","content":"a"}\n{"path":"/y","type":"file","content":"no","content_b64":"' + exact + '"}'
    made = read_manifest(BytesBlob(text.encode()), files=files)
    assert made["/x"].content.read_at(0, 99) == b"host a"  # type: ignore[union-attr]
    assert made["/y"].content.read_at(0, 99) == b"host w"  # type: ignore[union-attr]
    assert files.asked == [(b"a", True), (b"sub/w", True)]


A = '{"path":"/a","type":"file","size":0}'


def after(*keys: str) -> str:
    return '{"path":"/b","type":"file",' + ",".join(keys) + "}"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not a line"),
        ("[1]", "object is needed"),
        ("nonsense", "not a line"),
        ('"\xff"', "object is needed"),
        (after('"colour":1'), "unknown key `colour`"),
        (after('"uid":1,"uid":2'), "twice"),
        ('{"path":"/b","path":"/c","type":"dir"}', "twice"),
        (after('"xattrs":{"user.a":"","user.a":""}'), "twice"),
        ('{"type":"dir"}', "not a clean absolute path"),
        ('{"path":"b","type":"dir"}', "not a clean absolute path"),
        ('{"path":"/b/","type":"dir"}', "not a clean absolute path"),
        ('{"path":"/b//c","type":"dir"}', "not a clean absolute path"),
        ('{"path":"/b/../c","type":"dir"}', "not a clean absolute path"),
        ('{"path":"/..","type":"dir"}', "not a clean absolute path"),
        ('{"path":"/b\\u0000","type":"dir"}', "not a clean absolute path"),
        ('{"path":3,"type":"dir"}', "not text"),
        ('{"path":"/\\ud800","type":"dir"}', "lone surrogates"),
        ('{"path_b64":"!","type":"dir"}', "not base64"),
        ('{"path_b64":3,"type":"dir"}', "not base64"),
        ('{"path":"/b"}', "unknown type"),
        ('{"path":"/b","type":["dir"]}', "unknown type"),
        ('{"path":"/b","type":"directory"}', "unknown type"),
        (after('"mode":"999"'), "octal"),
        (after('"mode":"77777"'), "octal"),
        (after('"mode":420'), "octal"),
        (after('"mode":"é"'), "octal"),
        (after('"uid":-1'), "not a number"),
        (after('"gid":4294967296'), "not a number"),
        (after('"uid":true'), "not a number"),
        (after('"uid":1.0'), "not a number"),
        (after('"uid":NaN'), "not a number"),
        (after('"mtime_ns":9223372036854775808'), "not a number"),
        (after('"mtime_ns":' + "9" * 5000), "not a line"),
        (after('"size":-1'), "not a number"),
        (after('"size":1'), "no content"),
        (after('"sha256":"' + "A" * 64 + '"'), "SHA-256"),
        (after('"sha256":3'), "SHA-256"),
        (after('"size":0,"sha256":"' + "0" * 64 + '"'), "its content is another"),
        (after('"target":"x"'), "a file has no `target`"),
        (after('"major":1'), "a file has no `major`"),
        (after('"opaque":true'), "a file has no `opaque`"),
        ('{"path":"/b","type":"dir","opaque":1}', "neither true nor false"),
        ('{"path":"/b","type":"dir","size":1}', "a dir has no `size`"),
        ('{"path":"/b","type":"symlink"}', "without a target"),
        ('{"path":"/b","type":"char","major":1}', "without its numbers"),
        ('{"path":"/b","type":"char","major":1,"minor":4294967296}', "not a number"),
        (after('"xattrs":[]'), "not an object"),
        (after('"xattrs":{"user.a":"?"}'), "not base64"),
        (after('"xattrs":{"user.a":1}'), "not base64"),
        (after('"xattrs":{"\\ud800":""}'), "lone surrogates"),
        (after('"xattrs":{"":""}'), "a name that none can have"),
        (after('"content":"x"'), "names? files? of the host"),
        ('{"path":"/b","type":"file","link":"/nope"}', "no path that it could be"),
        ('{"path":"/b","type":"file","link":"/b"}', "no path that it could be"),
        ('{"path":"/b","type":"file","link":"/../a"}', "cannot be"),
        ('{"path":"/b","type":"dir","link":"/a"}', "cannot be"),
        ('{"path":"/b","type":"fifo","link":"/a"}', "differs from its first name in line 1"),
        ('{"path":"/b","type":"file","link":"/a","uid":4}', "differs from its first name in line 1"),
        ('{"path":"/b","type":"file","link":"/a","size":4}', "differs from its first name in line 1"),
        ('{"path":"/b","type":"file","link":"/a","sha256":"' + DIGEST + '"}', "its content is another"),
        ('{"path":"/b","type":"file","link":"/a","content":"/z"}', "differs from its first name in line 1|its content"),
        ('{"path":"/","type":"file"}', "the root is not a directory"),
        (A, "named twice, first in line 1"),
        ('{"path":"/x/y","type":"file"}', "its directory is missing"),
        ('{"path":"/a/y","type":"file"}', "below something that is not a directory"),
        ("[" * 100_000, "deep|not a line"),
    ],
)
def test_mistakes_name_their_line(line: str, says: str) -> None:
    with pytest.raises((Corrupt, PathError), match=says) as caught:
        read(A, line)
    assert caught.value.line == 2


def test_a_link_may_only_repeat_its_leader() -> None:
    there = tree({"/a": b"abc", "/z": b"zzz"})
    lead = '{"path":"/a","type":"file","size":3,"sha256":"' + DIGEST + '"}'
    made = read(lead, '{"path":"/b","type":"file","link":"/a","size":3,"sha256":"' + DIGEST + '"}', contents=there)
    assert made["/a"] is made["/b"]
    with pytest.raises(Corrupt, match="first name") as caught:
        read(lead, '{"path":"/b","type":"file","link":"/a","content":"/z"}', contents=there)
    assert (caught.value.line, caught.value.field) == (2, "content")


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ('{"path":"/none","type":"file"}', PathError, "no such path"),
        ('{"path":"/d","type":"file"}', PathError, "its content is not a file"),
        ('{"path":"/a","type":"file","content":"/d"}', PathError, "its content is not a file"),
        ('{"path":"/a","type":"file","content":"/../a"}', PathError, r"\.\."),
        ('{"path":"/a","type":"file","size":4}', Corrupt, "another size: found 3, allowed 4"),
        ('{"path":"/a","type":"file","sha256":"' + "0" * 64 + '"}', Corrupt, "its content is another: found ba78"),
    ],
)
def test_contents_that_are_not_there(line: str, error: type[ImgcoreError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        read("", line, contents=tree({"/a": b"abc", "/d/x": b""}))
    assert caught.value.line == 2


def test_limits() -> None:
    lines = [json.dumps({"path": f"/{number}", "type": "fifo"}) for number in range(10)]
    text = BytesBlob("\n".join(lines).encode())
    cases: list[tuple[Callable[[], Tree], str]] = [
        (lambda: read_manifest(text, limits=Limits(max_entries=5)), "max_entries"),
        (lambda: read_manifest(BytesBlob(lines[0].encode()), limits=Limits(max_path=1)), "max_path"),
        (
            lambda: read_manifest(
                BytesBlob(b'{"path":"/a","type":"file"}'), contents=tree({"/a": b"abc"}), limits=Limits(max_file_size=2)
            ),
            "max_file_size",
        ),
    ]
    for call, name in cases:
        with pytest.raises(LimitExceeded) as caught:
            call()
        assert caught.value.field == name


def test_a_line_without_end() -> None:
    limits = Limits(max_path=16, max_xattrs=16)
    with pytest.raises(Corrupt, match="too long") as caught:
        read_manifest(BytesBlob(b"\n" + b" " * (3 << 20)), limits=limits)
    assert caught.value.line == 2


def test_a_file_of_two_names_that_is_also_written_apart() -> None:
    twice = file(b"abc")
    made = read('{"path":"/a","type":"file"}', '{"path":"/b","type":"file"}', contents=tree({"/a": twice, "/b": twice}))
    assert made["/a"] is not made["/b"]  # the manifest says so
