from __future__ import annotations

import base64
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from imgcore.blob import MemorySink
from imgcore.build.pack import pack
from imgcore.build.source import open_source
from imgcore.cli.output import human, table
from imgcore.formats import squashfs
from imgcore.hosts import scan
from imgcore.model import Dir, Symlink, char_device, diff, file, manifest_lines, symlink, tree
from tests.conftest import Cli, Result


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "usr" / "bin").mkdir(parents=True)
    (path / "usr" / "bin" / "tool").write_bytes(b"#!/bin/sh\n" * 1000)
    os.link(path / "usr" / "bin" / "tool", path / "again")
    (path / "link").symlink_to("usr/bin")
    (path / "new\nline\x1b[31m").write_bytes(b"1")
    Path(os.fsdecode(os.fsencode(path) + b"/\xff")).write_bytes(b"2")
    return path


@pytest.fixture
def image(source: Path, tmp_path: Path) -> Path:
    pack(source, tmp_path / "o.raw")
    return tmp_path / "o.raw"


# pack


def test_pack_prints_a_summary(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    result = imgcore_cli("pack", "-c", "gzip:9", source, tmp_path / "o.raw")
    assert (result.code, result.out) == (0, "")
    for text in ("3 files", "1 hard links", "duplicates", "holes", "gzip", "engine", " s"):
        assert text in result.err or text == "gzip"
    assert "level 9" in result.err


def test_pack_json(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    result = imgcore_cli("pack", "--json", source, tmp_path / "o.raw")
    (summary,) = result.objects()
    assert (summary["event"], summary["schema"], summary["verb"]) == ("summary", 1, "pack")
    assert (summary["files"], summary["hard_links"], summary["bytes_in"]) == (3, 1, 10002)
    assert summary["size"] == (tmp_path / "o.raw").stat().st_size
    assert isinstance(summary["seconds"], float)
    for line in result.err.splitlines():
        assert json.loads(line)["event"] == "warning"


def test_pack_flags(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    dest = tmp_path / "o.bin"
    result = imgcore_cli(
        *("pack", "--format", "squashfs", "-c", "xz:1", "-b", "8K", "--owner", "7:8", "--clock", "1000", "--exclude", "again"),
        *("--xattrs", "none", "-O", "export=no", "-O", "pad=1024", "-j", "3", "--engine", "pure", "--memory", "16M"),
        *("--no-sync", "--verify", "-q", source, dest),
    )
    assert (result.code, result.out, result.err) == (0, "", "")
    with open_source(dest) as opened:
        assert opened.image is not None
        info = opened.image.info()
        assert (info["compression"], info["block_size"], info["time"]) == ("xz", 8192, 1000)
        metas = [node.meta for _, node in opened.tree.walk()]
        assert {(meta.uid, meta.gid, meta.mtime_ns) for meta in metas} == {(7, 8, 1000 * 10**9)}
        assert b"/again" not in opened.tree


def test_source_date_epoch(imgcore_cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(source / "usr" / "bin" / "tool", (500, 500))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000")

    def packed(*flags: str) -> tuple[object, int, int]:
        assert imgcore_cli("pack", "--force", *flags, source, tmp_path / "o.raw").code == 0
        with open_source(tmp_path / "o.raw") as opened:
            assert opened.image is not None
            times = (opened.tree[path].meta.mtime_ns // 10**9 for path in ("/usr/bin/tool", "/usr"))
            return opened.image.info()["time"], *times

    assert packed() == (1000, 500, 1000)
    assert packed("--clock", "700") == (1000, 700, 700)
    assert packed("--clock", "clamp:600", "-O", "time=5") == (5, 500, 600)
    assert packed("--clock", "keep")[2] > 10**9
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    result = imgcore_cli("pack", "--force", source, tmp_path / "o.raw")
    assert result.code == 2 and "SOURCE_DATE_EPOCH" in result.err


def test_pack_places_and_joins(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "m").write_bytes(b"m")
    assert imgcore_cli("pack", source, f"/opt/x={tmp_path}/more", tmp_path / "o.raw").code == 0
    assert "/opt/x/m" in imgcore_cli("ls", "-R", tmp_path / "o.raw").out.splitlines()
    (tmp_path / "more" / "again").write_bytes(b"")
    result = imgcore_cli("pack", source, tmp_path / "more", tmp_path / "p.raw")
    assert result.code == 4 and "/again" in result.err


def test_same_image_with_any_number_of_jobs(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    images = []
    for jobs in ("1", "4"):
        assert imgcore_cli("pack", "-j", jobs, "--force", source, tmp_path / "o.raw").code == 0
        images.append((tmp_path / "o.raw").read_bytes())
    assert images[0] == images[1]


def test_losses_are_listed(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "old").write_bytes(b"")
    os.utime(tmp_path / "s" / "old", (-5, -5))
    result = imgcore_cli("pack", tmp_path / "s", tmp_path / "o.raw")
    assert result.code == 4
    assert "/old" in result.err and "hint: --allow-loss time" in result.err
    error = json.loads(imgcore_cli("pack", "--json", tmp_path / "s", tmp_path / "o.raw").err.splitlines()[-1])
    assert (error["event"], error["exit"]) == ("error", 4)
    assert {"kind": "time", "path": "/old"}.items() <= error["losses"][-1].items()
    assert imgcore_cli("pack", "--allow-loss", "time", tmp_path / "s", tmp_path / "o.raw").code == 0


def test_equal_warnings_become_one_line(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for name in "abc":
        (tmp_path / "s" / name).write_bytes(b"")
        os.utime(tmp_path / "s" / name, (-1, -1))
    os.utime(tmp_path / "s", (5, 5))
    lines = [
        line
        for line in imgcore_cli("pack", "--allow-loss", "time", tmp_path / "s", tmp_path / "o.raw").err.splitlines()
        if line.startswith("warning")
    ]
    assert len(lines) == 1 and "`/a` and 2 more" in lines[0]
    result = imgcore_cli("pack", "-v", "--allow-loss", "time", "--force", tmp_path / "s", tmp_path / "o.raw")
    assert len([line for line in result.err.splitlines() if line.startswith("warning")]) == 3


# unpack


def test_unpack(imgcore_cli: Cli, image: Path, tmp_path: Path, source: Path) -> None:
    result = imgcore_cli("unpack", image, tmp_path / "out")
    assert (result.code, result.out) == (0, "") and "3 files" in result.err
    with open_source(image) as opened:
        assert list(diff(opened.tree, scan(tmp_path / "out"))) == []
    assert imgcore_cli("unpack", image, tmp_path / "out").code == 2
    assert imgcore_cli("unpack", "--force", "-j", "3", image, tmp_path / "out").code == 0
    (summary,) = imgcore_cli("unpack", "--json", "--only", "/usr", "--owner", "me", image, tmp_path / "some").objects()
    assert (summary["verb"], summary["files"], summary["dirs"]) == ("unpack", 1, 3)
    assert imgcore_cli("unpack", "--only", "nothing", image, tmp_path / "none").code == 1


def test_unpack_from_inside_of_an_image(imgcore_cli: Cli, image: Path, tmp_path: Path) -> None:
    assert imgcore_cli("unpack", f"{image}@/usr/bin", tmp_path / "out").code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["tool"]


# ls, cat


def test_ls(imgcore_cli: Cli, image: Path, source: Path) -> None:
    names = ["again", "link", "new\\x0aline\\x1b[31m", "usr", "\\xff"]
    assert imgcore_cli("ls", image).out.splitlines() == names
    assert imgcore_cli("ls", source).out.splitlines() == names
    assert imgcore_cli("ls", image, "/usr").out == "bin\n"
    assert imgcore_cli("ls", image, "link").out == "tool\n"
    assert imgcore_cli("ls", image, "/usr/bin/tool").out == "/usr/bin/tool\n"
    assert imgcore_cli("ls", "-R", image, "/usr").out.splitlines() == ["/usr", "/usr/bin", "/usr/bin/tool"]
    assert imgcore_cli("ls", image, "/none").code == 1
    assert imgcore_cli("ls", image, "/usr/../x").code == 1


def test_ls_long(imgcore_cli: Cli, tmp_path: Path) -> None:
    sample = tree(
        {
            "/a": file(b"12345", mode=0o4755, uid=7, gid=8, mtime_ns=86_400 * 10**9),
            "/l": symlink("a\nb"),
            "/null": char_device(1, 3, mode=0o666),
        }
    )
    pack(sample, tmp_path / "o.raw")
    lines = imgcore_cli("ls", "-l", tmp_path / "o.raw").out.splitlines()
    assert [line.split() for line in lines] == [
        ["-rwsr-xr-x", "7", "8", "5", "1970-01-02", "00:00:00", "a"],
        ["lrwxrwxrwx", "0", "0", "0", "1970-01-01", "00:00:00", "l", "->", "a\\x0ab"],
        ["crw-rw-rw-", "0", "0", "1,3", "1970-01-01", "00:00:00", "null"],
    ]


def test_ls_json_is_the_manifest_without_digests(imgcore_cli: Cli, image: Path) -> None:
    lines = imgcore_cli("ls", "-R", "--json", image).out.splitlines()
    with open_source(image) as opened:
        assert sorted(lines) == sorted(manifest_lines(opened.tree, contents=False))
    (tool,) = imgcore_cli("ls", "--json", image, "/usr/bin").objects()
    assert (tool["path"], tool["link"]) == ("/usr/bin/tool", "/again")


def test_cat(imgcore_cli: Cli, image: Path) -> None:
    assert imgcore_cli("cat", image, "/link/tool").out == "#!/bin/sh\n" * 1000
    assert imgcore_cli("cat", image, "new\nline\x1b[31m", os.fsdecode(b"\xff")).out == "12"
    for path in ("/usr", "/none"):
        result = imgcore_cli("cat", image, path)
        assert (result.code, result.out) == (1, "")


# info, manifest, diff, check


def test_info(imgcore_cli: Cli, image: Path, source: Path) -> None:
    text = imgcore_cli("info", image).out
    assert "squashfs" in text and "block_size" in text
    (values,) = imgcore_cli("info", "--json", "--layout", image).objects()
    assert (values["event"], values["format"], values["block_size"]) == ("summary", "squashfs", 131072)
    assert isinstance(values["layout"], list) and values["layout"][0]["offset"] == 0
    assert "0x0000000000" in imgcore_cli("info", "--layout", image).out
    assert "distinct_files" in imgcore_cli("info", source).out


def test_manifest(imgcore_cli: Cli, image: Path, source: Path) -> None:
    entries = imgcore_cli("manifest", image).objects()
    assert [entry["path"] for entry in entries][:3] == ["/", "/again", "/link"]
    odd = entries[-1]
    assert base64.b64decode(str(odd["path_b64"])) == b"/\xff"
    with open_source(image) as opened:
        assert imgcore_cli("manifest", image).out.splitlines() == list(manifest_lines(opened.tree))


def test_diff(imgcore_cli: Cli, image: Path, source: Path) -> None:
    result = imgcore_cli("diff", source, image)
    assert (result.code, result.out, result.err) == (0, "", "")
    (source / "more").write_bytes(b"")
    (source / "again").unlink()
    os.chmod(source / "usr" / "bin" / "tool", 0o600)
    result = imgcore_cli("diff", image, source)
    assert result.code == 1
    assert {"removed  /again (file)", "added    /more (file)", "mode     /usr/bin/tool: 0644 -> 0600"} <= set(
        result.out.splitlines()
    )
    found = {(item["event"], item["path"], item["kind"]) for item in imgcore_cli("diff", "--json", image, source).objects()}
    assert ("finding", "/more", "added") in found


def test_check(imgcore_cli: Cli, image: Path, source: Path, tmp_path: Path) -> None:
    result = imgcore_cli("check", image)
    assert (result.code, result.out) == (0, "") and "no findings" in result.err
    data = image.read_bytes()
    (tmp_path / "cut.raw").write_bytes(data[:500])
    result = imgcore_cli("check", tmp_path / "cut.raw")
    assert result.code == 3 and "at 0x" in result.out
    finding = imgcore_cli("check", "--json", tmp_path / "cut.raw").objects()[0]
    assert finding["event"] == "finding" and finding["fatal"] is True and "offset" in finding
    assert imgcore_cli("check", source).code == 2
    (tmp_path / "text").write_bytes(b"no image")
    assert imgcore_cli("check", tmp_path / "text").code == 3
    assert imgcore_cli("check", tmp_path / "none").code == 6


def test_check_of_an_image_in_an_image(imgcore_cli: Cli, image: Path, tmp_path: Path) -> None:
    pack(tree({"/inner.raw": image.read_bytes(), "/f": b"x"}), tmp_path / "outer.raw")
    assert imgcore_cli("check", f"{tmp_path}/outer.raw@/inner.raw").code == 0
    assert imgcore_cli("check", f"{tmp_path}/outer.raw@/f").code == 3


# doctor, formats


def test_doctor(imgcore_cli: Cli) -> None:
    text = imgcore_cli("doctor").out
    for word in ("engine", "zstd", "lz4", "python"):
        assert word in text
    (values,) = imgcore_cli("doctor", "--json").objects()
    assert values["engine"] in ("native", "pure") and isinstance(values["codecs"], list)
    assert values["native"] is True or values["native_reason"]


def test_formats(imgcore_cli: Cli) -> None:
    assert imgcore_cli("formats").out.startswith("squashfs")
    (values,) = imgcore_cli("formats", "--json").objects()
    formats = values["formats"]
    assert isinstance(formats, list) and formats[0]["name"] == "squashfs" and formats[0]["max_ids"] == 65535


# Small things


def test_human_sizes() -> None:
    assert [human(size) for size in (0, 1023, 1024, 1536 << 10, 5 << 40)] == ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "5.0 TiB"]


def test_tables() -> None:
    assert table([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
    assert table([]) == []


def test_unreadable_and_odd_nodes_do_not_break_ls(imgcore_cli: Cli, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "s"))
    os.mkfifo(tmp_path / "p")
    lines = imgcore_cli("ls", "-l", tmp_path).out.splitlines()
    assert [line[0] for line in lines] == ["p", "s"]


def test_what_the_default_policy_leaves_out(imgcore_cli: Cli, tmp_path: Path, needs_root: None, needs_xattrs: None) -> None:
    (tmp_path / "s").mkdir()
    os.setxattr(tmp_path / "s", b"trusted.overlay.opaque", b"y")
    os.setxattr(tmp_path / "s", b"user.x", b"1")
    for rule, names in (
        ("keep", {b"user.x"}),
        ("all", {b"user.x", b"trusted.overlay.opaque"}),
        ("trusted.*", {b"trusted.overlay.opaque"}),
    ):
        assert imgcore_cli("pack", "--force", "--xattrs", rule, tmp_path / "s", tmp_path / "o.raw").code == 0
        with open_source(tmp_path / "o.raw") as opened:
            assert set(opened.tree.root.meta.xattrs) == names


def test_marks_of_overlayfs_do_not_go_in_silence(imgcore_cli: Cli, tmp_path: Path, needs_xattrs: None) -> None:
    (tmp_path / "s").mkdir()
    for name in ("a", "b"):
        (tmp_path / "s" / name).mkdir()
        os.setxattr(tmp_path / "s" / name, b"user.overlay.opaque", b"y")
        os.setxattr(tmp_path / "s" / name, b"user.overlay.origin", b"")
    said = "lost: mark of overlayfs user.overlay.opaque (kept with xattrs=all)"
    result = imgcore_cli("pack", tmp_path / "s", tmp_path / "o.raw")
    assert result.code == 0 and f"warning: {said}: `/a` and 1 more" in result.err and "origin" not in result.err
    told = [json.loads(line) for line in imgcore_cli("pack", "--json", tmp_path / "s", tmp_path / "o.tar").out.splitlines()]
    assert told[-1]["losses"] == 2
    planned = imgcore_cli("pack", "--dry-run", tmp_path / "s", tmp_path / "p.raw")
    assert f"  {said}: `/a` and 1 more" in planned.out
    built = imgcore_cli("sysext", "build", tmp_path / "s", "-o", tmp_path / "x.raw", "--id", "_any")
    assert built.code == 0 and said in built.err
    for rule in ("all", "none", "user.x*"):
        assert "mark of" not in imgcore_cli("pack", "--force", "--xattrs", rule, tmp_path / "s", tmp_path / "o.raw").err


def test_types_in_long_lines() -> None:
    from imgcore.cli.verb_ls import long_line

    assert long_line("x", Dir()).startswith(stat.filemode(stat.S_IFDIR | 0o755))
    far = Symlink(Dir().meta.__class__(0o777, 0, 0, 10**30), b"t")
    assert "@" in long_line("x", far)


def test_memory_sinks_and_options_agree_with_the_command_line(imgcore_cli: Cli, source: Path, tmp_path: Path) -> None:
    sink = MemorySink()
    pack(source, sink, format="squashfs", options=squashfs.Options(compression="lz4", level=9))
    assert imgcore_cli("pack", "-c", "lz4:9", source, tmp_path / "o.raw").code == 0
    assert (tmp_path / "o.raw").read_bytes() == sink.value()


def test_fast_levels_of_zstd(imgcore_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/text").write_text("a line of text\n" * 9999)

    def pack(level: str) -> Result:
        return imgcore_cli("pack", "--json", "--force", "-c", f"zstd:{level}", tmp_path / "tree", tmp_path / "o.raw")

    for level in ("-100", "15"):
        assert f"level {level}" in str(pack(level).objects()[-1]["codec"])
    for level in ("x", "-200000", "0", "23"):
        assert pack(level).code == 2


def test_a_disk_is_verified_whole(imgcore_cli: Cli, tmp_path: Path) -> None:
    release = tmp_path / "tree/usr/lib/extension-release.d/extension-release.x"
    release.parent.mkdir(parents=True)
    release.write_text("ID=_any\n")
    image = str(tmp_path / "x.raw")
    assert imgcore_cli("ddi", "build", str(tmp_path / "tree"), "-o", image, "--verity").code == 0
    assert imgcore_cli("ddi", "verify", image).code == 0
    for wrong in ("", "  ", "00", "zz"):  # what a file that is empty gives is no root hash
        assert imgcore_cli("ddi", "verify", image, "--root-hash", wrong).code == 2
    assert imgcore_cli("ddi", "verify", image, "--root-hash", "00" * 32).code == 7
    assert imgcore_cli("ddi", "build", str(tmp_path / "tree"), "-o", "-").code == 2
    definitions = tmp_path / "d"
    definitions.mkdir()
    for name, text in (
        ("1.conf", "Type=root\nFormat=squashfs\nCopyFiles=/usr\nMinimize=best\nVerity=data\nVerityMatchKey=r\n"),
        ("2.conf", "Type=root-verity\nVerity=hash\nVerityMatchKey=r\nMinimize=best\n"),
        ("3.conf", "Type=usr\nFormat=squashfs\nCopyFiles=/usr:/\nMinimize=best\n"),
    ):
        (definitions / name).write_text(f"[Partition]\n{text}")
    other = str(tmp_path / "two.raw")
    words = ("--definitions", str(definitions), "--root", str(tmp_path / "tree"), "--seed", "750b6cd5c4ae4012a15e7be3c29e6a47")
    assert imgcore_cli("repart", *words, other).code == 0
    result = imgcore_cli("ddi", "verify", other)
    assert result.code == 7 and "partition 3 (usr-x86-64) has no hash tree" in result.err
