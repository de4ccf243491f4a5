"""More of the matrix: what a release file says, the layers, versioned directories, mutability, confext."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from tests.kit.sysext import Root
from tests.kit.sysext_matrix import CASES, VERSIONS, Case, Setup, ab, again, case, to_raw

__all__ = ["CASES", "VERSIONS", "Case"]


def released(*extensions: tuple[str, Sequence[str]], host: str | None = None, more: str = "") -> Setup:
    """Return a setup: names with the lines of their release files, and what the host's os-release says."""

    def setup(root: Root) -> None:
        path = root.path / "usr/lib/os-release"
        path.write_text((path.read_text() if host is None else host) + more)
        for name, lines in extensions:
            root.extension(name, *lines)

    return setup


# --- scope, architecture, ID, versions

GOOD = ("a", ["ID=_any"])
for label, line, expected in (
    ("portable", "SYSEXT_SCOPE=portable", "a"),
    ("initrd and system", 'SYSEXT_SCOPE="initrd system"', "a b"),
    ("empty", "SYSEXT_SCOPE=", "a"),
    ("other case", "SYSEXT_SCOPE=System", "a"),
    ("of the other class", "CONFEXT_SCOPE=portable", "a b"),
):
    again(f"scope {label}", released(GOOD, ("b", ["ID=_any", line])), expected)


@case("root is an initrd", "a", "a", "b")
def _(root: Root) -> None:
    root.write("etc/initrd-release", "")
    released(GOOD, ("b", ["ID=_any", "SYSEXT_SCOPE=initrd"]))(root)


@case("directories of an initrd", "a", "a", "a b")
def _(root: Root) -> None:
    root.write("etc/initrd-release", "")
    root.extension("a", "ID=_any", "SYSEXT_SCOPE=initrd system")
    root.extension("b", "ID=_any", "SYSEXT_SCOPE=initrd system", at=root.path / ".extra/sysext")


ARCHITECTURES = ("x86-64", "arm64", "_any", "x86_64", "", "amd64")
again(
    "architecture",
    released(*((name, ["ID=_any", f"ARCHITECTURE={word}"]) for name, word in zip("abcdef", ARCHITECTURES, strict=True))),
    "a c e",
)
LEVELS = (
    ("a", ["ID=testos", "SYSEXT_LEVEL=2"]),
    ("b", ["ID=testos", "SYSEXT_LEVEL=3", "VERSION_ID=1.0"]),
    ("c", ["ID=testos", "VERSION_ID=1.0"]),
    ("d", ["ID=testos", "VERSION_ID=9"]),
    ("e", ["ID=testos"]),
    ("f", ["ID=_any", "VERSION_ID=9"]),
    ("g", ["ID=testos", "SYSEXT_LEVEL=", "VERSION_ID=1.0"]),
    ("h", ["ID=testos", "SYSEXT_LEVEL=2.0"]),
)
again("levels", released(*LEVELS, more="SYSEXT_LEVEL=2\n"), "a c f g")
again("levels, host without", released(*LEVELS), "b c f g")
again("host without version", released(*LEVELS, host="ID=testos\n"), "a b c d e f g h")
again("host with level only", released(*LEVELS, host="ID=testos\nSYSEXT_LEVEL=2\n"), "a c d e f g")
again("no ID", released(("a", ["VERSION_ID=1.0"]), ("b", ["ID="])), "none")
again("ID_LIKE", released(("a", ["ID=likeos", "VERSION_ID=1.0"])), "none", "a", "a")
again("host without ID", released(GOOD, host="NAME=x\n"), "ABORT")
again("host with an empty ID", released(GOOD, host="ID=\n"), "ABORT")


@case("host without os-release", "ABORT")
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "usr/lib/os-release").unlink()
    (root.path / "etc/os-release").unlink()


again("host without ID, forced", released(GOOD, host="NAME=x\n"), "ABORT", arguments=["--force"])
again("host without ID, and no extensions", released(host="NAME=x\n"), "ABORT")


