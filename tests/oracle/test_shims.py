"""Command lines of squashfs-tools, run through the shims and through the programs that they stand for."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgcore
from imgcore.cli.shims.install import SQUASHFS, install
from tests.kit.oracles import differences, host_records, mounted, run, tool, tree_records

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("-noappend", "-quiet", "-no-progress")


@pytest.fixture(scope="module")
def shims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the scripts."""
    place = tmp_path_factory.mktemp("shims") / "bin"
    assert [path.name for path in install(place)] == list(SQUASHFS)
    return place


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with sources in it; both programs run there."""
    if os.geteuid() != 0:
        pytest.skip("making devices needs root")
    top = tmp_path_factory.mktemp("work")
    for name in ("s/d/sub", "s/.hid", "s2/d"):
        (top / name).mkdir(parents=True)
    for name in (
        "s/a.jpg",
        "s/b.txt",
        "s/.dot",
        "s/d/a.jpg",
        "s/d/.x.jpg",
        "s/d/sub/c.jpg",
        "s/.hid/z",
        "s2/q",
        "s2/d/w",
        "f1",
    ):
        (top / name).write_text(name * 50)
    os.link(top / "s/b.txt", top / "s/d/linked")
    (top / "s/link").symlink_to("b.txt")
    os.mkfifo(top / "s/fifo")
    os.mknod(top / "s/null", 0o600 | 0o020000, os.makedev(1, 3))
    (top / "s/b.txt").chmod(0o4755)
    os.setxattr(top / "s/b.txt", "user.note", b"a note")
    (top / "ef").write_text("d/sub\n# a comment\n\nb.txt\n")
    (top / "definitions").write_text('n D 5 700 1 2\n"n/a b" S 6 777 0 0 b c\nb.txt M 9 600 7 7\n')
    yield top


def _environment(shims: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{shims}:{os.environ['PATH']}"}


def _run(shims: Path, *command: str | Path, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=stdin,
        env=_environment(shims),
        capture_output=True,
        check=False,
        timeout=120,
    )


def _both(shims: Path, work: Path, words: tuple[str, ...], stdin: bytes = b"", ignore: tuple[str, ...] = ("mtime",)) -> None:
    """Run mksquashfs and the shim; want the same exit code, and the same tree."""
    codes, images = [], {}
    for name, program in (("theirs", tool("mksquashfs", newest=True)), ("ours", str(shims / "mksquashfs"))):
        images[name] = work / f"{name}.sqfs"
        images[name].unlink(missing_ok=True)
        done = _run(shims, program, *(str(images[name]) if word == "DEST" else word for word in words), cwd=work, stdin=stdin)
        codes.append((done.returncode, done.stderr.decode(errors="replace")[-500:]))
    assert codes[0][0] == codes[1][0], codes
    if codes[0][0] == 0:
        with imgcore.open(images["theirs"]) as theirs, imgcore.open(images["ours"]) as ours:
            assert [change for change in imgcore.diff(theirs.tree, ours.tree) if change.kind not in ignore] == []


@pytest.mark.parametrize(
    "options",
    [
        "-wildcards -e *.jpg",
        "-wildcards -e ...␣*.jpg",
        "-wildcards -e *",
        "-wildcards -e ...␣*",
        "-wildcards -e d/*",
        "-wildcards -e !(d)",
        "-wildcards -e d/@(sub|a.jpg)",
        "-wildcards -e ...␣+([a-b]).*",
        "-wildcards -e /d/sub",
        "-e d/sub b.txt",
        "-e ./s/d/sub",
        "-e s/d/sub",
        "-e nothing",
        "-regex -e .*jpg",
        "-regex -e ...␣jp",
        "-ef ef",
        "-max-depth 1",
        "-max-depth 2",
    ],
)
def test_excludes(options: str, shims: Path, work: Path) -> None:
    _both(shims, work, ("s", "DEST", *QUIET, *(word.replace("␣", " ") for word in options.split())))


@pytest.mark.parametrize(
    ("words", "stdin"),
    [
        ("s DEST -keep-as-directory", b""),
        ("s s2 DEST", b""),
        ("s s2 f1 s DEST", b""),
        ("s s2 DEST -wildcards -e s/d", b""),
        ("s s2 DEST -e d", b""),
        ("s/d/sub s2/q DEST -no-strip", b""),
        ("f1 DEST", b""),
        ("- DEST -cpiostyle", b"s/d\ns2/q\n"),
        ("- DEST -cpiostyle0", b"s/d\0s2/q\0"),
        ("- DEST -pf all.pf", b""),
    ],
)
def test_sources(words: str, stdin: bytes, shims: Path, work: Path) -> None:
    if "all.pf" in words:
        _run(shims, tool("mksquashfs", newest=True), "s", "all.sqfs", *QUIET, cwd=work)
        _run(shims, tool("unsquashfs", newest=True), "-pf", "all.pf", "all.sqfs", cwd=work)
    _both(shims, work, (*words.split(), *QUIET), stdin)


def test_tar_on_standard_input(shims: Path, work: Path) -> None:
    archive = subprocess.run(
        ["tar", "-C", work / "s", "--numeric-owner", "-cf", "-", "d", "b.txt"], capture_output=True, check=True
    )
    _both(shims, work, ("-", "DEST", "-tar", *QUIET), archive.stdout)
    done = _run(shims, shims / "sqfstar", "-quiet", "-no-progress", "star.sqfs", "d/sub", cwd=work, stdin=archive.stdout)
    assert done.returncode == 0, done.stderr
    with imgcore.open(work / "star.sqfs") as ours:
        assert sorted(path for path, _ in ours.tree.walk()) == [b"/", b"/b.txt", b"/d", b"/d/.x.jpg", b"/d/a.jpg", b"/d/linked"]
    (work / "star.sqfs").unlink()


@pytest.mark.parametrize(
    "options",
    [
        "-all-root",
        "-root-owned",
        "-force-uid 5 -force-gid daemon",
        "-uid-gid-offset 1000",
        "-root-mode u=rwx,go=",
        "-root-uid 3 -root-gid 4",
        "-force-file-mode go-r",
        "-force-file-mode u+x,g=u",
        "-force-dir-mode 700",
        "-no-xattrs",
        "-xattrs-exclude ^user.",
        "-xattrs-include ^user.",
        "-xattrs-add user.n=0x4142",
        "-xattrs-add trusted.n=v",
        "-p foo␣d␣755␣root␣0",
        "-p x2␣s␣777␣0␣0␣a␣b␣c",
        "-p sk␣i␣644␣0␣0␣s",
        "-p b.txt␣x␣user.z=0x4142",
        "-p hl␣l␣s/b.txt",
        "-p hl␣h␣s/link",
        "-p c2␣b␣600␣0␣0␣1␣3",
        "-p b.txt␣d␣755␣0␣0",
        "-p dd␣D␣1234␣755␣0␣0",
        "-p nope␣m␣700␣1␣1",
        "-p b.txt␣m␣600␣7␣7",
        "-p nodir/x␣d␣755␣0␣0",
        "-pd d␣700␣1␣2 -p nodir/x␣d␣755␣0␣0",
        "-all-root -p w␣d␣755␣3␣3",
        "-all-root -pseudo-override -p w␣d␣755␣3␣3",
        "-pf definitions",
        "-comp lz4 -Xhc -b 1M",
        "-comp xz -Xbcj x86",
        "-comp xz -Xdict-size 50%",
        "-comp xz -b 1M -Xdict-size 512K",
        "-comp zstd -Xcompression-level 3 -tailends",
        "-no-fragments -no-duplicates -no-exports",
        "-noI -noD -noF -noX",
        "-no-hardlinks",
        "-no-sparse",
        "-root-uid 7 -root-gid 8 -force-uid 5 -force-gid 6",
        "-root-uid 7 -all-root",
        "-root-mode 700 -force-dir-mode 755",
        "-mem nonsense",
        "-mem 64M",
        "-comp xz -b 1M -Xdict-size 100%",
        "-nopad",
        "-zzz",
        "-comp nothing",
        "-b 3000",
    ],
)
def test_options(options: str, shims: Path, work: Path) -> None:
    _both(shims, work, ("s", "DEST", *QUIET, *(word.replace("␣", " ") for word in options.split())))


@pytest.mark.parametrize(
    "options",
    [
        "-mkfs-time 5 -all-time 7",
        "-inode-time 2020-01-01",
        "-root-time 9",
        "-repro-time 11",
        "-inode-time inode -mkfs-time inode",
    ],
)
def test_times(options: str, shims: Path, work: Path) -> None:
    _both(shims, work, ("s", "DEST", *QUIET, *options.split()), ignore=())


def test_paths_keep_the_metadata_of_their_directories(shims: Path, work: Path) -> None:
    top = work / "hp"
    (top / "usr/bin").mkdir(parents=True)
    (top / "usr/bin/x").write_text("x")
    (top / "usr").chmod(0o700)
    os.chown(top / "usr", 1234, 1234)
    os.setxattr(top / "usr", "user.u", b"1")
    _both(shims, top, ("usr/bin/x", "DEST", "-no-strip", *QUIET))
    _both(shims, top, ("../hp/usr", "DEST", "-no-strip", *QUIET), ignore=("mtime", "mode"))  # their root is `..`
    _both(shims, top, ("-", "DEST", "-cpiostyle", *QUIET), b"usr\nusr/bin/x\n")
    with imgcore.open(top / "ours.sqfs") as ours:
        assert ours.tree["/usr"].meta.xattrs == {b"user.u": b"1"}
        assert (ours.tree["/usr"].meta.uid, ours.tree["/usr"].meta.mode) == (1234, 0o700)


def test_sqfstar_excludes_are_patterns(shims: Path, work: Path) -> None:
    archive = subprocess.run(["tar", "-C", work / "s", "-cf", "-", "d", "b.txt"], capture_output=True, check=True).stdout
    assert _run(shims, shims / "sqfstar", "-force", "patterns.sqfs", "... *.jpg", cwd=work, stdin=archive).returncode == 0
    with imgcore.open(work / "patterns.sqfs") as ours:
        assert sorted(path for path, _ in ours.tree.walk()) == [b"/", b"/b.txt", b"/d", b"/d/.x.jpg", b"/d/linked", b"/d/sub"]
    assert _run(shims, shims / "sqfstar", "-force", "patterns.sqfs", cwd=work, stdin=archive).returncode == 0
    assert _run(shims, shims / "sqfstar", "patterns.sqfs", cwd=work, stdin=archive).returncode == 1


def test_streams_hold_the_image_alone(shims: Path, work: Path) -> None:
    for words in (("s", "named.sqfs", "-stream"), ("s", "-", "-info"), ("s", "-")):
        done = _run(shims, shims / "mksquashfs", *words, cwd=work)
        assert done.returncode == 0, done.stderr
        (work / "streamed.sqfs").write_bytes(done.stdout)
        with imgcore.open(work / "streamed.sqfs") as ours:
            assert b"/d/sub/c.jpg" in ours.tree
        assert not (work / "named.sqfs").exists()


def test_an_image_inside_of_its_source_is_left_out(shims: Path, work: Path) -> None:
    top = work / "inside"
    top.mkdir()
    (top / "a").write_text("a")
    for _ in range(2):
        done = _run(shims, shims / "mksquashfs", ".", "o.sqfs", "-noappend", "-quiet", cwd=top)
        assert done.returncode == 0, done.stderr
    with imgcore.open(top / "o.sqfs") as ours:
        assert [path for path, _ in ours.tree.walk()] == [b"/", b"/a"]


@pytest.mark.parametrize("line", ["f2", "./so/f2", "{work}/so/f2", "none"])
def test_sort_files_find_files_as_excludes_do(line: str, shims: Path, work: Path) -> None:
    (work / "so").mkdir(exist_ok=True)
    for name in ("f1", "f2"):
        (work / "so" / name).write_bytes(name.encode() * 100_000)
    (work / "sort").write_text(f"{line.format(work=work)} 100\n")
    options = ("-no-compression", "-no-fragments", "-sort", "sort", "-quiet", "-noappend")
    done = _run(shims, shims / "mksquashfs", "so", "so.sqfs", *options, cwd=work)
    assert done.returncode == 0, done.stderr
    data = (work / "so.sqfs").read_bytes()
    assert (data.index(b"f2f2f2") < data.index(b"f1f1f1")) == (line != "none")
    assert (b"no file of the image" in done.stderr) == (line == "none")


@pytest.mark.parametrize(
    "words",
    [
        "s t.sqfs -info-file /nonexistent/x",
        "s t.sqfs -offset 99999999999999999999",
        "s t.sqfs -processors abc",
        "s t.sqfs -sort /no",
    ],
)
def test_mistakes_are_one_line(words: str, shims: Path, work: Path) -> None:
    done = _run(shims, shims / "mksquashfs", "s", "t.sqfs", *words.split(), cwd=work)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert not (work / "t.sqfs").exists()


def test_a_signal_leaves_nothing(shims: Path, work: Path) -> None:
    (work / "large").mkdir()
    (work / "large/file").write_bytes(b"".join(b"%d\n" % number for number in range(8_000_000)))
    command = [str(shims / "mksquashfs"), "large", "signal.sqfs", "-comp", "xz"]
    process = subprocess.Popen(command, cwd=work, env=_environment(shims), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        process.wait(2)
    except subprocess.TimeoutExpired:
        process.terminate()
    _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    assert process.returncode in (0, 1)
    assert (work / "signal.sqfs").exists() == (process.returncode == 0)


@pytest.mark.parametrize(
    "options", ["-action exclude@name(a)", "-root-becomes old", "-recover x", "-p q␣f␣644␣0␣0␣echo␣hi", "-fix"]
)
def test_what_is_not_there_is_refused_by_name(options: str, shims: Path, work: Path) -> None:
    words = [word.replace("␣", " ") for word in options.split()]
    done = _run(shims, shims / "mksquashfs", "s", "refused.sqfs", *QUIET, *words, cwd=work)
    assert done.returncode == 1
    assert words[0].encode() in done.stderr
    assert not (work / "refused.sqfs").exists()


def test_an_existing_file_is_written_in_place_or_refused(shims: Path, work: Path) -> None:
    target = work / "existing.sqfs"
    target.write_bytes(b"x" * 100_000)
    refused = _run(shims, shims / "mksquashfs", "s", target, cwd=work)
    assert refused.returncode == 1
    assert b"append" in refused.stderr
    assert target.read_bytes() == b"x" * 100_000
    inode = target.stat().st_ino
    assert _run(shims, shims / "mksquashfs", "s", target, "-noappend", cwd=work).returncode == 0
    assert target.stat().st_ino == inode
    assert target.stat().st_size < 100_000
    target.unlink()


# What programs that make images run, word by word; SRC and OUT are theirs to say.
EMBEDDERS = {
    "kiwi": "SRC OUT -noappend -b 1M -comp xz -Xbcj x86 -wildcards -e .hid d/sub",
    "kiwi, uncompressed": "SRC OUT -noappend -b 1M -noI -noD -noF -noX",
    "lorax": "SRC OUT -comp xz -Xbcj x86",
    "osbuild": "SRC OUT -comp xz -Xbcj x86",
    "osbuild, lz4": "SRC OUT -comp lz4",
    "sysext-bakery": "SRC OUT -all-root -noappend -xattrs-exclude ^btrfs.",
    "systemd-repart": "SRC OUT -noappend -quiet",
    "systemd-repart with a level": "SRC OUT -noappend -comp zstd -Xcompression-level 9",
    "elemental": "SRC OUT -b 1024k",
    "squashfuse": "SRC OUT -comp gzip -no-progress",
    "wic": "SRC OUT -noappend",
    "AppImage": "SRC OUT -root-owned -noappend -reproducible -comp zstd",
    "talos": "SRC OUT -all-root -noappend -comp zstd -Xcompression-level 18 -no-progress",
    "ubuntu": "SRC OUT -no-progress -xattrs -comp xz",
    "live-build": "SRC OUT -comp xz -mem 1G -wildcards -e d/* .hid/*",
}


@pytest.mark.parametrize("name", EMBEDDERS)
def test_embedders_command_lines(name: str, shims: Path, work: Path) -> None:
    words = tuple({"SRC": "s", "OUT": "DEST"}.get(word, word) for word in EMBEDDERS[name].split())
    _both(shims, work, words)
    with mounted(work / "ours.sqfs", work / "mnt") as took:
        assert took
        with imgcore.open(work / "ours.sqfs") as ours:
            assert differences(tree_records(ours.tree), host_records(work / "mnt")) == []


def test_version_is_read_as_a_version(shims: Path, work: Path) -> None:
    said = _run(shims, "sh", "-c", 'mksquashfs -version | head -n1 | cut -d " " -f 3', cwd=work)
    assert said.stdout.strip() == b"4.7.5"


def test_squashfuse_reads_every_compressor(shims: Path, work: Path) -> None:
    """What squashfuse's own smoke test does: find compressors with a file as the source, then mount and compare."""
    squashfuse = tool("squashfuse_ll")
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no FUSE here")
    (work / "smoke").mkdir()
    for name, size in (("rand1", 3_000_000), ("rand2", 17_000)):
        (work / "smoke" / name).write_bytes(os.urandom(size))
    (work / "smoke/z1 with spaces").write_bytes(bytes(87))
    (work / "input").touch()
    found = []
    for compressor in ("lz4", "xz", "gzip", "lzo", "zstd", "lzma"):
        if _run(shims, "mksquashfs", "input", "output", "-comp", compressor, cwd=work).returncode == 0:
            found.append(compressor)
            (work / "output").unlink()
    assert found == ["lz4", "xz", "gzip", "lzo", "zstd"]
    for compressor in found:
        done = _run(shims, "mksquashfs", "smoke", "smoke.sqfs", "-comp", compressor, "-no-progress", cwd=work)
        assert done.returncode == 0, done.stderr
        (work / "fuse").mkdir(exist_ok=True)
        run(squashfuse, work / "smoke.sqfs", work / "fuse")
        try:
            for path in (work / "smoke").iterdir():
                assert (work / "fuse" / path.name).read_bytes() == path.read_bytes()
        finally:
            run("umount", work / "fuse")
        (work / "smoke.sqfs").unlink()


