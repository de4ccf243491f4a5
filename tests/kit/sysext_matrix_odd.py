"""More of the matrix: links that run in circles, files where directories belong, odd names, policies, a host with leftovers."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.kit.sysext import Root
from tests.kit.sysext_matrix import Setup, ab, again, case, raw_b, to_raw
from tests.kit.sysext_matrix_more import CASES, VERSIONS, Case

__all__ = ["CASES", "VERSIONS", "Case"]

ABORT_SINCE_258 = ("a", "a", "ABORT")
ABORT_252 = ("ABORT", "a", "a")


def put(path: Path, target: str | None) -> None:
    """Put a symbolic link at a path, or a file for None, in place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if target is None:
        path.write_text("x")
    else:
        path.symlink_to(target)


def inside(name: str, target: str | None, *, image: bool = False) -> Setup:
    """Return a setup: the good extension `a`, and `b` with a link or a file at a path in it."""

    def setup(root: Root) -> None:
        if root.kind == "sysext":
            b = ab(root)
        else:
            root.extension("a")
            b = root.extension("b")
        put(b / name, target)
        if image:
            to_raw(b, root.extensions / "b.raw")

    return setup


def on_host(name: str, target: str | None) -> Setup:
    """Return a setup: the good extension `a`, and a link or a file at a path in the root."""

    def setup(root: Root) -> None:
        root.extension("a")
        put(root.path / name, target)

    return setup


# --- paths in an extension that cannot be followed: as a directory, forced, as an image

ALL = ("ABORT",)
UNLESS_FORCED_252 = ("a b", "ABORT", "ABORT")
RELEASES = "usr/lib/extension-release.d"
for label, name, target, directory, forced, image in (
    ("a loop at usr", "usr", "usr", ALL, ALL, ALL),
    ("a loop at usr, from the root", "usr", "/usr", ALL, ALL, ALL),
    ("a loop at usr/lib", "usr/lib", "lib", ALL, UNLESS_FORCED_252, ALL),
    ("a loop at os-release", "usr/lib/os-release", "os-release", ALL, UNLESS_FORCED_252, ALL),
    ("os-release through a file", "usr/lib/os-release", "x/y", ("a b",), ("a b",), ("a b",)),
    ("os-release beyond the releases", "usr/lib/os-release", f"/{RELEASES}/extension-release.b/x", ALL, UNLESS_FORCED_252, ALL),
    ("a dangling os-release", "usr/lib/os-release", "nowhere", ("a b",), ("a b",), ("a b",)),
    ("a loop at the releases", RELEASES, "extension-release.d", ("a",), ("a b",), ALL),
    ("a loop at the release file", f"{RELEASES}/extension-release.b", "extension-release.b", ("a",), ("a b",), ALL),
    ("a loop at opt", "opt", "opt", ALL, ALL, ALL),
    ("a loop at etc", "etc", "etc", ("a b",), ("a b",), ALL),
    ("a loop at etc/os-release", "etc/os-release", "os-release", ("a b",), ("a b",), ALL),
    ("a loop at etc/extension-release.d", "etc/extension-release.d", "extension-release.d", ("a b",), ("a b",), ("a b",)),
    ("a loop at sbin", "sbin", "sbin", ("a b",), ("a b",), ("a b",)),
    ("a dangling usr", "usr", "nowhere", ("a",), ("a b",), ALL),
    ("a file at usr", "usr", None, ALL, ALL, ALL),
    ("a file at usr/lib", "usr/lib", None, ALL, UNLESS_FORCED_252, ALL),
    ("a file at the releases", RELEASES, None, ("a",), ("a b",), ALL),
    ("a file at opt", "opt", None, ALL, ALL, ALL),
    ("a file at etc", "etc", None, ("a b",), ("a b",), ALL),
):  # fmt: skip
    again(label, inside(name, target), *directory)
    again(f"{label}, forced", inside(name, target), *forced, arguments=["--force"])
    again(f"{label}, in an image", inside(name, target, image=True), *image)


@case("an os-release in etc, and a loop in usr, in an image", "ABORT")
def _(root: Root) -> None:
    b = ab(root)
    put(b / "etc/os-release", None)
    put(b / "usr/lib/os-release", "os-release")
    to_raw(b, root.extensions / "b.raw")