@case("os-release in /etc wins", "b")
def _(root: Root) -> None:
    released(("a", ["ID=testos", "VERSION_ID=1.0"]), ("b", ["ID=etcos"]))(root)
    (root.path / "etc/os-release").unlink()
    root.write("etc/os-release", "ID=etcos\n")


@case("os-release is an absolute link", "a")
def _(root: Root) -> None:
    released(("a", ["ID=testos", "VERSION_ID=1.0"]))(root)
    (root.path / "etc/os-release").unlink()
    (root.path / "etc/os-release").symlink_to("/usr/lib/os-release")


PARSED = {
    "a": ["ID='testos'", 'VERSION_ID="1.0"'],
    "b": ["ID=testos # c", "VERSION_ID=1.0"],
    "c": ["ID = testos", "VERSION_ID=1.0"],
    "d": ["ID=bad", "ID=testos", "VERSION_ID=1.0"],
    "e": ["  ID=testos", "VERSION_ID=1.0"],
    "f": ['ID="testos', "VERSION_ID=1.0"],
    "g": ["# x\\", "ID=testos", "VERSION_ID=1.0"],
    "h": ["ID=\\testos", "VERSION_ID=1.\\", "0"],
    "i": ["ID=testos", "VERSION_ID=1.0", "X=\udcff"],
    "j": ['ID="test"os', "VERSION_ID='1'.'0'"],
    "k": ["export ID=testos", "VERSION_ID=1.0"],
    "l": ["; ID=x", "ID=testos;", "VERSION_ID=1.0"],
    "m": ["ID=testos\r", "VERSION_ID=1.0\r"],
    "n": ["\ufeffID=testos", "VERSION_ID=1.0"],
}
again("texts", released(*PARSED.items()), "a c d e h m", "a c d e g h m", "a c d e g h m")

# --- layers


@case("hierarchy is a file in an extension", "ABORT")
def _(root: Root) -> None:
    place = root.extension("a")
    shutil.rmtree(place / "opt")
    (place / "opt").write_text("x")


@case("hierarchy is a link in an extension", "a")
def _(root: Root) -> None:
    place = root.extension("a")
    (place / "opt").rename(place / "usr/opt")
    (place / "opt").symlink_to("usr/opt")


@case("hierarchy is empty in an extension", "a")
def _(root: Root) -> None:
    place = root.extension("a")
    shutil.rmtree(place / "opt")
    (place / "opt").mkdir()


@case("hierarchy is missing on the host", "a")
def _(root: Root) -> None:
    root.extension("a")
    shutil.rmtree(root.path / "opt")


@case("hierarchy is empty on the host", "a")
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "opt/h").unlink()


@case("hierarchy is a link on the host", "a")
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "var/opt").mkdir()
    (root.path / "opt/h").rename(root.path / "var/opt/h")
    (root.path / "opt").rmdir()
    (root.path / "opt").symlink_to("/var/opt")


@case("hierarchy is a file on the host", "ABORT")
def _(root: Root) -> None:
    root.extension("a")
    shutil.rmtree(root.path / "opt")
    (root.path / "opt").write_text("x")


@case("extension without content", "a b")
def _(root: Root) -> None:
    place = ab(root)
    shutil.rmtree(place / "opt")
    shutil.rmtree(place / "usr/bin")


@case("modes and owners", "a b")
def _(root: Root) -> None:
    place = ab(root)
    (place / "usr/bin").chmod(0o700)
    os.chown(place / "usr/bin", 1000, 1000)
    (place / "usr").chmod(0o711)
    (root.path / "usr").chmod(0o750)
    os.chown(root.path / "usr", 9, 9)


