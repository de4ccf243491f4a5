"""The linter: of each rule a case that it finds, and a good extension over which all are silent."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imgcore.blob import BytesBlob
from imgcore.model import Device, Dir, File, Meta, Node, Symlink, Tree
from imgcore.sysext.extension import Extension, with_tree
from imgcore.sysext.image import Trouble, TroubleKind
from imgcore.sysext.kinds import KINDS
from imgcore.sysext.lint import RULES, lint, sarif
from imgcore.sysext.lint.elf import read_elf
from imgcore.sysext.release import Release
from imgcore.sysext.version import NEWEST

HOST: dict[str, Any] = {
    "usr/lib/os-release": "ID=testos\nVERSION_ID=1\n",
    "usr/bin/tool": "host",
    "usr/lib64/k": "k",
    "usr/share/app/": None,
    "etc/fstab": "/dev/x /usr/data ext4\n",
}
RELEASE = "ID=testos\nVERSION_ID=1\nARCHITECTURE=x86-64\n"


def elf(*needed: str, machine: int = 62, soname: str = "") -> bytes:
    """Return a 64-bit ELF file that needs some libraries."""
    strings, entries = b"\0", []
    for tag, names in ((1, needed), (14, (soname,) if soname else ())):
        for name in names:
            entries.append((tag, len(strings)))
            strings += name.encode() + b"\0"
    entries += [(5, 0x1000), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *entry) for entry in entries)
    head = (
        b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    )
    at = 64 + 2 * 56
    load = struct.pack("<IIQQQQQQ", 1, 4, at, 0x1000, 0x1000, len(strings), len(strings), 1)
    second = struct.pack("<IIQQQQQQ", 2, 4, at + len(strings), 0x2000, 0x2000, len(dynamic), len(dynamic), 1)
    return head + load + second + strings + dynamic


def made(entries: Mapping[str, Any]) -> Tree:
    """Return a tree: text and bytes are files, None a directory, a node itself."""
    root: dict[bytes, Any] = {}
    for path, what in entries.items():
        names = [name.encode() for name in path.split("/") if name]
        level = root
        for name in names[:-1]:
            level = level.setdefault(name, {})
        if what is None:
            level.setdefault(names[-1], {})
        else:
            content = what.encode() if isinstance(what, str) else what
            level[names[-1]] = File(Meta(0o644), BytesBlob(content)) if isinstance(content, bytes) else content
    return Tree(_directory(root))


def _directory(level: dict[bytes, Any]) -> Dir:
    children: dict[bytes, Node] = {name: _directory(one) if isinstance(one, dict) else one for name, one in level.items()}
    return Dir(children=children)


def extension(entries: Mapping[str, Any], *, name: str = "a", kind: str = "sysext", release: str | None = RELEASE) -> Extension:
    base = "usr/lib" if kind == "sysext" else "etc"
    files = dict(entries)
    if release is not None:
        files[f"{base}/extension-release.d/extension-release.{name}"] = release
    return with_tree(name.encode(), f"/x/{name}.raw".encode(), made(files), "raw", KINDS[kind], NEWEST)  # type: ignore[index]


def rules(*extensions: Extension, host: Mapping[str, Any] | None = HOST, kind: str = "sysext") -> set[tuple[str, str, str]]:
    tree = None if host is None else made(host)
    found = lint(extensions, host=tree, kind=kind, architecture="x86-64")  # type: ignore[arg-type]
    return {(one.rule, one.severity, one.path.decode()) for one in found}


GOOD = {"usr/bin/new": "#!/bin/sh\n", "usr/lib/libx.so.1": elf("libc.so.6")}
ANY = {"release": "ID=_any\nARCHITECTURE=x86-64\n"}
SCHEMAS = "usr/share/glib-2.0/schemas/gschemas.compiled"
WHITEOUT = Device(Meta(0), "char", 0, 0)
UNIT = "[Service]\nExecStart=/usr/bin/new\n[Install]\nWantedBy=multi-user.target\n"


def test_a_good_extension_has_no_findings() -> None:
    assert rules(extension(GOOD)) == set()
    assert rules(extension(GOOD), host=None) == set()


CASES: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("L1", "error", "/usr/lib/extension-release.d", {}, {"release": None}),
    ("L2", "error", "/usr/lib/os-release", {"usr/lib/os-release": "ID=x\n"}, {}),
    ("L3", "error", "/usr/lib/extension-release.d/extension-release.a", {}, {"release": "ID=other\nARCHITECTURE=x86-64\n"}),
    ("L4", "warning", "/usr/lib/libx.so.1", {}, ANY),
    (
        "L4",
        "warning",
        "/usr/lib/modules/1/x.ko",
        {"usr/lib/modules/1/x.ko": "k"},
        {"release": "ID=_any\nARCHITECTURE=x86-64\n"},
    ),
    ("L5", "warning", "/srv", {"srv/x": ""}, {}),
    ("L6", "error", "/usr/bin/tool", {"usr/bin/tool": "ours"}, {}),
    ("L6", "info", "/usr/bin/tool", {"usr/bin/tool": "host"}, {}),
    ("L8", "error", "/usr/share/gone", {"usr/share/gone": WHITEOUT}, {}),
    ("L8", "error", "/usr/share/d", {"usr/share/d": Dir(Meta(0o755, xattrs={b"trusted.overlay.opaque": b"y"}))}, {}),
    ("L8", "warning", "/usr/share/d", {"usr/share/d": Dir(Meta(0o755, xattrs={b"user.overlay.opaque": b"y"}))}, {}),
    ("L9", "error", "/usr/lib64", {"usr/lib64": Symlink(Meta(0o777), b"lib")}, {}),
    ("L9", "error", "/usr/bin/tool", {"usr/bin/tool/x": ""}, {}),
    ("L10", "warning", "/lib", {"lib/x": ""}, {}),
    ("L11", "error", "/usr/share/app", {"usr/share/app": Dir(Meta(0o700))}, {}),
    ("L11", "warning", "/usr/bin/mine", {"usr/bin/mine": File(Meta(0o755, uid=1000))}, {}),
    (
        "L13",
        "error",
        "/usr/share/glib-2.0/schemas/gschemas.compiled",
        {"usr/share/glib-2.0/schemas/gschemas.compiled": "x"},
        {},
    ),
    ("L14", "error", "/usr/lib/modules/6.1/modules.dep", {"usr/lib/modules/6.1/modules.dep": "x"}, {}),
    ("L15", "warning", "/usr/lib/app/libq.so", {"usr/lib/app/libq.so": elf(soname="libq.so")}, {}),
    ("L16", "warning", "/usr/lib/systemd/system/n.service", {"usr/lib/systemd/system/n.service": UNIT}, {}),
    ("L16", "warning", "/usr/lib/systemd/system-preset/9.preset", {"usr/lib/systemd/system-preset/9.preset": ""}, {}),
    ("L17", "warning", "/usr/lib/tmpfiles.d/a.conf", {"usr/lib/tmpfiles.d/a.conf": ""}, {}),
    (
        "L18",
        "warning",
        "/usr/lib/systemd/system/n.service",
        {"usr/lib/systemd/system/n.service": "[Service]\nEnvironmentFile=-/etc/n.conf\n", "etc/n.conf": ""},
        {},
    ),
    ("L19", "warning", "/usr/local/x", {"usr/local/x": ""}, {}),
    ("L19", "warning", "/usr/data/x", {"usr/data/x": ""}, {}),
    ("L20", "error", "/", {}, {"name": "a:b"}),
    ("L22", "warning", "/usr/share/only/gone", {"usr/share/only/gone": WHITEOUT}, {}),
    ("L23", "warning", "/opt", {"opt/": None}, {}),
    ("L23", "error", "/opt", {"opt": "x"}, {}),
    ("L23", "error", "/opt", {"opt": Symlink(Meta(0o777), b"/nowhere")}, {}),
    ("L24", "info", "/usr/share/null", {"usr/share/null": Device(Meta(0o666), "char", 1, 3)}, {}),
    ("L24", "warning", "/usr/bin/su", {"usr/bin/su": File(Meta(0o4755))}, {}),
    ("L24", "warning", "/usr/bin/ping", {"usr/bin/ping": File(Meta(0o755, xattrs={b"security.capability": b"x"}))}, {}),
    ("L20", "error", "/", {}, {"name": "a\n"}),
    ("L2", "error", "/usr/lib/os-release", {"usr/lib/os-release": Symlink(Meta(0o777), b"os-release")}, {}),
    ("L23", "error", "/usr", {"usr": Symlink(Meta(0o777), b"usr")}, {"release": None}),
    ("L26", "error", "/usr/lib/extension-release.d/extension-release.a", {}, {"release": "ID=_any\nARCHITECTURE=x86_64\n"}),
    ("L26", "warning", "/usr/lib/libx.so.1", {}, {"release": "ID=testos\nVERSION_ID=1\n"}),
    ("L26", "warning", "/usr/lib/liby.so", {"usr/lib/liby.so": elf(machine=183)}, {}),
    ("L27", "info", "/usr/share/rpm", {"usr/share/rpm/db": "x"}, {}),
]


@pytest.mark.parametrize(("rule", "severity", "path", "more", "how"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES])
def test_a_rule_finds_its_case(rule: str, severity: str, path: str, more: dict[str, Any], how: dict[str, Any]) -> None:
    good = {} if "usr" in more else GOOD
    assert (rule, severity, path) in rules(extension({**good, **more}, **how))


def test_two_extensions_with_one_path() -> None:
    one, other = extension({**GOOD, "usr/bin/x": "1"}), extension({"usr/bin/x": "2", "usr/bin/new": "#!/bin/sh\n"}, name="b")
    assert rules(one, other) == {("L7", "error", "/usr/bin/x")}


def test_labels_rivals_places_and_flags() -> None:
    labelled = Dir(Meta(0o755, xattrs={b"security.selinux": b"usr_t"}), {b"x": File()})
    assert ("L12", "warning", "/usr/share") in rules(
        extension({**GOOD, "usr/share/y": ""}), host={**HOST, "usr/share": labelled}
    )
    plain = extension(GOOD)
    moved = Extension(
        b"a", "directory", b"/x", b"/opt/a", plain.tree, plain.release, b"a", rivals=(b"/var/lib/extensions/a.raw",)
    )
    assert {("L21", "warning", "/var/lib/extensions/a.raw"), ("L25", "warning", "/opt/a")} <= rules(moved)
    flags = extension({"etc/run": File(Meta(0o4755))}, kind="confext", release="ID=testos\nVERSION_ID=1\n")
    assert rules(flags, kind="confext") == {("L24", "info", "/etc/run")}


def test_units_that_are_pulled_in_are_fine() -> None:
    wants = {"usr/lib/systemd/system/multi-user.target.wants/n.service": Symlink(Meta(0o777), b"../n.service")}
    release = RELEASE + "EXTENSION_RELOAD_MANAGER=1\n"
    assert rules(extension({**GOOD, "usr/lib/systemd/system/n.service": UNIT, **wants}, release=release)) == set()


def test_an_image_that_cannot_be_read_is_a_finding() -> None:
    bad = Extension(
        b"a",
        "raw",
        b"/a.raw",
        None,
        None,
        Release(why="x"),
        b"a",
        trouble=Trouble(TroubleKind.BAD, "an empty file", "an image"),
    )
    assert rules(bad) == {("L1", "error", "/")}
    unknown = Trouble(TroubleKind.UNSUPPORTED, "ext4", "squashfs")
    other = Extension(b"a", "raw", b"/a.raw", None, None, Release(why="x"), b"a", trouble=unknown)
    assert rules(other) == {("L1", "warning", "/")}
    assert "systemd-dissect" in lint([other])[0].fix and "rebuild" in lint([bad])[0].fix


def test_names_that_are_equal_to_systemd() -> None:
    assert {("L21", "warning", "/")} == rules(extension(GOOD, name="1"), extension({}, name="01"))
    assert rules(extension(GOOD, name="1"), extension({}, name="2")) == set()


@pytest.mark.parametrize(("path", "good"), [("/x/a.raw", True), ("/x/a", True), ("/x/a.sysext", True), ("/x/a.tar", False)])
def test_what_systemd_finds_and_what_not(path: str, good: bool) -> None:
    one = with_tree(b"a", path.encode(), extension(GOOD).tree, "raw", KINDS["sysext"], NEWEST)  # type: ignore[arg-type]
    assert rules(one) == (set() if good else {("L20", "error", "/")})


def test_every_rule_has_a_case_and_a_word() -> None:
    tested = {case[0] for case in CASES} | {"L7", "L12", "L21", "L25"}
    assert tested == {one.id for one in RULES} == {f"L{number}" for number in range(1, 28)}
    assert len({one.name for one in RULES}) == 27 and all(one.why and one.fix for one in RULES)


def test_the_log_of_sarif() -> None:
    found = lint([extension({**GOOD, "usr/bin/tool": "ours", "usr/bin/\xff x": File(Meta(uid=1))})], host=made(HOST))
    log: Any = json.loads(json.dumps(sarif(found)))
    assert log["version"] == "2.1.0" and len(log["runs"][0]["tool"]["driver"]["rules"]) == 27
    result = next(one for one in log["runs"][0]["results"] if one["ruleId"] == "L6")
    assert (
        result["level"] == "error" and result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a/usr/bin/tool"
    )
    assert "%C3%BF%20x" in json.dumps(log)


@pytest.mark.parametrize("size", [0, 3, 40, 63, 64, 100, 200])
def test_a_cut_elf_file_is_no_trouble(size: int) -> None:
    read_elf(BytesBlob(elf("libc.so.6")[:size]))
    broken = bytearray(elf("libc.so.6"))
    for at in range(0, len(broken), 3):
        broken[at] ^= 0xFF
        read_elf(BytesBlob(bytes(broken)))


def test_the_page_of_rules_is_that_of_the_rules() -> None:
    page = (Path(__file__).parents[3] / "docs/sysext-lint.md").read_text()
    for one in RULES:
        assert f"| {one.id} | `{one.name}` | {one.severity} | {one.why} | {one.fix} |" in page