for label, name, target, directory, image in (
    ("usr", "usr", "usr", "a b", "ABORT"),
    ("usr/lib/os-release", "usr/lib/os-release", "os-release", "a b", "ABORT"),
    ("etc/os-release", "etc/os-release", "os-release", "a b", "ABORT"),
    ("the releases", "etc/extension-release.d", "extension-release.d", "a", "ABORT"),
    ("the releases of the other class", RELEASES, "extension-release.d", "a b", "ABORT"),
    ("etc", "etc", "etc", "a", "ABORT"),
):
    case(f"confext: a loop at {label}", "-", directory, directory, kind="confext")(inside(name, target))
    case(f"confext: a loop at {label}, in an image", "-", image, image, kind="confext")(inside(name, target, image=True))

# --- search directories

for place in ("etc/extensions", "run/extensions", "var/lib/extensions", "etc", "run", "var/lib"):
    again(f"a loop in place of {place}", on_host(place, place.rpartition("/")[2]), "ABORT")
    again(f"a file in place of {place}", on_host(place, None), "ABORT")
for place in ("usr/local/lib/extensions", "usr/lib/extensions", "usr/local/lib", "usr/local"):
    again(f"a loop in place of {place}", on_host(place, place.rpartition("/")[2]), *ABORT_252)
    again(f"a file in place of {place}", on_host(place, None), *ABORT_252)
again("a dangling search directory", on_host("etc/extensions", "nowhere"), "a")
again("a dangling search directory, the one in use", on_host("var/lib/extensions", "nowhere"), "none")
for name in ("l", "l.raw", "l.v", "l.raw.v", "l.sysext.raw", ".#l", "l.txt"):
    again(f"a loop called {name}", on_host(f"var/lib/extensions/{name}", name), *ABORT_SINCE_258)
again("a loop called .sysupdate.l", on_host("var/lib/extensions/.sysupdate.l", ".sysupdate.l"), "a")
again("an entry through a file", on_host("var/lib/extensions/l", "../../../usr/bin/tool/x"), *ABORT_SINCE_258)
again("an entry through nothing", on_host("var/lib/extensions/l", "nowhere/x"), "a")
again("a loop of a name that is taken", on_host("var/lib/extensions/a.raw", "a.raw"), *ABORT_SINCE_258)


@case("a loop in a directory of versions", "a")
def _(root: Root) -> None:
    root.extension("a")
    root.extension("v_1", at=root.extensions / "v.v", release="v")
    (root.extensions / "v.v/v_2").symlink_to("v_2")


@case("a masked loop", *ABORT_SINCE_258)
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "etc/extensions/l").mkdir()
    (root.extensions / "l").symlink_to("l")


@case("a loop before a good one of its name", "a l", "a l", "ABORT")
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "etc/extensions/l").symlink_to("l")
    root.extension("l")


# --- what the release file of an image is called after: the file's name before 258, then the extension's


def imaged(name: str, release: str) -> Setup:
    return lambda root: raw_b(root, release=release, name=name)


for name, release, v252, v257, v262 in (
    ("b.raw.raw", "b", "a b.raw", "a b.raw", "a b.raw"),
    ("b.raw.raw", "b.raw", "ABORT", "ABORT", "a b.raw"),
    ("b.raw.raw.raw", "b", "a b.raw.raw", "a b.raw.raw", "ABORT"),
    ("b.img.raw", "b", "a b.img", "a b.img", "ABORT"),
    ("b.img.raw", "b.img", "ABORT", "ABORT", "a b.img"),
    ("b.img.xz.raw", "b", "a b.img.xz", "a b.img.xz", "ABORT"),
    ("b.qcow2.raw", "b", "a b.qcow2", "a b.qcow2", "ABORT"),
    ("b.gz.raw", "b", "a b.gz", "a b.gz", "ABORT"),
    ("b.bz2.raw", "b", "a b.bz2", "a b.bz2", "ABORT"),
    ("b.bin.raw", "b", "a b.bin", "a b.bin", "ABORT"),
    ("b.zst.raw", "b", "ABORT", "ABORT", "ABORT"),
    ("b.zst.raw", "b.zst", "a b.zst", "a b.zst", "a b.zst"),
    ("b.sysext.raw.raw", "b", "ABORT", "a b.sysext.raw", "a b.sysext.raw"),
    ("b.sysext.raw.raw", "b.sysext", "a b.sysext.raw", "ABORT", "ABORT"),
    ("b.sysext.img.raw", "b.sysext", "a b.sysext.img", "a b.sysext.img", "ABORT"),
    ("b.confext.raw", "b", "ABORT", "a b.confext", "ABORT"),
    ("b.confext.raw", "b.confext", "a b.confext", "ABORT", "a b.confext"),
    ("b.raw.sysext.raw", "b", "ABORT", "a b.raw", "a b.raw"),
    ("b.sysext.sysext.raw", "b", "ABORT", "ABORT", "ABORT"),
    ("b_1.img.raw", "b", "ABORT", "a b_1.img", "a b_1.img"),
    ("b_1.img.raw", "b_1", "a b_1.img", "a b_1.img", "ABORT"),
):
    again(f"{name} with the release file of {release}", imaged(name, release), v252, v257, v262)