@case("whiteouts and opaque directories", "a b")
def _(root: Root) -> None:
    place = ab(root)
    os.mknod(place / "usr/bin/only-a", 0o20000, 0)
    (place / "usr/lib/x").mkdir()
    os.setxattr(place / "usr/lib/x", "trusted.overlay.opaque", b"y")
    root.write("usr/lib/x/hidden", "1")
    os.mknod(place / "usr/lib/x/nothing", 0o20000, 0)


@case("a link over a directory", "a b")
def _(root: Root) -> None:
    place = ab(root)
    root.write("usr/lib64/ld", "1")
    root.write("usr/share/x", "1")
    (place / "usr/lib64").symlink_to("lib")
    (place / "usr/share").write_text("file")


@case("an image with all of it", "a b")
def _(root: Root) -> None:
    place = ab(root)
    (place / "usr/lib64").symlink_to("lib")
    (place / "usr/bin").chmod(0o700)
    os.mknod(place / "usr/lib/os-release2", 0o20000, 0)
    to_raw(place, root.extensions / "b.raw")


# --- versioned directories


def suite(directory: str, *entries: str) -> Setup:
    """Return a setup: `a`, and versions of `b`, each with its own name in /usr/bin/tool."""

    def setup(root: Root) -> None:
        root.extension("a")
        (root.extensions / directory).mkdir()
        for entry in entries:
            place = root.extension("b", at=root.path / "var")
            (place / "usr/bin/tool").write_text(entry)
            target = root.extensions / directory / entry
            if entry.endswith(".raw"):
                to_raw(place, target)
            else:
                place.rename(target)

    return setup


MANY = ("b_1.0", "b_1.10", "b_1.9", "b_2.0~rc1", "b_2.0+0-3", "b_x86-64", "b_3.0_arm64", "b_1.10_x86-64")
again("versions", suite("b.v", *MANY), "a", "a b", "a b")
again("versions and tries", suite("b.v", "b_1.0", "b_2.0+0-3", "b_3.0+1-2"), "a", "a b", "a b")
again("versions: more tries left", suite("b.v", "b_1.0+1", "b_1.0+2-1", "b_1.0+2"), "a", "a b", "a b")
again("versions: none", suite("b.v", "b", "b_"), "a")
again("versions: unknown architecture", suite("b.v", "b_5_foo", "b_4"), "a", "a b", "a b")
again("versions: architecture only", suite("b.v", "b_x86-64"), "a", "a b", "a b")
again("versions: architecture only, another one", suite("b.v", "b_arm64"), "a", "a b", "a b")
again("versions: architectures only", suite("b.v", "b_arm64", "b_x86-64", "b__x86-64"), "a", "a b", "a b")
again("versions: two underscores", suite("b.v", "b_1_2_x86-64", "b_0"), "a", "a b", "a b")
again("versions: broken tries", suite("b.v", "b_2+x", "b_1+", "b_0"), "a", "a b", "a b")
again("versions: wrong name", suite("b.v", "c_1"), "a")
again("versions: images in a suite of directories", suite("b.v", "b_1.raw"), "a")
again("versions: empty", suite("b.v"), "a")
again("versions of images", suite("b.raw.v", "b_1.0.raw", "b_1.1.raw"), "a", "a b", "a b")
again("versions of images with tries", suite("b.raw.v", "b_1.0+0-1.raw", "b_0.9.raw"), "a", "a b", "a b")
again("versions of images with class", suite("b.sysext.raw.v", "b_1.0.sysext.raw", "b_1.1.raw"), "a", "a b", "a b")
again("versions of images, class in the suite only", suite("b.sysext.raw.v", "b_1.1.raw"), "a")
again("versions of images, class in one name", suite("b.raw.v", "b_1.sysext.raw", "b_0.raw"), "a", "a b", "a b")
again("versions, class in one name", suite("b.v", "b_1.sysext", "b_0"), "a", "a b", "a b")
again("versions with class, higher without", suite("b.sysext.v", "b_2.0", "b_1.1.sysext"), "a", "a b", "a b")
again("versions with class, none with", suite("b.sysext.v", "b_2.0"), "a")
again("versions with other characters", suite("b.v", "b_2,1", "b_1"), "a", "a b", "a b")
again("versions with plus", suite("b.v", "b_2+1+2", "b_1+3"), "a", "a b", "a b")
again("versions with blanks", suite("b.v", "b_2 1", "b_1"), "a", "a b", "a b")
again("versions with a caret", suite("b.v", "b_2^1", "b_1"), "a", "a b", "a b")
again("versions with leading dash", suite("b.v", "b_-1", "b_.1"), "a", "a b", "a b")
again("versions with class", suite("b.sysext.v", "b_1.0", "b_1.1.sysext"), "a", "a b", "a b")


