"""Every flag of `pack` that changes what is packed: what is in the image, and what is said of a mistake."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from imgcore.build.source import open_source
from imgcore.model import Dir, Symlink, Tree, manifest_lines
from imgcore.transforms import capability_value
from tests.conftest import Cli


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    for name in ("usr/bin/tool", "usr/bin/tool.pyc", "usr/lib/a.pyc", "usr/lib/keep.pyc", "etc/conf"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
        os.chmod(path / name, 0o664)
    os.link(path / "usr/bin/tool", path / "again")
    (path / "empty" / "deep").mkdir(parents=True)
    (path / "link").symlink_to("usr/bin")
    for where, _, _ in os.walk(path):
        os.chmod(where, 0o775)
        os.utime(where, (2_000_000_000, 2_000_000_000))
    return path


Packed = Callable[..., Tree]


@pytest.fixture
def packed(imgcore_cli: Cli, source: Path, tmp_path: Path) -> Packed:
    """Return a function that packs `source` with some flags and returns what is in the image."""

    def call(*flags: str | os.PathLike[str], sources: tuple[str | os.PathLike[str], ...] = (source,)) -> Tree:
        image = tmp_path / "o.raw"
        result = imgcore_cli("pack", "--force", *flags, *sources, image)
        assert (result.code, result.out) == (0, ""), result.err
        return open_source(image).tree

    return call


def files(tree: Tree) -> set[str]:
    return {path.decode() for path, node in tree.walk() if not isinstance(node, Dir)}


ALL = {"/usr/bin/tool", "/usr/bin/tool.pyc", "/usr/lib/a.pyc", "/usr/lib/keep.pyc", "/etc/conf", "/again", "/link"}
PYC = {"/usr/bin/tool.pyc", "/usr/lib/a.pyc", "/usr/lib/keep.pyc"}


@pytest.mark.parametrize(
    ("flags", "gone"),
    [
        (["--exclude", "*.pyc"], PYC),
        (["--exclude", "*.pyc", "--include", "keep.*"], PYC - {"/usr/lib/keep.pyc"}),
        (["--exclude-regex", r"\.pyc$", "--include-regex", "^/usr/bin/"], PYC - {"/usr/bin/tool.pyc"}),
        (["--exclude", "/usr", "--include", "/usr/lib/a.pyc"], {"/usr/bin/tool"} | PYC - {"/usr/lib/a.pyc"}),
        (["--only", "/usr/lib", "--only", "conf"], ALL - {"/usr/lib/a.pyc", "/usr/lib/keep.pyc", "/etc/conf"}),
        (["--max-depth", "1"], ALL - {"/again", "/link"}),
        (["--max-depth", "0"], ALL),
    ],
)
def test_filters(flags: list[str], gone: set[str], packed: Packed) -> None:
    assert ALL - files(packed(*flags)) == gone


def test_exclude_from(packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "ignore").write_bytes(b"# c\n*.pyc\n!keep.pyc\n")
    assert files(packed("--exclude-from", tmp_path / "ignore")) == ALL - PYC | {"/usr/lib/keep.pyc"}


def test_unused_filters_are_warned_of(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "ignore").write_bytes(b"from-file\n")
    result = imgcore_cli("pack", "--exclude", "no1", "--exclude-regex", "no2", "--include", "no3", "--include-regex", "no4",
                         "--exclude-from", tmp_path / "ignore", source, tmp_path / "o.raw")  # fmt: skip
    assert result.code == 0
    for text in ("exclude `no1`", "exclude `no2`", "include `no3`", "include `no4`", "exclude `from-file`"):
        assert f"{text} matches nothing" in result.err


def test_prune_empty(packed: Packed) -> None:
    pruned = packed("--exclude", "*.pyc", "--prune-empty")
    assert b"/empty" not in pruned
    assert b"/usr/lib" not in pruned
    assert b"/usr/bin" in pruned


def test_dereference(packed: Packed) -> None:
    made = packed("--dereference")
    assert made["/link/tool"] is made["/again"] is made["/usr/bin/tool"]
    assert not any(isinstance(node, Symlink) for _, node in made.walk())


@pytest.mark.oracle
def test_one_file_system(packed: Packed, source: Path, needs_root: None) -> None:
    from tests.kit.oracles import missing, run

    done = run("mount", "-t", "tmpfs", "tmpfs", source / "empty", ok=False)
    if done.returncode:
        missing(f"mount: {done.stderr}")
    try:
        (source / "empty" / "inside").write_bytes(b"")
        assert b"/empty/inside" in packed()
        made = packed("--one-file-system")
        assert not made["/empty"].children  # type: ignore[union-attr]
    finally:
        run("umount", source / "empty")


def test_pseudo(packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "host").write_bytes(b"of the host")
    (tmp_path / "p.txt").write_bytes(b"dev d 755 0 0\nnew l " + bytes(tmp_path / "host") + b"\n/ m 711 3 4\n")
    made = packed(
        "--pseudo-file", tmp_path / "p.txt", "--pseudo", "dev/null c 666 root root 1 3", "--pseudo", "etc/conf m 600 5 6"
    )
    assert (made["/dev/null"].kind, made["/dev/null"].major) == ("char", 1)  # type: ignore[union-attr]
    assert made["/new"].content.read_at(0, 99) == b"of the host"  # type: ignore[union-attr]
    assert (made["/etc/conf"].meta.mode, made["/etc/conf"].meta.uid) == (0o600, 5)
    assert (made.root.meta.mode, made.root.meta.gid) == (0o711, 4)


def test_policy_is_applied_to_what_pseudo_added(packed: Packed) -> None:
    made = packed("--pseudo", "dev d 755 7 7", "--owner", "root", "--file-mode", "a-w", "--dir-mode", "0700")
    assert (made["/dev"].meta.uid, made["/dev"].meta.mode) == (0, 0o700)


def test_xattr_file(packed: Packed, tmp_path: Path) -> None:
    (tmp_path / "dump").write_bytes(b'# file: etc/conf\nuser.a="1\\0122"\n\n# file: usr/bin/tool\nsecurity.x=0sAQ==\n')
    made = packed("--xattr-file", tmp_path / "dump")
    assert made["/etc/conf"].meta.xattrs == {b"user.a": b"1\n2"}
    assert made["/again"].meta.xattrs == {b"security.x": b"\1"}


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        (["--owner", "root"], (0, 0)),
        (["--owner", "5:6"], (5, 6)),
        (["--owner", "5:6", "--map-uid", "0:100:6", "--map-gid", "6:60"], (105, 60)),
        (["--owner", "5:6", "--id-offset", "1000"], (1005, 1006)),
        (["--owner", "5:6", "--map-uid", "5:7", "--id-offset", "1000"], (1007, 1006)),
    ],
)
def test_owners(flags: list[str], ids: tuple[int, int], packed: Packed) -> None:
    assert {(node.meta.uid, node.meta.gid) for _, node in packed(*flags).walk()} == {ids}


@pytest.mark.parametrize(("clock", "time"), [("keep", 2_000_000_000), ("clamp:1000", 1000), ("77", 77)])
def test_clock(clock: str, time: int, packed: Packed) -> None:
    assert packed("--clock", clock)["/empty"].meta.mtime_ns == time * 10**9


def test_modes(packed: Packed) -> None:
    made = packed("--file-mode", "u=rwX,go=r", "--dir-mode", "go-w")
    assert [made[path].meta.mode for path in ("/again", "/empty", "/link")] == [0o644, 0o755, 0o777]
    assert made["/again"] is made["/usr/bin/tool"]


def test_xattrs(packed: Packed, source: Path, needs_xattrs: None) -> None:
    for name in ("user.a", "user.b", "user.overlay.x"):
        os.setxattr(source / "etc/conf", name, b"1")

    def left(*flags: str) -> set[bytes]:
        return set(packed(*flags)["/etc/conf"].meta.xattrs)

    assert left() == {b"user.a", b"user.b"}
    assert left("--xattrs", "all") == {b"user.a", b"user.b", b"user.overlay.x"}
    assert left("--xattrs", "none") == set()
    assert left("--xattrs", "*.a") == {b"user.a"}
    assert left("--strip-xattr", r"^user\.b", "--strip-xattr", "zzz") == {b"user.a"}
    assert left("--strip-xattr", ".", "--set-xattr", "conf=user.c=3") == {b"user.c"}


def test_set_xattr(packed: Packed) -> None:
    made = packed(
        "--set-xattr", "/etc/=user.dir=a=b", "--set-xattr", "tool=trusted.x=0x0102", "--set-xattr", "*=user.all=0sAQ=="
    )
    assert made["/etc"].meta.xattrs == {b"user.dir": b"a=b", b"user.all": b"\1"}
    assert made["/again"].meta.xattrs == {b"trusted.x": b"\1\2", b"user.all": b"\1"}
    assert not made["/link"].meta.xattrs


def test_a_glob_with_an_equals_sign(packed: Packed, source: Path) -> None:
    (source / "a=b").write_bytes(b"")
    assert packed("--set-xattr", r"a\=b=user.x=1")["/a=b"].meta.xattrs == {b"user.x": b"1"}


def test_cap(packed: Packed) -> None:
    made = packed("--cap", "tool=cap_net_raw=ep", "--cap", "/etc/*=cap_chown=p")
    assert made["/again"].meta.xattrs == {b"security.capability": capability_value("cap_net_raw=ep")}
    assert made["/etc/conf"].meta.xattrs == {b"security.capability": capability_value("cap_chown=p")}


def test_selinux(packed: Packed, tmp_path: Path) -> None:
    contexts = tmp_path / "file_contexts"
    contexts.write_text("/.* u:o:all\n/usr/sbin(/.*)? u:o:bin\n")
    (tmp_path / "file_contexts.local").write_text("/etc/conf -- u:o:local\n")
    (tmp_path / "file_contexts.homedirs").write_text("/empty -d u:o:home\n")
    (tmp_path / "file_contexts.subs_dist").write_text("/mid /usr/sbin\n")
    (tmp_path / "file_contexts.subs").write_text("/usr/bin /mid\n")
    made = packed("--selinux", contexts)
    labels = {
        path: made[path].meta.xattrs[b"security.selinux"] for path in ("/link", "/etc/conf", "/empty", "/usr/bin/tool.pyc")
    }
    assert labels == {
        "/link": b"u:o:all\0",
        "/etc/conf": b"u:o:local\0",
        "/empty": b"u:o:home\0",
        "/usr/bin/tool.pyc": b"u:o:bin\0",
    }


def test_root(packed: Packed) -> None:
    meta = packed("--root", "mode=0711,owner=3:4,time=5", "--owner", "9:9", "--clock", "77").root.meta
    assert (meta.mode, meta.uid, meta.gid, meta.mtime_ns) == (0o711, 3, 4, 5 * 10**9)
    assert packed("--root", "mode=go-rwx").root.meta.mode == 0o700


def test_contents(packed: Packed, imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    text = tmp_path / "m"
    text.write_bytes(imgcore_cli("manifest", source).out.encode())
    made = packed("--contents", source, sources=(text,))
    assert list(manifest_lines(made)) == list(manifest_lines(packed()))
    image = (tmp_path / "o.raw").rename(tmp_path / "c.raw")
    again = packed("--contents", image, sources=(f"manifest:{text}",))
    assert list(manifest_lines(again)) == list(manifest_lines(made))


def test_a_manifest_that_was_only_recognised_reaches_no_host_files(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "looks-like.raw").write_text('{"path":"/x","type":"file","content":"secret"}')
    refused = imgcore_cli("cat", tmp_path / "looks-like.raw", "/x")
    assert refused.code == 1
    assert "manifest:PATH" in refused.err
    assert imgcore_cli("cat", f"manifest:{tmp_path / 'looks-like.raw'}", "/x").out == "s"


def test_overwrite(packed: Packed, imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "etc").mkdir(parents=True)
    (other / "etc" / "conf").write_bytes(b"later")
    os.chmod(other / "etc", 0o700)
    refused = imgcore_cli("pack", source, other, tmp_path / "x.raw")
    assert (refused.code, (tmp_path / "x.raw").exists()) == (4, False)
    assert "--overwrite" in refused.err
    made = packed("--overwrite", sources=(source, other))
    assert made["/etc/conf"].content.read_at(0, 9) == b"later"  # type: ignore[union-attr]
    assert made["/etc"].meta.mode == 0o700
    assert files(made) == ALL


# --dry-run


def test_dry_run(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    result = imgcore_cli("pack", "--dry-run", "--exclude", "*.pyc", "-c", "xz", source, tmp_path / "o.raw")
    assert (result.code, (tmp_path / "o.raw").exists()) == (0, False)
    assert "squashfs" in result.out
    assert "in 2 files" in result.out
    assert "7 dir, 2 file, 1 symlink; 11 names" in result.out
    assert "compression=xz" in result.out
    verbose = imgcore_cli("pack", "--dry-run", "-v", source, tmp_path / "o.raw")
    assert "/link -> usr/bin" in verbose.out
    assert len(re.findall(r"^  lost: the fraction of a second of \d+ times, the first: `/", verbose.out, re.MULTILINE)) == 1
    assert len(verbose.out.splitlines()) == 3 + 1 + 14


def test_dry_run_json(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    (source / b"\xff".decode("utf-8", "surrogateescape")).touch()
    os.utime(source / b"\xff".decode("utf-8", "surrogateescape"), (-5, -5))
    result = imgcore_cli("pack", "--dry-run", "--json", "--allow-loss", "time", source, tmp_path / "o.raw")
    (plan,) = result.objects()
    assert list(plan) == ["event", "schema", "verb", "dest", "format", "options", "names", "types", "files", "bytes", "losses"]
    assert (plan["event"], plan["format"], plan["files"]) == ("plan", "squashfs", 6)
    assert plan["types"] == {"dir": 7, "file": 6, "symlink": 1}
    losses = [loss for loss in plan["losses"] if "path_b64" in loss]  # type: ignore[attr-defined]
    assert losses[0]["path_b64"] == "L/8="
    verbose = imgcore_cli("pack", "--dry-run", "--json", "-v", "--allow-loss", "time", source, tmp_path / "o.raw").objects()
    assert [item["path"] for item in verbose[1:3]] == ["/", "/again"]
    assert {item["path"]: item["link"] for item in verbose[1:] if "link" in item} == {"/usr/bin/tool": "/again"}


def test_dry_run_says_what_pack_would(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    os.utime(source / "again", (-5, -5))
    for flags in (["--dry-run"], []):
        result = imgcore_cli("pack", *flags, source, tmp_path / "o.raw")
        assert (result.code, (tmp_path / "o.raw").exists()) == (4, False)


# Mistakes


@pytest.mark.parametrize(
    "flags",
    [
        ["--exclude", ""],
        ["--exclude-regex", "("],
        ["--include", "/"],
        ["--include-regex", "*"],
        ["--only", ""],
        ["--max-depth", "-1"],
        ["--max-depth", "x"],
        ["--pseudo", "a"],
        ["--pseudo", "a f 644 0 0 echo"],
        ["--pseudo", "../a d 755 0 0"],
        ["--owner", "me"],
        ["--map-uid", "1"],
        ["--map-uid", "1:2:0"],
        ["--map-gid", "1:4294967296"],
        ["--id-offset", "-1"],
        ["--clock", "soon"],
        ["--file-mode", "rw"],
        ["--dir-mode", "99"],
        ["--strip-xattr", "["],
        ["--set-xattr", "a"],
        ["--set-xattr", "a=user.x"],
        ["--set-xattr", "a=nodot=1"],
        ["--set-xattr", "a=user.x=0x1"],
        ["--set-xattr", "=user.x=1"],
        ["--cap", "tool"],
        ["--cap", "tool=cap_nothing=p"],
        ["--root", "colour=red"],
        ["--root", "mode=x"],
        ["--root", "owner=me"],
        ["--root", "owner=0:4294967295"],
        ["--root", "time=x"],
        ["--offset", "-1"],
        ["--offset", "x"],
    ],
)
def test_usage_errors(flags: list[str], imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    result = imgcore_cli("pack", *flags, source, tmp_path / "o.raw")
    assert result.code == 2, result.err
    assert not (tmp_path / "o.raw").exists()


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (["--only", "nothing-there"], 1, "nothing-there"),
        (["--cap", "nothing-there=cap_chown=p"], 1, "nothing-there"),
        (["--set-xattr", "nothing-there=user.a=1"], 1, "nothing-there"),
        (["--pseudo", "nope m 755 0 0"], 1, "/nope"),
        (["--pseudo", "etc d 755 0 0"], 1, "/etc"),
        (["--exclude-from", "FILE"], 3, "line 2"),
        (["--pseudo-file", "FILE"], 3, "line 2"),
        (["--xattr-file", "FILE"], 3, "line 1"),
        (["--selinux", "FILE"], 3, "line 2"),
        (["--exclude-from", "MISSING"], 6, "MISSING"),
        (["--pseudo-file", "MISSING"], 6, "MISSING"),
        (["--xattr-file", "MISSING"], 6, "MISSING"),
        (["--selinux", "MISSING"], 6, "MISSING"),
        (["--contents", "MISSING"], 6, "MISSING"),
        (["--pseudo", "x l MISSING"], 6, "MISSING"),
        (["--id-offset", "4294967295"], 4, "none that Linux has"),
    ],
)
def test_data_errors(
    flags: list[str], code: int, says: str, imgcore_cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("x d 755 0 0\n/\n")
    if "--selinux" in flags:
        (tmp_path / "FILE").write_text("/a u:o:t\n/b\n")
    result = imgcore_cli("pack", *flags, source, tmp_path / "o.raw")
    assert result.code == code, result.err
    assert says in result.err
    assert not (tmp_path / "o.raw").exists()
    assert len(result.err.strip().splitlines()) <= (14 if code == 4 else 4)


def test_dereference_of_a_link_to_nowhere(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    (source / "broken").symlink_to("nowhere")
    result = imgcore_cli("pack", "--dereference", source, tmp_path / "o.raw")
    assert (result.code, (tmp_path / "o.raw").exists()) == (6, False)
    assert "broken" in result.err


# --offset


def test_offset(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    assert imgcore_cli("pack", source, tmp_path / "plain.raw").code == 0
    image = (tmp_path / "plain.raw").read_bytes()
    disk = tmp_path / "disk.raw"

    def pack(*flags: str) -> int:
        return imgcore_cli("pack", "--offset", "8K", *flags, source, disk).code

    assert pack() == 0  # made
    assert disk.read_bytes() == bytes(8192) + image
    disk.write_bytes(b"h" * 100)
    assert pack("--verify") == 0  # shorter
    assert disk.read_bytes() == b"h" * 100 + bytes(8092) + image
    disk.write_bytes(b"h" * 8192)
    inode = disk.stat().st_ino
    assert pack() == 0  # equal
    assert disk.read_bytes() == b"h" * 8192 + image
    assert disk.stat().st_ino == inode
    disk.write_bytes(b"h" * 8193)
    assert pack() == 2
    assert disk.read_bytes() == b"h" * 8193
    assert pack("--force") == 0
    assert disk.read_bytes() == b"h" * 8192 + image
    disk.write_bytes(b"h" * (9000 + len(image)))
    assert pack("--force") == 0  # ends with the image
    assert disk.read_bytes() == b"h" * 8192 + image


@pytest.mark.parametrize("size", [None, 0, 100, 8192])
def test_a_failure_leaves_the_file_as_it_was(size: int | None, imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    if size is not None:
        disk.write_bytes(b"h" * size)
    (source / "etc" / "conf").unlink()
    os.symlink("x", source / "etc" / "conf")
    (source / "late").write_bytes(b"x" * 3_000_000)
    os.truncate(source / "late", 3_000_000)
    text = tmp_path / "m"
    lines = imgcore_cli("manifest", source).out
    (source / "late").write_bytes(b"y" * 100)
    text.write_bytes(lines.encode())
    result = imgcore_cli("pack", "--offset", "8K", "--contents", source, text, disk)
    assert result.code == 3, result.err
    failing = imgcore_cli("pack", "--offset", "8K", "--limits", "max_file_size=10", "--contents", source, text, disk)
    assert failing.code in (3, 5)
    assert disk.exists() == (size is not None)
    if size is not None:
        assert disk.read_bytes() == b"h" * size


def test_offset_elsewhere(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    for target, code in (("-", 2), ("/dev/null", 6), (tmp_path, 6), (tmp_path / "none" / "x.raw", 6)):
        assert imgcore_cli("pack", "--format", "squashfs", "--offset", "4K", source, target).code == code
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_dangling_link_as_target_with_an_offset(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "l.raw").symlink_to("made.raw")
    assert imgcore_cli("pack", "--offset", "4K", source, tmp_path / "l.raw").code == 0
    assert (tmp_path / "made.raw").stat().st_size > 4096


def test_plan_lines_are_json(imgcore_cli: Cli, source: Path) -> None:
    for line in imgcore_cli("pack", "--dry-run", "--json", "-v", "--format", "squashfs", source, "-").out.splitlines():
        json.loads(line)
