"""`imgcore merge`, `explain` and `sysext`: what they print, write and end with."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from imgcore.build.pack import pack
from imgcore.model import directory, tree
from imgcore.transforms import Policy
from tests.conftest import Cli


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host, two trees and a root, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name, text in {
        "host/usr/lib/os-release": "ID=testos\nVERSION_ID=1.0\n",
        "host/usr/bin/hello": "host",
        "host/etc/app": "a",
        "hello/usr/bin/hello": "hello",
        "other/usr/share/x": "x",
        "root/usr/lib/os-release": "ID=testos\nVERSION_ID=1.0\n",
        "root/var/lib/extensions/README": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def build(cli: Cli, tree: str, dest: str, *flags: str) -> None:
    result = cli("sysext", "build", tree, "-o", dest, "--no-sync", *flags)
    assert result.code == 0, result.err


def test_extensions_are_built_merged_and_explained(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    build(imgcore_cli, "other", "other.raw", "--like", "host/usr/lib/os-release")
    result = imgcore_cli("merge", "host", "hello.raw", "other.raw", "-o", "merged.raw", "--html", "report.html", "--no-sync")
    assert result.code == 0 and "/usr: other over hello over host" in result.out
    assert imgcore_cli("cat", "merged.raw", "/usr/bin/hello").out == "hello"
    assert imgcore_cli("cat", "merged.raw", "/etc/app").out == "a"
    assert "extension-release.hello" in imgcore_cli("ls", "-R", "merged.raw").out
    assert '"extensions":[["hello","accepted"' in (place / "report.html").read_text()
    again = imgcore_cli("merge", "host", "hello.raw", "-o", "merged.raw")
    assert again.code == 2 and imgcore_cli("merge", "host", "hello.raw", "-o", "merged.raw", "--force", "--no-sync").code == 0

    told = imgcore_cli("explain", "/usr/bin/hello", "host", "hello.raw", "other.raw")
    assert told.code == 0 and told.out.splitlines()[0] == "/usr/bin/hello: a file of `hello`"
    assert "hidden  `host`: a file: `/usr/bin/hello` is a file there (in `hello`)" in told.out
    record = json.loads(imgcore_cli("explain", "--json", "/usr/bin/hello", "host", "hello.raw").out)
    assert record["layer"] == "hello" and [part["role"] for part in record["parts"]] == ["wins", "hidden"]
    assert (
        imgcore_cli("explain", "/etc/app", "host", "hello.raw").out == "/etc/app: a file of the host; nothing is merged there\n"
    )
    assert imgcore_cli("explain", "/usr/nothing", "host", "hello.raw").code == 1


def test_what_is_refused_is_said_and_left_out(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    build(imgcore_cli, "other", "other.raw", "--id", "testos", "--version-id", "2")
    result = imgcore_cli("merge", "host", "hello.raw", "other.raw", "-o", "merged.raw", "--no-sync")
    assert result.code == 1 and "ignored   other [version]: VERSION_ID=2; wanted: VERSION_ID=1.0" in result.out
    assert imgcore_cli("cat", "merged.raw", "/usr/share/x").code == 1
    (place / "bad.raw").write_bytes(b"garbage" * 1000)
    blocked = imgcore_cli("merge", "host", "hello.raw", "bad.raw", "-o", "none.raw")
    assert blocked.code == 1 and "fatal     bad [image]" in blocked.out and not (place / "none.raw").exists()
    assert imgcore_cli("merge", "host", "hello.raw", "other.raw", "--force-match").code == 0
    assert imgcore_cli("merge", "host", "hello.raw", "other.raw", "--without", "other").code == 0
    (place / "next").write_text("ID=testos\nVERSION_ID=2\n")
    assert imgcore_cli("merge", "host", "hello.raw", "other.raw", "--os-release", "next").code == 0
    turned = imgcore_cli("merge", "host", "hello.raw", "other.raw", "--os-release", "next", "--order", "other,hello")
    assert "/usr: hello over other over host" in turned.out


@pytest.mark.parametrize("name", ["na:me", "quo'te", "back\\slash", "com,ma"])
def test_names_that_break_mount_options_block_all(imgcore_cli: Cli, place: Path, name: str) -> None:
    release = place / f"hello/usr/lib/extension-release.d/extension-release.{name}"
    release.parent.mkdir(parents=True)
    release.write_text("ID=_any\n")
    assert imgcore_cli("pack", "hello", f"{name}.raw", "--no-sync").code == 0
    result = imgcore_cli("merge", "host", f"{name}.raw", "-o", "out.raw")
    assert (
        result.code == 1
        and f"fatal     {name} [name]: " in result.out
        and "fix: rename it" in result.out
        and not (place / "out.raw").exists()
    )


def test_no_line_is_broken_by_a_name(imgcore_cli: Cli, place: Path) -> None:
    (place / "new\nline.raw").write_bytes(b"")
    (place / "x\ny").mkdir()
    result = imgcore_cli("merge", "host", "new\nline.raw", "x\ny")
    starts = ("skipped", "accepted", "ignored", "fatal", "          while")
    assert result.code == 1 and all(line.startswith(starts) for line in result.out.splitlines())


def test_six_hundred_extensions_are_too_many(imgcore_cli: Cli, place: Path) -> None:
    release = place / "root/usr/lib"
    for number in range(600):
        base = place / f"root/var/lib/extensions/extension{number}/usr/lib/extension-release.d"
        base.mkdir(parents=True)
        (base / f"extension-release.extension{number}").write_text("ID=_any\n")
    assert release.is_dir()
    result = imgcore_cli("sysext", "plan", "--root", "root")
    assert (
        result.code == 1
        and "fatal     /usr [too-long]: 2" in result.out
        and "for 600 extensions; wanted: at most 4095 bytes" in result.out
    )
    assert imgcore_cli("sysext", "merge", "--root", "root").code == 1


def test_layers_of_an_overlay_lie_in_the_order_given(imgcore_cli: Cli, place: Path) -> None:
    result = imgcore_cli("merge", "--kind", "overlay", "--manifest", "host", "hello")
    paths = [json.loads(line)["path"] for line in result.out.splitlines()]
    assert result.code == 0 and paths == [
        "/",
        "/etc",
        "/etc/app",
        "/usr",
        "/usr/bin",
        "/usr/bin/hello",
        "/usr/lib",
        "/usr/lib/os-release",
    ]
    told = imgcore_cli("explain", "--kind", "overlay", "/usr/bin/hello", "hello", "host")
    assert told.out.splitlines()[0] == "/usr/bin/hello: a file of `host`"


def test_a_root_is_planned_listed_and_merged(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "root/var/lib/extensions/hello.raw", "--id", "_any")
    build(imgcore_cli, "other", "root/var/lib/extensions/other.raw", "--id", "nobody")
    found = imgcore_cli("sysext", "plan", "--root", "root")
    assert found.code == 1 and "accepted  hello [id]: ID=_any" in found.out and "ignored   other [id]" in found.out
    assert "/usr: hello over host; read-only;" in found.out
    top = os.path.realpath("root")
    listed = json.loads(imgcore_cli("sysext", "list", "--root", "root", "--json").out)
    assert [(one["name"], one["type"], one["path"]) for one in listed] == [
        ("hello", "raw", f"{top}/var/lib/extensions/hello.raw"),
        ("other", "raw", f"{top}/var/lib/extensions/other.raw"),
    ]
    when = os.stat("root/var/lib/extensions/hello.raw").st_mtime_ns // 1000
    assert listed[0]["time"] == when
    (place / "root/var/lib/extensions/third/usr").mkdir(parents=True)
    born = json.loads(imgcore_cli("sysext", "list", "--root", "root", "--json").out)[2]["time"]
    assert born is None or abs(born - when) < 3600 * 10**6
    assert json.loads(imgcore_cli("sysext", "status", "--root", "root", "--json").out) == [
        {"hierarchy": "/usr", "extensions": [], "since": None},
    ]
    old = json.loads(imgcore_cli("sysext", "status", "--root", "root", "--json", "--systemd", "257").out)
    assert old[0] == {"hierarchy": "/usr", "extensions": "none", "since": None}
    ended = imgcore_cli("sysext", "merge", "--root", "root")
    assert ended.code == 0 and ended.out == "Using extensions 'hello.raw'.\nMerged extensions into '/usr'.\n"
    assert imgcore_cli("sysext", "unmerge", "--root", "root").code == 0
    (place / "root/var/lib/extensions/ext4.raw").write_bytes(bytes(1080) + b"\x53\xef" + bytes(4096))
    unsupported = imgcore_cli("sysext", "plan", "--root", "root")
    assert unsupported.code == 3 and "unsupported ext4 [image]: ext4" in unsupported.out


def test_a_release_file_is_written_renamed_or_contradicted(imgcore_cli: Cli, place: Path) -> None:
    directory = place / "hello/usr/lib/extension-release.d"
    directory.mkdir(parents=True)
    (directory / "extension-release.else").write_text("ID=testos\nVERSION_ID=1.0\n")
    flags = ("--arch", "x86-64", "--scope", "initrd system", "--level", "3", "--reload-manager")
    result = imgcore_cli("sysext", "build", "hello", "-o", "hello.sysext.raw", *flags, "--no-sync")
    assert result.code == 0 and "renamed `/usr/lib/extension-release.d/extension-release.else`" in result.err
    said = imgcore_cli("cat", "hello.sysext.raw", "/usr/lib/extension-release.d/extension-release.hello").out
    assert said.splitlines() == [
        "ID=testos",
        "VERSION_ID=1.0",
        "SYSEXT_LEVEL=3",
        'SYSEXT_SCOPE="initrd system"',
        "ARCHITECTURE=x86-64",
        "EXTENSION_RELOAD_MANAGER=1",
    ]
    assert imgcore_cli("sysext", "build", "hello", "-o", "x.raw", "--id", "other").code == 4
    assert imgcore_cli("sysext", "build", "other", "-o", "x.raw").code == 4 and not (place / "x.raw").exists()
    (place / "hello/usr/lib/os-release").write_text("ID=x\n")
    refused = imgcore_cli("sysext", "build", "hello", "-o", "x.raw")
    assert refused.code == 4 and "os-release" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["merge", "host", "a.raw"],
        ["merge", "host", "hello", "hello.raw", "--order", "x"],
        ["merge", "host", "hello", "--systemd", "999"],
        ["merge", "host", "hello", "--mutable", "maybe"],
        ["merge", "host", "hello", "--image-policy", "x=y"],
        ["merge", "host", "hello", "--manifest", "-o", "-"],
        ["merge", "host", "hello", "--kind", "confext", "--systemd", "252"],
        ["sysext", "plan"],
        ["sysext", "nonsense"],
        ["sysext", "build", "hello"],
        ["sysext", "build", "hello", "-o", "x.raw", "--id", "a\nb"],
    ],
)
def test_wrong_command_lines(imgcore_cli: Cli, place: Path, arguments: list[str]) -> None:
    result = imgcore_cli(*arguments)
    assert result.code in (2, 6) and result.err.startswith("error: ")


def test_what_linux_gives_an_error_for_is_no_silent_gap_in_the_result(imgcore_cli: Cli, place: Path) -> None:
    wrong = directory(xattrs={b"trusted.overlay.redirect": b"a/b"})
    pack(tree({"/usr/bin": wrong, "/usr/new": b"n"}), "wrong.tar", policy=Policy(xattrs="all"))
    merge = ("merge", "--kind", "overlay", "host", "wrong.tar", "-o", "out.tar")
    refused = imgcore_cli(*merge)
    assert refused.code == 4 and not (place / "out.tar").exists()
    assert "warning[error] /usr/bin: EINVAL" in refused.err and "hint: --allow-loss lookup" in refused.err
    events = [json.loads(line) for line in imgcore_cli(*merge, "--json").err.splitlines()]
    assert events[-1]["losses"][0] | {"message": ""} == {"kind": "lookup", "path": "/usr/bin", "message": ""}
    allowed = imgcore_cli(*merge, "--allow-loss", "lookup", "--json")
    assert allowed.code == 0 and json.loads(allowed.out.splitlines()[-1])["losses"] == 1
    assert imgcore_cli("ls", "out.tar@/usr").out.split() == ["lib", "new"]