@case("versions behind a link", "a", "a", "a b")
def _(root: Root) -> None:
    suite("b.v", "b_1", "b_2")(root)
    (root.extensions / "b.v").rename(root.path / "var/v")
    (root.extensions / "b.v").symlink_to("/var/v")


@case("versions that are relative links", "a", "a b", "a b")
def _(root: Root) -> None:
    suite("b.v", "b_1", "b_2")(root)
    (root.extensions / "b.v/b_2").rename(root.path / "var/two")
    (root.extensions / "b.v/b_2").symlink_to("../../../two")


@case("versions, one of them a link to a file", "a", "a", "a b")
def _(root: Root) -> None:
    suite("b.v", "b_1")(root)
    root.write("var/lib/extensions/b.v/x", "")
    (root.extensions / "b.v/b_3").symlink_to("x")


@case("versions, others of other types", "a", "a", "a b")
def _(root: Root) -> None:
    suite("b.v", "b_1")(root)
    root.write("var/lib/extensions/b.v/b_2", "")
    os.mkfifo(root.extensions / "b.v/b_3")


@case("versions, one of them a dangling link", "a")
def _(root: Root) -> None:
    suite("b.v", "b_1", "b_2")(root)
    (root.extensions / "b.v/b_3").symlink_to("nowhere")


@case("host without os-release, and no extensions", "ABORT")
def _(root: Root) -> None:
    (root.path / "usr/lib/os-release").unlink()


@case("versions that are links", "a", "a", "a b")
def _(root: Root) -> None:
    suite("b.v", "b_1", "b_2")(root)
    (root.extensions / "b.v/b_2").rename(root.path / "var/two")
    (root.extensions / "b.v/b_2").symlink_to("/var/two")


# --- mutability


def _mutable(mode: str, setup: Setup, expected: str) -> None:
    again(f"mutable {mode}: {setup.__name__}", setup, "-", expected, expected, arguments=[f"--mutable={mode}"])


def plain(root: Root) -> None:
    ab(root)


def with_directory(root: Root) -> None:
    ab(root)
    for name in ("usr", "opt"):
        (root.path / "var/lib/extensions.mutable" / name).mkdir(mode=0o755)
    root.write("var/lib/extensions.mutable/opt/u", "mutable")
    root.write("var/lib/extensions.mutable/usr/bin/tool", "mutable")


def itself(root: Root) -> None:
    ab(root)
    (root.path / "var/lib/extensions.mutable/opt").symlink_to("/opt")
    (root.path / "var/lib/extensions.mutable/usr").symlink_to("/usr")


def other_mode(root: Root) -> None:
    with_directory(root)
    (root.path / "var/lib/extensions.mutable/opt").chmod(0o700)


def alone(root: Root) -> None:
    root.extension("a", "ID=strange")
    root.write("var/lib/extensions.mutable/opt/u", "mutable")


def dangling(root: Root) -> None:
    ab(root)
    (root.path / "var/lib/extensions.mutable/opt").symlink_to("/nowhere")