@pytest.mark.parametrize("newest", [True, False], ids=["262", "the system's"])
def test_systemd_repart_makes_a_disk_image_with_us(newest: bool, shims: Path, tmp_path: Path) -> None:
    repart = tool("systemd-repart", newest=newest)
    source = tmp_path / "src"
    (source / "usr/lib/extension-release.d").mkdir(parents=True)
    (source / "usr/lib/extension-release.d/extension-release.x").write_text("ID=_any\n")
    (source / "usr/bin").mkdir()
    (source / "usr/bin/tool").write_bytes(Path(sys.executable).read_bytes())
    (tmp_path / "defs").mkdir()
    minimize = "Minimize=best\n" if newest else "SizeMinBytes=64M\n"
    (tmp_path / "defs/10-root.conf").write_text(
        f"[Partition]\nType=root\nFormat=squashfs\nCopyFiles={'/usr/' if newest else f'{source}/usr/:/usr/'}\n{minimize}"
    )
    words = [
        "--definitions=defs",
        "--empty=create",
        "--size=auto",
        "--dry-run=no",
        "--seed=9d2f6c1a-0000-4000-8000-0123456789ab",
    ]
    if newest:
        words += ["--root=", f"--copy-source={source}", "--offline=yes"]
    done = _run(shims, repart, *words, "x.raw", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    data = (tmp_path / "x.raw").read_bytes()
    assert data[512:520] == b"EFI PART"
    entries = struct.unpack_from("<Q", data, 512 + 72)[0]
    first, last = struct.unpack_from("<QQ", data, entries * 512 + 32)
    (tmp_path / "part.sqfs").write_bytes(data[first * 512 : (last + 1) * 512])
    with imgcore.open(tmp_path / "part.sqfs") as image:
        assert image.image is not None
        assert list(image.image.check()) == []
        assert b"/usr/bin/tool" in image.tree
    with mounted(tmp_path / "part.sqfs", tmp_path / "mnt") as took:
        assert took
        run("diff", "-r", source / "usr", tmp_path / "mnt/usr")


@pytest.fixture(scope="module")
def image(shims: Path, work: Path) -> Path:
    """An image that mksquashfs made."""
    path = work / "image.sqfs"
    done = _run(shims, tool("mksquashfs", newest=True), "s", path, *QUIET, "-mkfs-time", "1700000000", cwd=work)
    assert done.returncode == 0
    return path


@pytest.mark.parametrize(
    "options",
    [
        "-l",
        "-ll",
        "-lln",
        "-lls -UTC",
        "-lln -full",
        "-lc",
        "-llc",
        "-l -d /x",
        "-lls -d .",
        "-l -max 1",
        "-l IMAGE d",
        "-l IMAGE *.jpg b*",
    ],
)
def test_unsquashfs_lists(options: str, shims: Path, work: Path, image: Path) -> None:
    words = options.split()
    words = [str(image) if word == "IMAGE" else word for word in words] + ([] if "IMAGE" in words else [str(image)])
    theirs = _run(shims, tool("unsquashfs", newest=True), *words, cwd=work)
    ours = _run(shims, shims / "unsquashfs", *words, cwd=work)
    assert ours.returncode == theirs.returncode == 0, ours.stderr
    assert ours.stdout.decode() == theirs.stdout.decode()


def test_unsquashfs_superblock(shims: Path, work: Path, image: Path) -> None:
    for option in ("-s", "-mkfs-time"):
        theirs = _run(shims, tool("unsquashfs", newest=True), option, image, cwd=work)
        ours = _run(shims, shims / "unsquashfs", option, image, cwd=work)
        assert ours.stdout.decode() == theirs.stdout.decode()


def test_unsquashfs_extracts(shims: Path, work: Path, image: Path, tmp_path: Path) -> None:
    for name, program in (("theirs", tool("unsquashfs", newest=True)), ("ours", str(shims / "unsquashfs"))):
        (tmp_path / name).mkdir()
        for part, words in (
            ("all", []),
            ("some", ["d/a.jpg", "*.txt"]),
            ("excluded", ["-excludes", "d", ".dot"]),
            ("flat", ["-max-depth", "1"]),
            ("regex", ["-regex", "a.jp", "^d$/su"]),
        ):
            options = [word for word in words if word.startswith("-") or word.isdigit()]
            names = [word for word in words if word not in options]
            done = _run(shims, program, "-q", "-n", "-d", tmp_path / name / part, *options, image, *names, cwd=work)
            assert done.returncode == 0, (name, part, done.stderr)
    run("diff", "-r", "--no-dereference", "-x", "null", "-x", "fifo", tmp_path / "theirs", tmp_path / "ours")
    assert os.stat(tmp_path / "ours/all/b.txt").st_nlink == 2
    again = _run(shims, shims / "unsquashfs", "-d", tmp_path / "ours/all", image, cwd=work)
    assert again.returncode == 1
    assert _run(shims, shims / "unsquashfs", "-q", "-f", "-d", tmp_path / "ours/all", image, cwd=work).returncode == 0


def test_unsquashfs_writes_pseudo_files(shims: Path, work: Path, image: Path) -> None:
    """Ours is read by mksquashfs, and by us."""
    ours = _run(shims, shims / "unsquashfs", "-pf", "-", image, cwd=work)
    assert ours.returncode == 0
    (work / "ours.pf").write_bytes(ours.stdout)
    done = _run(shims, tool("mksquashfs", newest=True), "-", "back.sqfs", "-pf", "ours.pf", *QUIET, cwd=work)
    assert done.returncode == 0, done.stderr
    with imgcore.open(image) as one, imgcore.open(work / "back.sqfs") as two:
        assert list(imgcore.diff(one.tree, two.tree)) == []
    with imgcore.open(image) as one, imgcore.open(imgcore.parse_source(f"pseudo:{work}/ours.pf")) as two:
        assert list(imgcore.diff(one.tree, two.tree)) == []


def test_sqfscat(shims: Path, work: Path, image: Path) -> None:
    for words in (["b.txt"], ["d/a.jpg", "a.jpg"], ["link"], ["d/*.jpg"]):
        theirs = _run(shims, tool("unsquashfs", newest=True), "-cat", image, *words, cwd=work)
        ours = _run(shims, shims / "sqfscat", image, *words, cwd=work)
        assert ours.returncode == theirs.returncode
        assert ours.stdout == theirs.stdout
