"""Every row of the table of features: what mksquashfs makes with its options, imgcore makes with its own."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import imgcore
from imgcore.cli.main import run as run_cli
from tests.kit.oracles import differences, host_records, mounted, run, tool, tree_records
from tests.kit.peer_features import READING, WRITING, Feature, Pair

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [(feature, pair) for feature in (*WRITING, *READING) for pair in feature.pairs]
QUIET = ("-noappend", "-quiet", "-no-progress")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of everything that options are about."""
    if os.geteuid() != 0:
        pytest.skip("making devices needs root")
    top = tmp_path_factory.mktemp("sample") / "tree"
    for name in ("bin", "empty", "logs/old", "deep/er/est"):
        (top / name).mkdir(parents=True)
    (top / "bin/tool").write_bytes(Path("/bin/ls").read_bytes())
    (top / "bin/tool").chmod(0o755)
    (top / "text").write_text("a line of text\n" * 3000)
    (top / "copy").write_text("a line of text\n" * 3000)
    os.link(top / "text", top / "deep/linked")
    (top / "deep/er/est/x.log").write_text("log\n")
    (top / "logs/x.log").write_text("log\n" * 100)
    (top / "logs/old/y").write_text("y" * 200_000)
    (top / "link").symlink_to("bin/tool")
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "null", 0o666 | 0o020000, os.makedev(1, 3))
    with open(top / "holes", "wb") as stream:
        stream.seek(700_000)
        stream.write(b"end")
    os.chown(top / "logs/x.log", 1000, 50)
    os.setxattr(top / "text", "user.note", b"a note")
    os.setxattr(top / "bin/tool", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    for directory, names, files in os.walk(top, topdown=False):
        for name in (*names, *files):
            os.utime(os.path.join(directory, name), (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    os.utime(top, (1_700_000_000, 1_700_000_000))
    return top


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """Files that options name."""
    top = tmp_path_factory.mktemp("files")
    (top / "definitions").write_text(
        '# definitions\nnew D 5 0700 1 2\n"new/a file" S 6 0777 0 0 target\nnew/socket I 7 0600 0 0 s\ntext M 8 0600 9 9\n'
    )
    (top / "order").write_text(f"{sample}/text 100\n{sample}/logs -5\n")
    (top / "ng-order").write_text("100 text\n-5 [glob,dont_fragment] logs/*\n")
    (top / "access").write_text("/text\n/bin/tool\n")
    return top


def _theirs(program: str, source: Path, image: Path, *options: str) -> None:
    environment = {**os.environ, "PATH": os.environ["PATH"]}
    done = subprocess.run([program, source, image, *QUIET, *options], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _ours(source: Path | str, image: Path, *options: str) -> None:
    assert run_cli(["pack", "-q", "--no-sync", "--force", str(source), str(image), *options]) == 0


def _changes(one: Path, two: Path, ignore: tuple[str, ...] = ()) -> list[imgcore.Change]:
    """Return how two images differ, less what may."""
    with imgcore.open(one) as a, imgcore.open(two) as b:
        found = [change for change in imgcore.diff(a.tree, b.tree) if change.kind not in ignore]
        if "link-mode" in ignore:
            found = [change for change in found if not isinstance(a.tree[change.path], imgcore.Symlink)]
        if "root-xattrs" in ignore:
            found = [change for change in found if (change.path, change.kind) != (b"/", "xattrs")]
        return found


@pytest.mark.parametrize(("feature", "pair"), PAIRS, ids=[f"{feature.what}: {' '.join(pair.ours)}" for feature, pair in PAIRS])
def test_same_tree_as_mksquashfs(feature: Feature, pair: Pair, sample: Path, files: Path, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.sqfs", tmp_path / "ours.sqfs"
    words = [[word.format(dir=sample, files=files) for word in options] for options in (pair.theirs, pair.ours)]
    _theirs(tool("mksquashfs", newest=True), sample, theirs, *words[0])
    _ours(sample, ours, *words[1])
    assert _changes(theirs, ours, pair.ignore) == []
    with imgcore.open(ours) as source:
        assert source.image is not None
        assert list(source.image.check()) == []
    with mounted(ours, tmp_path / "mnt") as took:
        assert took
        with imgcore.open(ours) as source:
            assert differences(tree_records(source.tree), host_records(tmp_path / "mnt")) == []


@cache
def _tests_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


@pytest.mark.parametrize("feature", [*WRITING, *READING], ids=lambda feature: feature.what)
def test_every_row_is_proved(feature: Feature) -> None:
    assert feature.pairs or feature.tests
    for name in feature.tests:
        path, _, function = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not function or function in _tests_in(ROOT / path), name


def test_source_date_epoch_clamps_both(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    _theirs(tool("mksquashfs", newest=True), sample, tmp_path / "theirs.sqfs")
    _ours(sample, tmp_path / "ours.sqfs")
    assert _changes(tmp_path / "theirs.sqfs", tmp_path / "ours.sqfs") == []
    for name in ("theirs", "ours"):
        with imgcore.open(tmp_path / f"{name}.sqfs") as source:
            assert source.image is not None
            assert source.image.info()["time"] == 1_600_000_000


def test_pseudo_file_of_unsquashfs_is_a_source(sample: Path, tmp_path: Path) -> None:
    _theirs(tool("mksquashfs", newest=True), sample, tmp_path / "theirs.sqfs")
    run(tool("unsquashfs", newest=True), "-pf", tmp_path / "all.pf", tmp_path / "theirs.sqfs")
    _ours(f"pseudo:{tmp_path}/all.pf", tmp_path / "ours.sqfs")
    assert _changes(tmp_path / "theirs.sqfs", tmp_path / "ours.sqfs") == []


def test_getcap_sees_capabilities(sample: Path, tmp_path: Path) -> None:
    getcap = tool("getcap")
    _ours(sample, tmp_path / "ours.sqfs", "--cap", "/deep/linked=cap_net_admin,cap_net_raw=p", "--cap", "/copy=cap_kill=eip")
    with mounted(tmp_path / "ours.sqfs", tmp_path / "mnt") as took:
        assert took
        said = dict(line.split(" ", 1) for line in run(getcap, "-r", tmp_path / "mnt").stdout.splitlines())
    top = str(tmp_path / "mnt")
    assert said[f"{top}/text"] == said[f"{top}/deep/linked"] == "cap_net_admin,cap_net_raw=p"
    assert said[f"{top}/copy"] == "cap_kill=eip"
    assert said[f"{top}/bin/tool"] == "cap_net_raw=ep"


def test_kernel_shows_labels(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "contexts").write_text(
        "/.*  system_u:object_r:default_t:s0\n/bin(/.*)?  system_u:object_r:bin_t:s0\n"
        "/bin/tool  --  system_u:object_r:tool_exec_t:s0\n/logs/.*\\.log  --  <<none>>\n"
    )
    _ours(sample, tmp_path / "ours.sqfs", "--selinux", str(tmp_path / "contexts"))
    with mounted(tmp_path / "ours.sqfs", tmp_path / "mnt") as took:
        assert took

        def label(name: str) -> bytes:
            return os.getxattr(tmp_path / "mnt" / name, "security.selinux", follow_symlinks=False)

        assert label("bin") == b"system_u:object_r:bin_t:s0\0"
        assert label("bin/tool") == b"system_u:object_r:tool_exec_t:s0\0"
        assert label("link") == label("null") == b"system_u:object_r:default_t:s0\0"
        assert "security.selinux" not in os.listxattr(tmp_path / "mnt/logs/x.log")


def test_tar_like_sqfstar_and_tar2sqfs(sample: Path, tmp_path: Path) -> None:
    archive = tmp_path / "sample.tar"
    run("tar", "-C", sample, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-cf", archive, ".")
    _ours(archive, tmp_path / "ours.sqfs")
    with open(archive, "rb") as stream:
        subprocess.run([tool("tar2sqfs"), "-q", "-f", tmp_path / "ng.sqfs"], stdin=stream, check=True, capture_output=True)
    # tar2sqfs 1.2 keeps no metadata of the member `./`, and makes two files of a hard-linked pair.
    assert [
        change
        for change in _changes(tmp_path / "ng.sqfs", tmp_path / "ours.sqfs")
        if change.path != b"/" and change.kind != "link"
    ] == []
    _theirs(tool("mksquashfs", newest=True), sample, tmp_path / "theirs.sqfs")
    assert _changes(tmp_path / "theirs.sqfs", tmp_path / "ours.sqfs") == []


def test_places_like_keep_as_directory(sample: Path, tmp_path: Path) -> None:
    _theirs(tool("mksquashfs", newest=True), sample, tmp_path / "theirs.sqfs", "-keep-as-directory")
    _ours(f"/{sample.name}={sample}", tmp_path / "ours.sqfs")
    changes = _changes(tmp_path / "theirs.sqfs", tmp_path / "ours.sqfs")
    assert [change for change in changes if change.path != b"/"] == []


def test_offset_is_mounted_at_an_offset(sample: Path, tmp_path: Path) -> None:
    image, runtime = tmp_path / "app", os.urandom(123_456)
    image.write_bytes(runtime)
    assert run_cli(["pack", "-q", "--format", "squashfs", "--offset", "126976", str(sample), str(image)]) == 0
    assert image.read_bytes()[:123_456] == runtime
    listed = run(tool("unsquashfs", newest=True), "-l", "-o", "126976", image).stdout
    assert "squashfs-root/bin/tool" in listed
    run("dd", f"if={image}", f"of={tmp_path}/inner.sqfs", "bs=4096", "skip=31", "status=none")
    with mounted(tmp_path / "inner.sqfs", tmp_path / "mnt") as took:
        assert took
    with imgcore.open(imgcore.parse_source(f"{image}#offset:126976")) as one, imgcore.open(tmp_path / "inner.sqfs") as two:
        assert list(imgcore.diff(one.tree, two.tree)) == []


def test_standard_output_is_a_whole_image(sample: Path, tmp_path: Path, imgcore_process: list[str]) -> None:
    with open(tmp_path / "piped.sqfs", "wb") as stream:
        subprocess.run([*imgcore_process, "pack", "-q", "--format", "squashfs", sample, "-"], stdout=stream, check=True)
    _ours(sample, tmp_path / "ours.sqfs")
    assert (tmp_path / "piped.sqfs").read_bytes() == (tmp_path / "ours.sqfs").read_bytes()


def test_dereference_like_cp(sample: Path, tmp_path: Path) -> None:
    run("cp", "-a", sample, tmp_path / "source")
    (tmp_path / "source/to-dir").symlink_to("logs")
    (tmp_path / "source/outside").symlink_to("/bin/ls")
    run("cp", "-aL", tmp_path / "source", tmp_path / "copied")
    _ours(tmp_path / "source", tmp_path / "ours.sqfs", "--dereference")
    with imgcore.open(tmp_path / "ours.sqfs") as source:
        # cp -L makes a file of its own of each name; what they hold is the same.
        found = differences(tree_records(source.tree), host_records(tmp_path / "copied"), ignore=("links", "group", "time"))
        assert found == []


def test_to_tar_like_sqfs2tar(sample: Path, tmp_path: Path) -> None:
    _ours(sample, tmp_path / "image.sqfs")
    with open(tmp_path / "ng.tar", "wb") as stream:
        subprocess.run([tool("sqfs2tar"), tmp_path / "image.sqfs"], stdout=stream, check=True)
    _ours(tmp_path / "image.sqfs", tmp_path / "ours.tar.zst")
    assert [
        change
        for change in _changes(tmp_path / "ng.tar", tmp_path / "ours.tar.zst")
        if change.path != b"/" and change.kind != "link"
    ] == []
    assert _changes(tmp_path / "image.sqfs", tmp_path / "ours.tar.zst") == []


def test_diff_says_what_sqfsdiff_says(sample: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sqfsdiff = tool("sqfsdiff")
    run("cp", "-a", sample, tmp_path / "changed")
    (tmp_path / "changed/copy").write_text("another text")
    (tmp_path / "changed/logs/old/y").unlink()
    (tmp_path / "changed/bin/tool").chmod(0o700)
    _ours(sample, tmp_path / "a.sqfs")
    _ours(tmp_path / "changed", tmp_path / "b.sqfs")
    done = run(sqfsdiff, "-a", tmp_path / "a.sqfs", "-b", tmp_path / "b.sqfs", ok=False)
    theirs = {match[0].strip("/ \n") for match in re.finditer(r"(?:copy|logs/old/y|bin/tool)", done.stdout)}
    capfd.readouterr()
    assert run_cli(["diff", str(tmp_path / "a.sqfs"), str(tmp_path / "b.sqfs")]) == 1
    out = capfd.readouterr().out
    assert theirs == {"copy", "logs/old/y", "bin/tool"}
    assert re.search(r"^content +/copy", out, re.M)
    assert re.search(r"^removed +/logs/old/y", out, re.M)
    assert re.search(r"^mode +/bin/tool: 0755 -> 0700", out, re.M)


@pytest.fixture
def imgcore_process() -> Iterator[list[str]]:
    """The command line in a process of its own."""
    import sys

    yield [sys.executable, "-m", "imgcore"]
