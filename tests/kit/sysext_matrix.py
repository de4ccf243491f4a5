"""The matrix of decisions: each case is a root, flags, and the names that systemd 252, 257 and 262 merge.

An expectation is the names with blanks between them, lowest first; `none`: nothing fits; `ABORT`: systemd gives up; `-`:
not asked of this version. The expectations are what the three versions did;
`tests/oracle/test_sysext_matrix.py` asks them again.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imgcore import pack
from tests.kit.sysext import Root

VERSIONS = (252, 257, 262)
Setup = Callable[[Root], None]


@dataclass(frozen=True)
class Case:
    """A root and what is expected of each version."""

    label: str
    setup: Setup
    expected: tuple[str, str, str]
    arguments: tuple[str, ...] = ()
    kind: str = "sysext"


CASES: list[Case] = []


def case(label: str, *expected: str, arguments: Sequence[str] = (), kind: str = "sysext") -> Callable[[Setup], Setup]:
    """Add a case; one expectation is that of all versions."""
    whole = expected * 3 if len(expected) == 1 else expected

    def add(setup: Setup) -> Setup:
        CASES.append(Case(label, setup, (whole[0], whole[1], whole[2]), tuple(arguments), kind))
        return setup

    return add


def again(label: str, setup: Setup, *expected: str, arguments: Sequence[str] = ()) -> None:
    """Add a case with the root of another one."""
    case(label, *expected, arguments=arguments)(setup)


def ab(root: Root, *lines: str, release: str | None = "") -> Path:
    """Make the good extension `a`, and `b` with these lines in its release file."""
    root.extension("a")
    return root.extension("b", *lines, release=release)


def to_raw(directory: Path, image: Path) -> None:
    """Put an image of a directory in its place."""
    pack([str(directory)], str(image), format="squashfs", sync=False)
    shutil.rmtree(directory)


def raw_b(root: Root, *lines: str, release: str | None = "", name: str = "b.raw") -> None:
    """Make `a` and an image `b`."""
    to_raw(ab(root, *lines, release=release), root.extensions / name)


# --- os-release in an extension


@case("os-release in a directory", "ABORT")
def os_release(root: Root) -> None:
    (ab(root) / "usr/lib/os-release").write_text("ID=x\n")


again("os-release in a directory, forced", os_release, "a b", "ABORT", "ABORT", arguments=["--force"])


@case("os-release is a dangling link", "a b")
def _(root: Root) -> None:
    (ab(root) / "usr/lib/os-release").symlink_to("/nonexist")


@case("os-release in an image", "ABORT", "a", "a")
def os_release_raw(root: Root) -> None:
    os_release(root)
    to_raw(root.extensions / "b", root.extensions / "b.raw")


again("os-release in an image, forced", os_release_raw, "a b", arguments=["--force"])


@case("os-release in /etc of an image without release file", "a")
def _(root: Root) -> None:
    place = ab(root, release=None)
    (place / "etc").mkdir()
    (place / "etc/os-release").write_text("ID=x\n")
    to_raw(place, root.extensions / "b.raw")


@case("os-release in /etc of a directory", "a b")
def _(root: Root) -> None:
    place = ab(root)
    (place / "etc").mkdir()
    (place / "etc/os-release").write_text("ID=x\n")


# --- the release file


@case("no release file in a directory", "a")
def no_release(root: Root) -> None:
    ab(root, release=None)


again("no release file in a directory, forced", no_release, "a b", arguments=["--force"])


@case("no release file in an image", "ABORT")
def no_release_raw(root: Root) -> None:
    raw_b(root, release=None)


again("no release file in an image, forced", no_release_raw, "ABORT", arguments=["--force"])


@case("release file of another name in an image", "ABORT")
def _(root: Root) -> None:
    raw_b(root, release="q")


@case("release file of the other class in an image", "ABORT", "a", "a")
def _(root: Root) -> None:
    place = ab(root, release=None)
    (place / "etc/extension-release.d").mkdir(parents=True)
    (place / "etc/extension-release.d/extension-release.b").write_text("ID=_any\n")
    to_raw(place, root.extensions / "b.raw")


@case("another ID in an image", "a")
def _(root: Root) -> None:
    raw_b(root, "ID=strange")


@case("release file of another name in a directory", "a")
def _(root: Root) -> None:
    ab(root, release="zz")


def _strict(value: bytes) -> Setup:
    def setup(root: Root) -> None:
        ab(root, release="zz")
        os.setxattr(root.release_of("b", "zz"), "user.extension-release.strict", value)

    return setup


for text in ("0", "false", "no", "off", "1", "true", "x", ""):
    again(f"strict={text}", _strict(text.encode()), "a b" if text in ("0", "false", "no", "off") else "a")


@case("two files that could stand for the release file", "a")
def _(root: Root) -> None:
    _strict(b"0")(root)
    other = root.release_of("b", "yy")
    shutil.copy(root.release_of("b", "zz"), other)
    os.setxattr(other, "user.extension-release.strict", b"0")


@case("release file is an absolute link", "a b")
def _(root: Root) -> None:
    place = ab(root)
    root.release_of("b").rename(place / "usr/lib/rel")
    root.release_of("b").symlink_to("/usr/lib/rel")


@case("release file is a dangling link", "a")
def _(root: Root) -> None:
    ab(root)
    root.release_of("b").unlink()
    root.release_of("b").symlink_to("/usr/lib/nothing")


@case("release file is a directory", "a")
def _(root: Root) -> None:
    ab(root)
    root.release_of("b").unlink()
    root.release_of("b").mkdir()


@case("release file is empty", "a")
def _(root: Root) -> None:
    ab(root)
    root.release_of("b").write_text("")


# --- names


def _named(name: str, release: str = "b") -> Setup:
    def setup(root: Root) -> None:
        root.extension("a")
        root.extension(name, release=release)

    return setup


again("name with a version", _named("b_1.0"), "a", "a b_1.0", "a b_1.0")
again("name with tries", _named("b+3"), "a", "a b+3", "a b+3")
again("name with a class suffix", _named("b.sysext"), "a", "a b", "a b")
again("name with the other class's suffix", _named("b.confext"), "a")
again(
    "directory called raw, with the other class's suffix",
    _named("b.confext.raw"),
    "a",
    "a b.confext.raw",
    "a b.confext.raw",
)
again("directory called raw", _named("b.raw"), "a", "a b.raw", "a b.raw")
again("directory of a layer stack", _named("b.mstack"), "a", "a", "ABORT")
again("name with a dot first", _named(".b", ".b"), ".b a")
again("name of a temporary file", _named(".#b", ".#b"), "a")
again("file of systemd-sysupdate", _named(".sysupdate.b", ".sysupdate.b"), ".sysupdate.b a", ".sysupdate.b a", "a")
again("name with a newline", _named("b\nc", "b\nc"), "a")
again("name that is not UTF-8", _named("b\udcff", "b\udcff"), "a")
for bad in (":", ",", "\\", "'", '"'):
    again(f"name with {bad}", _named(f"e{bad}f", ""), "ABORT")
for good in (" ", "=", "$", "%", "é"):
    again(f"name with {good}", _named(f"b{good}f", ""), f"a b{good}f")


@case("versioned image with class suffix", "ABORT", "a b_1.2+2-0", "a b_1.2+2-0")
def _(root: Root) -> None:
    raw_b(root, name="b_1.2+2-0.sysext.raw")


@case("order of names", "é A a~b a a-b a^b a.b a_b aa z_2 z_10 1.9 1.10 9 10")
def _(root: Root) -> None:
    for name in ["a", "A", "10", "9", "1.10", "1.9", "a-b", "a.b", "a_b", "a~b", "a^b", "aa", "z_2", "z_10", "é"]:
        root.extension(name)


@case("too many extensions", "ABORT")
def _(root: Root) -> None:
    for number in range(105):
        root.extension(f"e{number:03}")


@case("many extensions", " ".join(f"e{number:02}" for number in range(90)))
def _(root: Root) -> None:
    for number in range(90):
        root.extension(f"e{number:02}")


# --- search directories


@case("masked by an empty directory", "a")
def masked(root: Root) -> None:
    ab(root)
    (root.path / "etc/extensions/b").mkdir()


again("masked by an empty directory, forced", masked, "a b", arguments=["--force"])


@case("a link to /dev/null masks nothing", "a b")
def _(root: Root) -> None:
    ab(root)
    (root.path / "etc/extensions/b").symlink_to("/dev/null")
    (root.path / "etc/extensions/b.raw").symlink_to("/dev/null")


@case("an empty image masks, and blocks all", "ABORT")
def _(root: Root) -> None:
    ab(root)
    (root.path / "etc/extensions/b.raw").touch()


@case("in /run and /etc", "a b c")
def _(root: Root) -> None:
    root.extension("a", at=root.path / "run/extensions")
    root.extension("b", at=root.path / "etc/extensions")
    root.extension("c")
    root.extension("c", "ID=strange", at=root.path / "usr/local/lib/extensions/none")


@case("in two directories", "a b")
def _(root: Root) -> None:
    ab(root)
    root.extension("b", at=root.path / "etc/extensions")


@case("nothing at all", "none")
def _(root: Root) -> None:
    assert root.path.exists()


@case("search directory is a link", "a b")
def _(root: Root) -> None:
    ab(root)
    root.extensions.rename(root.path / "var/elsewhere")
    root.extensions.symlink_to("/var/elsewhere")


@case("below /usr", "ABORT", "a", "a")
def _(root: Root) -> None:
    root.extension("a")
    root.extension("z", at=root.path / "usr/lib/extensions")


@case("entries that are none", "a")
def _(root: Root) -> None:
    root.extension("a")
    root.write("var/lib/extensions/README", "hi")
    (root.extensions / "c.raw").symlink_to("/nowhere")
    os.mkfifo(root.extensions / "d.raw")


@case("link to a directory", "a", "a", "a b")
def _(root: Root) -> None:
    ab(root)
    (root.extensions / "b").rename(root.path / "var/b")
    (root.extensions / "b").symlink_to("../../b")


@case("release files of other names and versions", "a", "a b_1 c.raw d+1-2", "a b_1 c.raw d+1-2")
def _(root: Root) -> None:
    root.extension("a")
    root.extension("b_1", release="b")
    root.extension("c.raw", release="c")
    root.extension("d+1-2", release="d")
    root.extension("e_1.raw", release="e_1")
    root.extension("f.sysext.raw", release="f.sysext")


@case("absolute link to an image", "a", "a", "a b")
def _(root: Root) -> None:
    raw_b(root)
    (root.extensions / "b.raw").rename(root.path / "var/x.img")
    (root.extensions / "b.raw").symlink_to("/var/x.img")


@case("stored below what is merged", "a", "a", "ABORT")
def _(root: Root) -> None:
    ab(root)
    (root.extensions / "b").rename(root.path / "opt/b")
    (root.extensions / "b").symlink_to("/opt/b")


# --- bad images


@case("image of random bytes", "ABORT")
def _(root: Root) -> None:
    ab(root)
    (root.extensions / "g.raw").write_bytes(bytes(range(256)) * 16)


@case("image that is a tar", "ABORT")
def _(root: Root) -> None:
    place = ab(root)
    with tarfile.open(root.extensions / "b.raw", "w") as out:
        out.add(place, ".")
    shutil.rmtree(place)


@case("image that is cut", "ABORT")
def _(root: Root) -> None:
    raw_b(root)
    image = root.extensions / "b.raw"
    image.write_bytes(image.read_bytes()[:200])


@case("bare image", "a b")
def bare(root: Root) -> None:
    raw_b(root)


for policy, expectation in {
    "root=signed+absent:usr=signed+absent": "ABORT",
    "-": "ABORT",
    "*": "a b",
    "~": "ABORT",
    "root=absent:usr=unprotected": "ABORT",
    "root=unprotected": "a b",
    "root=unprotected:usr=signed": "a b",
    "=unprotected": "a b",
    "root=unprotected+read-only-on": "ABORT",
    "root=read-only-off": "a b",
    "root=verity+unprotected": "a b",
    "root=ignore": "ABORT",
    "usr=signed": "ABORT",
}.items():
    again(f"policy {policy}", bare, "-", expectation, expectation, arguments=[f"--image-policy={policy}"])
