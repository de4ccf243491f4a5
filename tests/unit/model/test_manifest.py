from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from imgcore.blob import Segment
from imgcore.errors import Corrupt
from imgcore.model import (
    Dir,
    Meta,
    Pipe,
    Socket,
    Tree,
    Whiteout,
    block_device,
    char_device,
    diff,
    digest,
    directory,
    file,
    manifest_lines,
    symlink,
    tree,
)
from imgcore.testing import trees


def test_golden() -> None:
    twice = file(b"hello", mode=0o4755, uid=1, gid=2, mtime_ns=-1, xattrs={b"user.b": b"\xff", b"user.a": b""})
    sample = tree(
        {
            b"/a": twice,
            b"/d/b": twice,
            b"/l": symlink(b"\xff/x"),
            b"/n": char_device(1, 3),
            b"/o": block_device(8, 0),
            b"/p": Pipe(Meta()),
            b"/s": Socket(Meta()),
            b"/w": Whiteout(),
            b"/\xfe": directory(),
        }
    )
    digest_of = hashlib.sha256(b"hello").hexdigest()
    assert list(manifest_lines(sample)) == [
        '{"path":"/","type":"dir","mode":"0755","uid":0,"gid":0,"mtime_ns":0}',
        '{"path":"/a","type":"file","mode":"4755","uid":1,"gid":2,"mtime_ns":-1,"size":5,"sha256":"' + digest_of + '",'
        '"xattrs":{"user.a":"","user.b":"/w=="}}',
        '{"path":"/d","type":"dir","mode":"0755","uid":0,"gid":0,"mtime_ns":0}',
        '{"path":"/d/b","type":"file","mode":"4755","uid":1,"gid":2,"mtime_ns":-1,"size":5,"sha256":"' + digest_of + '",'
        '"link":"/a","xattrs":{"user.a":"","user.b":"/w=="}}',
        '{"path":"/l","type":"symlink","mode":"0777","uid":0,"gid":0,"mtime_ns":0,"target":"\\udcff/x","target_b64":"/y94"}',
        '{"path":"/n","type":"char","mode":"0600","uid":0,"gid":0,"mtime_ns":0,"major":1,"minor":3}',
        '{"path":"/o","type":"block","mode":"0600","uid":0,"gid":0,"mtime_ns":0,"major":8,"minor":0}',
        '{"path":"/p","type":"fifo","mode":"0644","uid":0,"gid":0,"mtime_ns":0}',
        '{"path":"/s","type":"socket","mode":"0644","uid":0,"gid":0,"mtime_ns":0}',
        '{"path":"/w","type":"whiteout","mode":"0000","uid":0,"gid":0,"mtime_ns":0}',
        '{"path":"/\\udcfe","type":"dir","mode":"0755","uid":0,"gid":0,"mtime_ns":0,"path_b64":"L/4="}',
    ]


def test_opaque_directories() -> None:
    (_, line) = manifest_lines(Tree(Dir(children={b"d": Dir(opaque=True)})))
    assert json.loads(line)["opaque"] is True


@settings(max_examples=50)
@given(trees())
def test_lines_are_ascii_and_sorted_by_the_exact_path(drawn: Tree) -> None:
    paths = []
    for line in manifest_lines(drawn, contents=False):
        assert line.isascii() and "\n" not in line
        record = json.loads(line)
        exact = base64.b64decode(record["path_b64"]) if "path_b64" in record else record["path"].encode()
        paths.append(exact)
        assert json.dumps(record, separators=(",", ":")) == line
    assert paths == sorted(paths) == [path for path, _ in drawn.sorted_entries()]


@settings(max_examples=50)
@given(trees(), trees())
def test_equal_manifests_are_no_difference(one: Tree, two: Tree) -> None:
    assert list(diff(one, one)) == []
    same = list(manifest_lines(one)) == list(manifest_lines(two))
    assert same == (list(diff(one, two)) == [])
    assert same == (digest(one) == digest(two))


def test_content_that_cannot_be_read_names_its_path() -> None:
    class Broken:
        size = 1

        def read_at(self, at: int, size: int) -> bytes:
            raise Corrupt("broken", offset=5)

        def segments(self) -> Iterator[Segment]:
            yield Segment(0, 1, False)

    with pytest.raises(Corrupt) as caught:
        list(manifest_lines(tree({"/d/f": file(Broken())})))
    assert (caught.value.path, caught.value.offset) == (b"/d/f", 5)
