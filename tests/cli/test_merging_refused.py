"""`imgcore merge`, `explain` and `sysext` where something is refused, left out, not known, or meant otherwise."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.test_merging import build, place
from tests.conftest import Cli

__all__ = ["place"]


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def ext4(path: Path) -> Path:
    """Put a file there that is taken for ext4."""
    data = bytearray(8192)
    data[1080:1082] = b"\x53\xef"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- what stops everything


def test_a_merge_that_is_blocked_still_has_its_page(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    put(place / "bad.raw", "no image")
    result = imgcore_cli("merge", "host", "bad.raw", "hello.raw", "-o", "out.raw", "--html", "page.html")
    assert result.code == 1 and "`out.raw` is not written" in result.err and not (place / "out.raw").exists()
    assert '["bad","fatal"' in (place / "page.html").read_text()
    assert imgcore_cli("merge", "host", "hello.raw", "--html", "page.html").code == 2
    assert imgcore_cli("merge", "host", "hello.raw", "--html", "page.html", "--force").code == 0
    assert '["bad","fatal"' not in (place / "page.html").read_text()


def test_a_search_directory_that_is_none(imgcore_cli: Cli, place: Path) -> None:
    put(place / "root/etc/extensions")
    for verb in ("list", "merge", "plan"):
        result = imgcore_cli("sysext", verb, "--root", "root")
        assert result.code == 1 and "/etc/extensions" in result.out + result.err
        assert "not a directory" in result.out + result.err and "no extensions" not in result.out


def test_an_image_that_cannot_be_read_here_makes_the_answer_unknown(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "root/var/lib/extensions/hello.raw", "--id", "_any")
    ext4(place / "root/var/lib/extensions/e.raw")
    for verb in ("merge", "refresh"):
        result = imgcore_cli("sysext", verb, "--root", "root")
        assert result.code == 3 and "e: ext4" in result.out and "Merged" not in result.out
        record = json.loads(imgcore_cli("sysext", verb, "--root", "root", "--json").out)
        assert record["exit"] is None and record["unsupported"] == ["e"] and record["merged"] is False
    listed = imgcore_cli("sysext", "list", "--root", "root", "--json")
    assert listed.code == 0 and [one["name"] for one in json.loads(listed.out)] == ["e", "hello"]
    plan = imgcore_cli("sysext", "plan", "--root", "root")
    assert plan.code == 3 and "unsupported e [image]: ext4" in plan.out


def test_explain_names_what_is_left_out(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "nobody")
    build(imgcore_cli, "other", "other.raw", "--id", "_any")
    told = imgcore_cli("explain", "/usr/bin/hello", "host", "hello.raw", "other.raw")
    assert told.code == 0 and "`hello` is left out [id]: ID=nobody" in told.out
    assert "`hello`, which is not merged, has a file there" in told.out
    ext4(place / "e.raw")
    told = imgcore_cli("explain", "/usr/bin/hello", "host", "e.raw", "other.raw")
    assert told.code == 3 and "`e` cannot be read here" in told.out
    put(place / "bad.raw", "no image")
    told = imgcore_cli("explain", "/usr/bin/hello", "host", "bad.raw", "other.raw", "--json")
    assert told.code == 0 and any(note.startswith("nothing is merged: `bad`") for note in json.loads(told.out)["notes"])


def test_names_that_no_extension_can_have(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    os.rename("hello.raw", ".#x.raw")
    result = imgcore_cli("merge", "host", ".#x.raw")
    assert result.code == 1 and "skipped   .#x.raw [name]" in result.out
    found = imgcore_cli("sysext", "lint", ".#x.raw")
    assert found.code == 1 and "error[L20 name]" in found.out


def test_an_archive_stands_for_a_directory(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    assert imgcore_cli("pack", "hello.raw", "hello.tar").code == 0
    os.unlink("hello.raw")
    result = imgcore_cli("merge", "host", "hello.tar")
    assert result.code == 0 and "accepted  hello [id]" in result.out
    assert imgcore_cli("merge", "host").err == "no extensions: the host as it is\n"


# --- what is meant otherwise


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--without", "nosuch"], "no extension `nosuch` to be left out"),
        (["--order", "nosuch"], "no extension `nosuch` to be ordered"),
        (["--order", "hello,hello"], "`hello` is to be ordered twice"),
        (["--architecture", "x86_64"], "did you mean x86-64"),
        (["--architecture", "foo"], "known: "),
        (["--mount-options", "userxattr"], "--mount-options has no effect with --kind sysext"),
        (["--upper", "other"], "--upper has no effect"),
        (["--image-policy", "root=squashfs", "--systemd", "257"], "knows no file systems"),
    ],
)
def test_flags_that_have_no_effect_are_refused(imgcore_cli: Cli, place: Path, flags: list[str], said: str) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    result = imgcore_cli("merge", "host", "hello.raw", *flags)
    assert result.code == 2 and said in result.err


@pytest.mark.parametrize("flags", [["--mutable", "yes"], ["--systemd", "257"], ["--without", "x"], ["--force-match"]])
def test_flags_of_systemd_are_none_of_an_overlay(imgcore_cli: Cli, place: Path, flags: list[str]) -> None:
    for words in (["merge"], ["explain", "/x"]):
        result = imgcore_cli(*words, "--kind", "overlay", "host", "hello", *flags)
        assert result.code == 2 and f"{flags[0]} has no effect with --kind overlay" in result.err


def test_names_that_are_equal_to_systemd_are_told(imgcore_cli: Cli, place: Path) -> None:
    for name in ("1", "01"):
        build(imgcore_cli, "hello", f"root/var/lib/extensions/{name}.raw", "--id", "_any")
    plan = imgcore_cli("sysext", "plan", "--root", "root")
    assert plan.code == 0 and "systemd holds `01`, `1` for equal" in plan.err
    assert "for equal" not in imgcore_cli("sysext", "plan", "--root", "root", "--order", "01,1").err


def test_a_mark_where_nothing_is_mounted_counts_for_nothing(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "root/var/lib/extensions/hello.raw", "--id", "_any")
    put(place / "root/usr/.systemd-sysext/extensions", "old\n")
    assert imgcore_cli("sysext", "merge", "--root", "root").code == 0
    assert json.loads(imgcore_cli("sysext", "status", "--root", "root", "--json").out)[0]["extensions"] == []


def test_names_in_lists_are_as_systemd_prints_them(imgcore_cli: Cli, place: Path) -> None:
    build(imgcore_cli, "hello", "root/var/lib/extensions/h\u00f6.raw", "--id", "_any")
    assert '"name":"h\u00f6"' in imgcore_cli("sysext", "list", "--root", "root", "--json").out


# --- overlays


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (["host", "host"], "layers overlap"),
        (["host", "host/usr"], "layers overlap"),
        (["host", "./host/../host"], "layers overlap"),
        (["host"], "a single lower layer"),
        (["host", "hello", "--mount-options", "userxattr,redirect_dir=on"], "userxattr goes with neither"),
    ],
)
def test_stacks_that_linux_refuses(imgcore_cli: Cli, place: Path, layers: list[str], said: str) -> None:
    for words in (["merge"], ["explain", "/usr"]):
        result = imgcore_cli(*words, "--kind", "overlay", *layers)
        assert result.code in (4, 5) and said in result.err


@pytest.mark.parametrize("text", ["redirect_dir=maybe", "nosuch", "lowerdir=/x", "metacopy"])
def test_options_that_no_overlay_has(imgcore_cli: Cli, place: Path, text: str) -> None:
    assert imgcore_cli("merge", "--kind", "overlay", "host", "hello", "--mount-options", text).code == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="trusted attributes need root")
def test_options_and_an_upper_layer_have_effect(imgcore_cli: Cli, place: Path) -> None:
    put(place / "up/usr/bin/mine", "up")
    os.setxattr("up/usr", "user.overlay.opaque", b"y")
    seen = imgcore_cli("merge", "--kind", "overlay", "host", "hello", "up", "--manifest").out
    assert "/usr/lib/os-release" in seen
    seen = imgcore_cli("merge", "--kind", "overlay", "host", "hello", "up", "--manifest", "--mount-options", "userxattr").out
    assert "/usr/lib/os-release" not in seen and "/usr/bin/mine" in seen
    told = imgcore_cli("explain", "--kind", "overlay", "/usr/bin/mine", "host", "hello", "--upper", "up")
    assert told.code == 0 and told.out.startswith("/usr/bin/mine: a file of `up`")
    put(place / "meta/usr/bin/big").chmod(0o600)
    os.setxattr("meta/usr/bin/big", "trusted.overlay.metacopy", b"")
    os.setxattr("meta/usr/bin/big", "trusted.overlay.redirect", b"/big")
    put(place / "data/big", "from the data layer")
    words = ["host", "meta", "--data", "data", "--mount-options", "metacopy=on,redirect_dir=on"]
    assert imgcore_cli("merge", "--kind", "overlay", *words, "-o", "out.tar").code == 0
    assert imgcore_cli("cat", "out.tar", "/usr/bin/big").out == "from the data layer"


# --- build


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "b:x.raw", "--id", "_any"], "with : in its name"),
        (["-o", "b\nx.raw", "--id", "_any"], "systemd takes no extension"),
        (["-o", ".raw", "--id", "_any"], "systemd takes no extension"),
        (["-o", "b.raw", "--id", "_any", "--arch", "x86_64"], "it says x86-64"),
        (["-o", "b.raw", "--id", "_any", "--arch", "foo"], "known: _any"),
        (["-o", "b.raw", "--id", "_any", "--scope", "system foo"], "systemd knows no `foo`"),
        (["-o", "b.raw", "--like", "host/usr/lib/os-release", "--id", "fedora"], "says ID=testos, and ID=fedora"),
        (["-o", "b.raw", "--like", "host/usr/lib/os-release", "--version-id", "2"], "says VERSION_ID=1.0"),
    ],
)
def test_build_refuses_what_no_systemd_takes(imgcore_cli: Cli, place: Path, words: list[str], said: str) -> None:
    result = imgcore_cli("sysext", "build", "hello", *words)
    assert result.code == 2 and said in result.err
    assert not [name for name in os.listdir(".") if name.startswith("b")]


def test_build_says_what_systemd_would_not_find(imgcore_cli: Cli, place: Path) -> None:
    result = imgcore_cli("sysext", "build", "hello", "-o", "bx.tar", "--id", "_any", "--no-sync")
    assert result.code == 0 and "systemd looks for bx.raw" in result.err
    found = imgcore_cli("sysext", "lint", "bx.tar")
    assert found.code == 1 and "error[L20 name] bx" in found.out


def test_what_a_tree_does_wrong_is_a_conflict_with_a_place(imgcore_cli: Cli, place: Path) -> None:
    releases = place / "hello/usr/lib/extension-release.d"
    put(place / "hello/usr/lib/os-release", "ID=x\n")
    words = ("sysext", "build", "hello", "-o", "b.raw", "--id", "_any", "--no-sync")
    assert imgcore_cli(*words).code == 4
    assert imgcore_cli(*words, "--exclude", "/usr/lib/os-release").code == 0  # as the hint says
    (place / "hello/usr/lib/os-release").unlink()
    (releases / "extension-release.b").mkdir(parents=True)
    result = imgcore_cli(*words, "--force")
    assert result.code == 4 and "extension-release.b" in result.err
    (releases / "extension-release.b").rmdir()
    (releases / "extension-release.b").write_bytes(b"ID=\0\n")
    result = imgcore_cli(*words, "--force")
    assert result.code == 3 and "/usr/lib/extension-release.d/extension-release.b" in result.err


# --- hosts that cannot be read whole, and places


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's directory")
def test_what_has_nothing_to_do_with_extensions_is_not_read(
    imgcore_cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(imgcore_cli, "hello", "root/var/lib/extensions/hello.raw", "--id", "_any")
    (place / "root/proc/1").mkdir(parents=True)
    real = os.listdir

    def listdir(path: bytes) -> list[bytes]:
        assert not os.fsencode(path).startswith(os.fsencode(place / "root/proc")), "looked at"
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    for verb in ("list", "status", "plan", "merge", "refresh", "unmerge"):
        assert imgcore_cli("sysext", verb, "--root", "root").code == 0
    assert imgcore_cli("explain", "/usr/bin/hello", "root", "root/var/lib/extensions/hello.raw").code == 0


def test_a_directory_keeps_its_whole_name(imgcore_cli: Cli, place: Path) -> None:
    release = put(place / "a.raw/usr/lib/extension-release.d/extension-release.a", "ID=_any\n")
    assert "ignored   a.raw [release]" in imgcore_cli("merge", "host", "a.raw", "--systemd", "252").out
    assert "accepted  a.raw [id]" in imgcore_cli("merge", "host", "a.raw", "--systemd", "257").out
    release.rename(release.with_name("extension-release.a.raw"))
    assert "accepted  a.raw [id]" in imgcore_cli("merge", "host", "a.raw", "--systemd", "252").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "same.tar", "--html", "same.tar"], 2, "are one file"),
        (["-o", "same.tar", "--html", "./same.tar", "--force"], 2, "are one file"),
        (["--html", "hello.raw", "--force"], 2, "is read, so that it cannot be replaced"),
        (["-o", "hello.raw", "--force"], 2, "is read, so that it cannot be replaced"),
        (["--html", "-"], 2, "needs a file"),
        (["--html", "page.html", "-o", "x.frob"], 2, "x.frob"),
        (["--html", "page.html", "-o", "nodir/x.raw"], 6, "no such directory"),
        (["--html", "page.html", "-o", "there.raw"], 2, "target exists"),
        (["--format", "tar"], 2, "--format has no effect without -o"),
        (["--allow-loss", "lookup"], 2, "--allow-loss has no effect without -o"),
    ],
)
def test_places_that_cannot_be(imgcore_cli: Cli, place: Path, words: list[str], code: int, said: str) -> None:
    build(imgcore_cli, "hello", "hello.raw", "--id", "_any")
    put(place / "there.raw", "mine")
    before = (place / "hello.raw").read_bytes()
    result = imgcore_cli("merge", "host", "hello.raw", *words)
    assert (result.code, said in result.err) == (code, True), result.err
    assert (place / "hello.raw").read_bytes() == before and (place / "there.raw").read_text() == "mine"
    assert not (place / "page.html").exists() and not (place / "same.tar").exists() and not (place / "-").exists()


def test_what_lint_and_build_refuse_before_they_say_more(imgcore_cli: Cli, place: Path) -> None:
    assert imgcore_cli("sysext", "lint", "hello", "--sarif", "--json").code == 2
    assert imgcore_cli("sysext", "lint", "hello", "--kind", "confext", "--systemd", "252").code == 2
    result = imgcore_cli("sysext", "build", "hello", "-o", "x.frob", "--id", "_any")
    assert result.code == 2 and "renamed" not in result.err and "looks for" not in result.err