@case("a directory called b.raw with the release file of b", "a", "a b.raw", "a b.raw")
def _(root: Root) -> None:
    root.extension("a")
    root.extension("b.raw", release="b")


# --- image policies


MERGES = ("-", "a b", "a b")
SINCE_258 = ("-", "ABORT", "a b")
NEVER = ("-", "ABORT", "ABORT")
POLICIES = {
    MERGES: (
        "root=", "=", "root=:usr=", "root=-", "=-", "=open", "root=open", "root=encrypted+unprotected", " root=unprotected",
        "root =unprotected", "root=unprotected+unprotected", "=:root=unprotected", "root=unprotected:=",
        "root=read-only-off+read-only-on", "root=growfs-off", "*",
    ),
    SINCE_258: (
        "root=squashfs", "root=squashfs+unprotected", "root=ext4+squashfs", "=squashfs", "root= squashfs",
        "root=growfs-off+squashfs", "root=verity+unprotected+squashfs",
    ),
    NEVER: (
        "root=ext4", "root=erofs+unprotected", "root=btrfs", "root=xfs", "root=vfat", "root=f2fs", "root=ext2", "root=swap",
        "root=iso9660", "=ext4", "root=verity+squashfs", "root=squashfs+read-only-on", "root=unused+squashfs", "=:root=ext4",
        "root=ext4:=squashfs", "usr=ext4", "=unprotected+ext4", "root=squashfs:root=squashfs", "=:=", "root=unprotected+",
        "root=+unprotected", "root=unprotected+-", "squashfs", "root", ":", "", "root=*", "==", "root==unprotected",
        "root=unprotected:", ":root=unprotected", "root=unprotected::usr=absent", "root=ignore", "root=absent", "root=any",
        "root=SQUASHFS", "root=growfs-on+unprotected", "-", "~", "* ", "~:root=open",
    ),
}  # fmt: skip
for expected, texts in POLICIES.items():
    for policy in texts:
        again(f"policy {policy!r}", raw_b, *expected, arguments=[f"--image-policy={policy}"])

# --- the host

again("usr is a file", on_host("usr", None), "ABORT")
again("opt is a file", on_host("opt", None), "ABORT")
again("opt is a loop", on_host("opt", "opt"), "ABORT")
again("opt leads nowhere", on_host("opt", "nowhere"), "a")
again("opt leads to a file", on_host("opt", "usr/bin/tool"), "ABORT")
again("a loop at the host's etc/os-release", on_host("etc/os-release", "os-release"), "ABORT")
again("a loop at the host's usr/lib/os-release", on_host("usr/lib/os-release", "os-release"), "ABORT")
again("an empty os-release of the host", on_host("usr/lib/os-release", "/dev/null"), "ABORT")
again("a marker that is a file", on_host("usr/.systemd-sysext", None), "a")


@case("an empty marker directory", "a")
def _(root: Root) -> None:
    root.extension("a")
    (root.path / "usr/.systemd-sysext").mkdir()


@case("the marker of a merge that is gone", "a")
def _(root: Root) -> None:
    root.extension("a")
    root.write("usr/.systemd-sysext/extensions", "old\n")
    root.write("usr/.systemd-sysext/dev", "0:1\n")


# --- a mutable directory that is a link which leads nowhere

for mode, v257, v262 in (("auto", "a", "a"), ("yes", "ABORT", "a"), ("import", "a", "a"), ("ephemeral", "a", "a")):
    for target in ("/nope", "nope"):
        again(
            f"mutable {mode}: the directory dangles to {target}",
            on_host("var/lib/extensions.mutable/usr", target),
            "-",
            v257,
            v262,
            arguments=[f"--mutable={mode}"],
        )