for one in ("no", "auto", "yes", "import", "ephemeral", "ephemeral-import"):
    _mutable(one, plain, "a b")
    _mutable(one, with_directory, "a b")
    _mutable(one, itself, "ABORT" if "import" in one else "a b")
    _mutable(one, other_mode, "ABORT" if one in ("yes", "auto") else "a b")
_mutable("auto", dangling, "a b")


def missing_host(root: Root) -> None:
    with_directory(root)
    shutil.rmtree(root.path / "opt")


def empty_host(root: Root) -> None:
    with_directory(root)
    (root.path / "opt/h").unlink()


def linked(root: Root) -> None:
    with_directory(root)
    (root.path / "var/lib/extensions.mutable/opt").rename(root.path / "var/elsewhere")
    (root.path / "var/lib/extensions.mutable/opt").symlink_to(
        "../../elsewhere"
    )  # 257 looks for /var/elsewhere outside of the root


for one in ("no", "auto", "yes", "import", "ephemeral", "ephemeral-import"):
    _mutable(one, alone, "none")
    _mutable(one, missing_host, "a b")
    _mutable(one, empty_host, "a b")
    _mutable(one, linked, "a b")


def without_opt(root: Root) -> None:
    ab(root)
    for name in "ab":
        shutil.rmtree(root.extensions / name / "opt")


def bare_opt(root: Root) -> None:
    without_opt(root)
    (root.path / "opt/h").unlink()


def nothing_fits(root: Root) -> None:
    root.extension("a", "ID=strange")


for one in ("no", "auto", "yes", "import", "ephemeral", "ephemeral-import"):
    _mutable(one, without_opt, "a b")
    again(
        f"mutable {one}: bare_opt", bare_opt, "-", "a b", "ABORT" if one in ("auto", "import") else "a b",
        arguments=[f"--mutable={one}"],
    )  # fmt: skip
    _mutable(one, nothing_fits, "none")


def configured(text: str) -> Setup:
    def setup(root: Root) -> None:
        with_directory(root)
        (root.path / "usr/lib/systemd/sysext.conf.d").mkdir(parents=True)
        root.write("usr/lib/systemd/sysext.conf.d/10-x.conf", text)

    return setup


again("configured: auto", configured("[SysExt]\nMutable=auto\n"), "a b")
again("configured: import", configured("[SysExt]\nMutable=import\n"), "a b")
again("configured: nonsense", configured("[SysExt]\nMutable=perhaps\n"), "a b")


@case("configured: policy", "a b", "a b", "ABORT")
def configured_policy(root: Root) -> None:
    to_raw(ab(root), root.extensions / "b.raw")
    root.write("etc/systemd/sysext.conf", "[SysExt]\nImagePolicy=root=signed+absent:usr=signed+absent\n")


again("configured: policy, and a flag", configured_policy, "-", "a b", "a b", arguments=["--image-policy=*"])

# --- confext


@case("confext", "-", "a b", "a b", kind="confext")
def _(root: Root) -> None:
    root.extension("a")
    root.extension("b", "ID=testos", "CONFEXT_LEVEL=2", "VERSION_ID=1.0", "SYSEXT_SCOPE=portable")
    root.extension("c", "ID=_any", "CONFEXT_SCOPE=portable")
    root.extension("d", "ID=strange")


@case("confext: directories", "-", "a c d", "a c d", kind="confext")
def _(root: Root) -> None:
    root.extension("a", at=root.path / "run/confexts")
    root.extension("b", at=root.path / "etc/confexts")
    root.extension("c", at=root.path / "usr/lib/confexts")
    root.extension("d", at=root.path / "usr/local/lib/confexts")


@case("confext: image", "-", "a b", "a b", kind="confext")
def _(root: Root) -> None:
    to_raw(ab(root), root.extensions / "b.confext.raw")


@case("confext: os-release", "-", "a b", "a b", kind="confext")
def _(root: Root) -> None:
    place = ab(root)
    (place / "usr/lib").mkdir(parents=True)
    (place / "usr/lib/os-release").write_text("ID=x\n")
