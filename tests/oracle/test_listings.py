"""Listings of squashfs-tools, squashfs-tools-ng and getfattr read by us, ours by them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imgcore.blob import BytesBlob, FileBlob
from imgcore.build.host_files import HostFiles
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.build.spec import parse_source
from imgcore.formats.squashfs import open_image
from imgcore.hosts import scan
from imgcore.listings import apply_pseudo, read_pseudo_file, read_xattr_dump
from imgcore.model import Dir, Meta, Tree, char_device, tree
from imgcore.transforms import Owners, Policy
from tests.kit.oracles import differences, mounted, run, tool, tree_records
from tests.kit.sample_trees import everything

pytestmark = pytest.mark.oracle

ODD = {b"/with blank": b"1", b"/b\\s": b"2", b'/q"q': b"3", b"/tab\tt": b"4", b"/n\nl": b"5", b"/\xff": b"6", b"/ lead": b"7"}


def image_tree(path: Path) -> tuple[FileBlob, Tree]:
    blob = FileBlob(path)
    return blob, open_image(blob).tree


def test_unsquashfs_pseudo_output_is_the_image(tmp_path: Path) -> None:
    root = everything().root
    # unsquashfs 4.7 prints a device wrongly when its minor number is above 255.
    more = {**root.children, **tree(ODD).root.children, b"char": char_device(4095, 255)}
    sample = Tree(Dir(root.meta, more))
    image, text = tmp_path / "i.raw", tmp_path / "i.pf"
    pack(sample, image)
    run(tool("unsquashfs", newest=True), "-pf", text, image)
    blob, theirs = image_tree(image)
    with blob, open_source(parse_source(f"pseudo:{text}")) as ours:
        # What unsquashfs writes of a file's other names is a link; the attributes of links, devices and so on are there too.
        assert differences(tree_records(theirs), tree_records(ours.tree)) == []


PSEUDO = rb"""
dir d 755 0 0
dir/below d 700 1 2
"with blank" d 700 1 2
back\ slash D 1000000002 1777 1 2
joined D \
1000000002 755 0 0
link s 777 0 0 some target  "as it stands" \x
Link S 1000000003 777 3 4 t
char c 600 root root 5 1
Char C 1000000004 600 0 0 4095 1048575
block b 660 0 6 8 1
Block B 1000000005 660 0 6 8 1
fifo i 644 0 0 f
Fifo I 1000000006 644 0 0 f
sock i 644 1 1 s
Sock I 1000000007 755 1 1 s
from-host l @HOST@
through-link h @LINK@
same-again l @INSIDE@
again L char
a m 4711 7 8
sub/w M 1000000001 640 9 9
sub m 2750 1 1
a x user.text=plain \012 text
a x user.escaped=0thi\012there\134
a x user.base64=0saGk=
a x user.hex=0x6869
dir x user.dir=1
# a comment \
that d 755 0 0
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "sub").mkdir(parents=True)
    (path / "a").write_bytes(b"hello" * 999)
    (path / "sub" / "w").write_bytes(b"w")
    os.link(path / "a", path / "sub" / "hard")
    for name in (path / "sub" / "w", path / "a", path / "sub", path):
        os.utime(name, (1_600_000_000, 1_600_000_000))
    return path


@pytest.mark.usefixtures("needs_root", "needs_xattrs")
def test_our_application_is_that_of_mksquashfs(source: Path, tmp_path: Path) -> None:
    host, link = tmp_path / "host", tmp_path / "host-link"
    host.write_bytes(b"of the host")
    link.symlink_to(host)
    text = tmp_path / "p.txt"
    replaced = PSEUDO.replace(b"@HOST@", bytes(host)).replace(b"@LINK@", bytes(link))
    text.write_bytes(replaced.replace(b"@INSIDE@", bytes(source / "a")))
    inline = "more d 750 3 4"
    theirs, ours = tmp_path / "t.raw", tmp_path / "o.raw"
    run(tool("mksquashfs", newest=True), source, theirs, "-no-progress", "-quiet", "-pf", text, "-p", inline)
    entries = [*read_pseudo_file(FileBlob(text)), *read_pseudo_file(BytesBlob(inline.encode()))]
    pack(source, ours, transforms=[lambda tree: apply_pseudo(tree, entries, files=HostFiles())])
    one, their_tree = image_tree(theirs)
    two, our_tree = image_tree(ours)
    with one, two:
        left, right = tree_records(their_tree), tree_records(our_tree)
    assert differences(left, right, ignore=("time",)) == []
    assert len(right) == 25
    for path in right:  # times that are stated; the others are those of the run, with mksquashfs
        if path[1:2].isupper() or path in (b"/back slash", b"/joined", b"/sub/w"):
            assert (path, left[path]["time"]) == (path, right[path]["time"])


@pytest.mark.parametrize(
    "line",
    [
        "a", "a dd 755 0 0", "a d 755", "a d 855 0 0", "x d u=rwx 0 0", "x d 755 0 0 more", "x d 755 nobody-knows 0",
        "x D soon-or-late 755 0 0", "x c 600 0 0 1", "x i 600 0 0 x", "x s 777 0 0", "a x user.a", "a x user.a=0s!", "x L nope",
        "x l /nope", "x/y d 755 0 0", "a/y d 755 0 0", "x/../y d 755 0 0", "x h /usr",
    ],
)  # fmt: skip
def test_what_both_refuse(line: str, source: Path, tmp_path: Path, imgcore_cli: object) -> None:
    theirs = run(tool("mksquashfs", newest=True), source, tmp_path / "t.raw", "-no-progress", "-quiet", "-p", line, ok=False)
    assert theirs.returncode != 0
    result = imgcore_cli("pack", "--pseudo", line, source, tmp_path / "o.raw")  # type: ignore[operator]
    assert result.code in (1, 2, 3, 6)
    assert not (tmp_path / "o.raw").exists()


PACK_FILE = rb"""# all entries
dir / 0711 7 8
dir /dev 0755 1 2
nod /dev/console 0600 0 0 c 5 1
nod /dev/sda 0660 0 6 B 8 0
slink /l 0700 3 4 a target  with blanks
slink "/q s\"x\\" 0777 1 2 "quoted"
file /a 0644 1 1
file /b/c 0600 1 1 sub/w
file "/with blank" 0640 0 0 sub/blank s
file /back\slash 0640 0 0 a
pipe /p 0644 0 0
sock /s 0755 0 0
link /hard 0 0 0 /a
dir /nested 0700 0 0
glob /sub * * * -type f -type d sub
glob /only 0711 5 * -nonrecursive only
glob /named * * * -type f -name "*.so" named
glob /named * * * -type f -name '* x' named
glob /pathed * * * -path "pathed/x*" -keeptime pathed
"""


@pytest.mark.usefixtures("needs_root")
def test_gensquashfs_pack_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    files = ["a", "sub/w", "sub/blank s", "sub/x/y", "only/o", "only/deep/p", "named/a.so", "named/b x", "named/c"]
    for name in [*files, "pathed/x1", "pathed/y1", "pathed/x2"]:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_bytes(name.encode())
        os.utime(base / name, (1_600_000_000, 1_600_000_000))
    os.chmod(base / "sub/x", 0o2750)
    os.chown(base / "sub/x/y", 11, 12)
    (base / "list").write_bytes(PACK_FILE)
    theirs, ours = tmp_path / "t.raw", tmp_path / "o.raw"
    monkeypatch.chdir(base)
    run(tool("gensquashfs"), "-F", "list", "-q", theirs)
    pack(parse_source(f"packfile:{base / 'list'}"), ours)
    one, their_tree = image_tree(theirs)
    two, our_tree = image_tree(ours)
    with one, two:
        assert differences(tree_records(their_tree), tree_records(our_tree)) == []


def test_getfattr_dump(tmp_path: Path) -> None:
    odd = {b"user.text": b'a "b" \\ c', b"user.bin": bytes(range(256)), b"user.empty": b"", b"user.a=b": b"line\nline"}
    sample = tree({"/a": b"", "/d/e": b"", b"/n\nl": b"", b"/b\\s": b"", "/ blank ": b""})
    shown = Policy(Owners.root()).apply(sample.map(lambda path, node: _with(node, odd)))
    image, at = tmp_path / "i.raw", tmp_path / "mnt"
    pack(shown, image)
    getfattr = tool("getfattr")
    with mounted(image, at) as taken:
        assert taken
        for encoding in ("text", "hex", "base64", None):
            options = [] if encoding is None else [f"--encoding={encoding}"]
            command = [getfattr, "--dump", "-R", "-m", "-", *options, "."]
            dump = subprocess.run(command, cwd=at, capture_output=True, check=True).stdout
            found = {path: values for path, (_, values) in read_xattr_dump(BytesBlob(dump)).items()}
            assert found == {path: odd for path, _ in shown.walk()}, encoding


def _with(node: object, xattrs: dict[bytes, bytes]) -> object:
    import dataclasses

    return dataclasses.replace(node, meta=Meta(0o755, 0, 0, 0, xattrs))  # type: ignore[type-var]


def test_our_manifest_of_a_scan_packs_to_the_same_image(source: Path, tmp_path: Path) -> None:
    from imgcore.model import manifest_lines

    text = tmp_path / "m.jsonl"
    text.write_text("\n".join(manifest_lines(scan(source))))
    pack(source, tmp_path / "one.raw")
    with open_source(source) as contents:
        pack(parse_source(f"manifest:{text}"), tmp_path / "two.raw", contents=contents)
    assert (tmp_path / "one.raw").read_bytes() == (tmp_path / "two.raw").read_bytes()
