"""Images of mkosi configurations: each step, each format, what is refused; with packages that a test makes up."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imgcore.build.mkosi_image import BuiltImage, MkosiSettings, PackageRequest, build_images
from imgcore.build.mkosi_output import Writing
from imgcore.build.source import open_source
from imgcore.errors import ConfigError, ImgcoreError, MergeConflict, SourceError, TargetExists, Unsupported
from imgcore.events import Control, Event, Warned
from imgcore.formats.squashfs import Options
from imgcore.mkosi import Host, load
from imgcore.model import Dir, File, Symlink, Tree, file, tree
from tests.kit.mkosi import write_files
from tests.kit.mkosi_cases import KUBECTL

SEED = "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"
EPOCH = 1_700_000_000
SQUASHFS = "[Build]\nEnvironment=SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT=squashfs\n"
BASE_CONF = f"[Distribution]\nDistribution=opensuse\nRelease=tumbleweed\n[Content]\nSourceDateEpoch={EPOCH}\n"
OUT = "[Output]\nOutputDirectory=out\nOutput=x\n"

PACKAGES = {
    "base": {"/usr/lib/os-release": "ID=opensuse-tumbleweed\nVERSION_ID=20250601\n", "/usr/bin/sh": "sh", "/etc/base": "1"},
    "strace": {
        "/usr/bin/strace": file("strace", mode=0o755, mtime_ns=5),
        "/usr/bin/sh": "another",
        "/usr/lib/sysimage/rpm/db": "db",
    },
}


class FromNowhere:
    """Installs made-up packages."""

    def refuses(self, request: PackageRequest) -> str | None:
        return None

    def __call__(self, base: Tree, request: PackageRequest, *, stack: contextlib.ExitStack, control: Control) -> Tree:
        return tree({path: what for name in request.names for path, what in PACKAGES[name].items()})  # type: ignore[misc]


def build(
    directory: Path, files: Mapping[str, str | None], arguments: tuple[tuple[str, str], ...] = (), **settings: Any
) -> tuple[list[BuiltImage], list[str]]:
    write_files(directory, dict(files))
    warnings: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Warned) and "fraction of a second" not in event.message:
            warnings.append(event.message)

    writing = Writing(Options(compression="gzip"), sync=False)
    made = build_images(
        load(Host(directory.resolve()), arguments),
        directory.resolve(),
        MkosiSettings(writing=writing, **settings),
        Control(listen),
    )
    return made, warnings


def content(found: Tree, path: str) -> bytes:
    node = found.lookup(path, follow=True)
    assert isinstance(node, File)
    return node.content.read_at(0, node.content.size)


def paths(found: Tree) -> list[str]:
    return [path.decode() for path, node in found.walk() if not isinstance(node, Dir)]


def test_kubectl(tmp_path: Path) -> None:
    write_files(tmp_path, KUBECTL.files)
    (tmp_path / "mkosi.extra/usr/bin/kubectl").chmod(0o755)
    made, warnings = build(tmp_path, {}, (("Seed", SEED), ("Architecture", "x86-64")))
    assert warnings == []
    out = tmp_path.resolve() / "mkosi.output"
    assert made[0].files == (out / "kubectl-3.0.x86-64", out / "kubectl-3.0.x86-64.raw")
    assert sorted(one.name for one in out.iterdir()) == ["kubectl-3.0.x86-64", "kubectl-3.0.x86-64.raw"]
    assert os.readlink(out / "kubectl-3.0.x86-64") == "kubectl-3.0.x86-64.raw"
    with open_source(str(out / "kubectl-3.0.x86-64")) as source:
        release = "/usr/lib/extension-release.d/extension-release.kubectl-3.0.x86-64"
        assert content(source.tree, release) == b"ID=_any\nSYSEXT_SCOPE=initrd system portable\nARCHITECTURE=x86-64\n"
        assert paths(source.tree) == ["/usr/bin/kubectl", release]
        assert source.tree["/usr/bin/kubectl"].meta.mode == 0o755
    first = (out / "kubectl-3.0.x86-64.raw").read_bytes()
    build(tmp_path, {}, (("Seed", SEED), ("Architecture", "x86-64")), force=True)
    assert (out / "kubectl-3.0.x86-64.raw").read_bytes() == first


TOOLS: dict[str, str | None] = {
    "mkosi.conf": BASE_CONF + "[Output]\nOutputDirectory=out\nFormat=none\n[Content]\nPackages=base strace\n",
    "mkosi.images/base/mkosi.conf": "[Output]\nFormat=directory\nOutput=base\n[Content]\nPackages=base\n",
    "mkosi.images/tools/mkosi.conf": "[Config]\nDependencies=base\n" + SQUASHFS + "[Output]\nFormat=sysext\nOverlay=yes\n"
    "ImageVersion=1.0\nOutput=tools-%v\n[Content]\nCleanPackageMetadata=yes\nBaseTrees=%O/base\nPackages=strace\n",
    "mkosi.images/tools/mkosi.finalize": "#!/bin/sh\nset -e\n"
    "release=/buildroot/usr/lib/extension-release.d/extension-release.tools-1.0\n"
    "test ! -e /buildroot/usr/bin/sh\necho ID=_any >> $release\nrestorecon -vR /buildroot/usr\n",
}


def test_an_extension_over_an_image_that_is_built_before(tmp_path: Path) -> None:
    made, warnings = build(tmp_path, TOOLS, install=FromNowhere(), scripts=True)
    assert [one.image.name for one in made] == ["base", "tools"]
    (changed,) = warnings  # by the package, which the base has a file of
    assert "not the same ones: `/usr/bin/sh` (" in changed
    with open_source(str(tmp_path / "out/tools-1.0.raw")) as source:
        found = source.tree
        release = "/usr/lib/extension-release.d/extension-release.tools-1.0"
        assert paths(found) == ["/usr/bin/strace", release]
        lines = content(found, release).decode().splitlines()
        assert lines[:4] == [
            "ID=opensuse-tumbleweed",
            "VERSION_ID=20250601",
            "SYSEXT_VERSION_ID=1.0",
            "SYSEXT_SCOPE=initrd system portable",
        ]
        assert lines[-1] == "ID=_any"
    base = tmp_path / "out/base"
    assert (base / "etc/machine-id").read_text() == "uninitialized\n"
    assert (base / "boot/loader/entries.srel").read_text() == "type1\n"
    assert (base / "usr/lib/clock-epoch").exists()


@pytest.mark.parametrize(
    ("change", "message", "place"),
    [
        ({}, "FinalizeScripts= is not supported: programs of a configuration are not run", "mkosi.finalize"),
        ({"scripts": True}, "Packages= asks for packages, and nothing here installs them", "mkosi.images/base/mkosi.conf"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_done(
    tmp_path: Path, change: dict[str, bool], message: str, place: str
) -> None:
    with pytest.raises(Unsupported, match=message) as found:
        build(tmp_path, TOOLS, **change)
    assert str(found.value.path).endswith(place)
    assert not (tmp_path / "out").exists()


def test_packages_without_a_base(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="without a base tree") as found:
        build(tmp_path, {"mkosi.conf": OUT + "Format=sysext\n[Content]\nPackages=base\n"}, install=FromNowhere())
    assert found.value.line == 6


def test_targets_that_exist(tmp_path: Path) -> None:
    files = {"mkosi.conf": BASE_CONF + OUT + "Format=directory\n", "mkosi.extra/usr/a": "1"}
    build(tmp_path, files)
    with pytest.raises(TargetExists):
        build(tmp_path, files)
    build(tmp_path, {**files, "mkosi.extra/usr/a": "2"}, force=True)
    assert (tmp_path / "out/x/usr/a").read_text() == "2"


def test_trees_are_copied_as_mkosi_does(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "mkosi.conf": BASE_CONF
        + OUT
        + "Format=tar\nCompressOutput=gz\n[Content]\nSkeletonTrees=one:/opt/one,tool:/usr/bin,tool:/usr/new\n"
        "ExtraTrees=two,archive.tar,single\nRemoveFiles=/usr/gone*,/opt/**/x\n",
        "mkosi.skeleton/usr/bin/a": "skeleton",
        "mkosi.extra/usr/bin/a": "extra",
        "one/x": "x",
        "one/y": "y",
        "two/usr/gone": "1",
        "two/usr/gone2": "2",
        "two/lib/l": "through a link",
        "tool": "#!/bin/sh\n",
        "single": "single",
    }
    write_files(tmp_path, files)
    (tmp_path / "mkosi.skeleton/lib").symlink_to("usr/lib")
    (tmp_path / "mkosi.skeleton/usr/lib").mkdir()
    (tmp_path / "mkosi.skeleton/usr/bin").chmod(0o700)
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        info = tarfile.TarInfo("usr/share/doc")
        info.uid, info.size, info.mtime = 7, 2, EPOCH + 9
        archive.addfile(info, io.BytesIO(b"hi"))
    made, _ = build(tmp_path, {})
    with open_source(str(tmp_path / "out/x.tar.gz")) as source:
        found = source.tree
        assert content(found, "/usr/bin/a") == b"extra"
        assert paths(found) == [
            "/lib",
            "/opt/one/y",
            "/single",
            "/usr/bin/a",
            "/usr/bin/tool",
            "/usr/lib/clock-epoch",
            "/usr/lib/l",
            "/usr/new",
            "/usr/share/doc",
        ]
        assert isinstance(found["/lib"], Symlink)
        assert found["/usr/bin"].meta.mode == 0o700
        assert (found["/usr/share/doc"].meta.uid, found["/usr/share/doc"].meta.mtime_ns) == (7, EPOCH * 10**9)
        assert {node.meta.uid for path, node in found.walk() if path != b"/usr/share/doc"} == {0}
        assert {node.meta.mtime_ns for _, node in found.walk()} == {EPOCH * 10**9}
    assert gzip.decompress((tmp_path / "out/x.tar.gz").read_bytes())
    assert [path.name for path in made[0].files] == ["x", "x.tar.gz"]


def test_a_directory_where_a_file_is(tmp_path: Path) -> None:
    with pytest.raises(MergeConflict):
        build(tmp_path, {"mkosi.conf": OUT + "Format=tar\n", "mkosi.skeleton/a": "1", "mkosi.extra/a/b": "2"})
    assert [one.name for one in (tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize(
    ("conf", "name"),
    [
        ("Format=cpio\n", "x.cpio.zst"),
        ("Format=cpio\nCompressOutput=none\n", "x.cpio"),
        ("Format=tar\nCompressOutput=xz\nCompressLevel=1\n", "x.tar.xz"),
        ("Format=confext\nCompressOutput=zstd\n", "x.raw.zst"),
        ("Format=sysext\nCompressOutput=gz\nSplitArtifacts=partitions\n", "x.raw.gz"),
    ],
)
def test_formats(tmp_path: Path, conf: str, name: str) -> None:
    files = {
        "mkosi.conf": BASE_CONF + SQUASHFS + OUT + conf + "[Validation]\nChecksum=yes\n",
        "mkosi.extra/etc/a": "a",
        "mkosi.extra/usr/b": "b",
    }
    made, _ = build(tmp_path, files)
    out = tmp_path / "out"
    names = [path.name for path in made[0].files]
    assert name in names
    assert os.readlink(out / "x") == name
    sums = dict(reversed(line.split(" *")) for line in (out / "x.SHA256SUMS").read_text().splitlines())  # type: ignore[arg-type]
    assert set(sums) == set(names) - {"x", "x.SHA256SUMS"}
    assert sums[name] == hashlib.sha256((out / name).read_bytes()).hexdigest()
    if "Split" in conf:
        assert "x.root-x86-64.raw.gz" in names
    with open_source(str(out / name)) as source:
        assert ("/usr/b" in source.tree) == ("confext" not in conf)
        assert ("/etc/a" in source.tree) == ("sysext" not in conf)


def test_verity(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=t", "-days", "9", "-keyout", "mkosi.key"]
    try:
        subprocess.run([*key, "-out", "mkosi.crt"], cwd=tmp_path, check=True, capture_output=True)
    except OSError:
        pytest.skip("openssl is not installed")
    (tmp_path / "mkosi.key").chmod(0o600)
    files = {
        "mkosi.conf": BASE_CONF + SQUASHFS + OUT + f"Format=sysext\nSeed={SEED}\nSplitArtifacts=partitions\n",
        "mkosi.extra/usr/b": "b",
    }
    made, _ = build(tmp_path, files)
    names = {path.name for path in made[0].files}
    assert {"x.root-x86-64.raw", "x.root-x86-64-verity.raw", "x.root-x86-64-verity-sig.raw"} <= names


def test_release_files_that_are_there(tmp_path: Path) -> None:
    files = {
        "mkosi.conf": BASE_CONF
        + SQUASHFS
        + OUT
        + "Format=sysext\nImageId=i\nImageVersion=2\n[Build]\nEnvironment=SYSEXT_SCOPE=system\n",
        "mkosi.extra/usr/lib/extension-release.d/extension-release.x": 'ID="own"\nFOO=1\n',
    }
    build(tmp_path, files)
    with open_source(str(tmp_path / "out/x.raw")) as source:
        said = content(source.tree, "/usr/lib/extension-release.d/extension-release.x")
    assert said == b"ID=own\nFOO=1\nSYSEXT_ID=i\nSYSEXT_VERSION_ID=2\nSYSEXT_SCOPE=system\nARCHITECTURE=x86-64\n"


def test_a_system_has_the_image_in_its_release_file(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "mkosi.conf": BASE_CONF + OUT + "Format=directory\nImageId=i\nImageVersion=2\n",
        "mkosi.extra/usr/lib/os-release": "ID=a\nIMAGE_ID=old\n",
        "mkosi.extra/usr/lib/tmpfiles.d/x": "",
    }
    _, warnings = build(tmp_path, files)
    assert (tmp_path / "out/x/usr/lib/os-release").read_text() == 'ID=a\nIMAGE_ID="i"\nIMAGE_VERSION="2"\n'
    assert any("tmpfiles.d" in one for one in warnings)


def test_scripts(tmp_path: Path) -> None:
    files: dict[str, str | None] = {
        "mkosi.conf": BASE_CONF
        + OUT
        + "Format=directory\nOutputMode=600\nImageVersion=3\n[Config]\nProfiles=p\n[Build]\nEnvironment=A=b\n",
        "mkosi.extra/usr/a": "a",
        "mkosi.postinst": '#!/bin/sh\nset -e\ntest "$1" = final\n'
        'echo "$BUILDROOT $SRCDIR $OUTPUTDIR $A $PROFILES $IMAGE_VERSION" > /buildroot/env\n'
        'echo "$DISTRIBUTION $RELEASE $ARCHITECTURE $DISTRIBUTION_ARCHITECTURE $WITH_NETWORK $SCRIPT" >> /buildroot/env\n'
        'cp mkosi.version-file /buildroot/from-source\ngrep -q Output "$MKOSI_CONFIG"\ntest "$(pwd)" = /work/src\n',
        "mkosi.version-file": "source",
        "mkosi.finalize.d/1": "#!/bin/sh\nrm /buildroot/usr/a; echo extra > $OUTPUTDIR/more\n",
        "mkosi.postoutput": "#!/bin/sh\nset -e\ntest ! -e /buildroot\nls /work/out > /work/out/listing\n",
    }
    made, _ = build(tmp_path, files, (("Architecture", "x86-64"),), scripts=True)
    out = tmp_path / "out"
    env = (out / "x/env").read_text().splitlines()
    assert env == ["/buildroot /work/src /work/out b p 3", "opensuse tumbleweed x86-64 x86_64 0 /work/postinst"]
    assert (out / "x/from-source").read_text() == "source"
    assert not (out / "x/usr/a").exists()
    assert (out / "more").read_text() == "extra\n"
    assert (out / "more").stat().st_mode & 0o777 == 0o600
    assert (out / "listing").read_text().split() == ["listing", "more", "x"]
    assert sorted(path.name for path in made[0].files) == ["listing", "more", "x"]


def test_a_script_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="ended with status 4") as found:
        build(tmp_path, {"mkosi.conf": OUT + "Format=tar\n", "mkosi.finalize": "#!/bin/sh\nexit 4\n"}, scripts=True)
    assert found.value.path == str(tmp_path.resolve() / "mkosi.finalize")
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(SourceError, match="not executable"):
        build(tmp_path, {"mkosi.conf": OUT + "Format=tar\n[Content]\nFinalizeScripts=f\n", "f": "x"}, scripts=True)


def test_marks_of_overlayfs_never_get_into_an_image(tmp_path: Path, needs_xattrs: None) -> None:
    files: dict[str, str | None] = {
        "mkosi.conf": BASE_CONF + SQUASHFS + OUT + "Format=sysext\n[Content]\nBaseTrees=b\n",
        "b/usr/a": "1",
    }
    write_files(tmp_path, files)
    os.setxattr(tmp_path / "b/usr", b"user.overlay.opaque", b"y")
    os.setxattr(tmp_path / "b/usr/a", b"user.kept", b"1")
    build(tmp_path, {})
    with open_source(str(tmp_path / "out/x.raw")) as source:
        assert not any(b"overlay" in name for path, node in source.tree.walk() for name in node.meta.xattrs)
        assert source.tree["/usr/a"].meta.xattrs == {b"user.kept": b"1"}


def test_metadata_of_package_managers(tmp_path: Path) -> None:
    start: dict[str, str | None] = {
        "mkosi.extra/usr/lib/sysimage/rpm/db": "1",
        "mkosi.extra/var/lib/zypp/x": "1",
        "mkosi.extra/usr/bin/zypper": "1",
    }
    conf = BASE_CONF + OUT + "[Content]\nCleanPackageMetadata={}\n[Output]\nFormat=cpio\n"
    for word, left in (("yes", []), ("auto", ["/var/lib/zypp/x"]), ("no", ["/usr/lib/sysimage/rpm/db", "/var/lib/zypp/x"])):
        build(tmp_path, {"mkosi.conf": conf.format(word), **start}, force=True)
        with open_source(str(tmp_path / "out/x.cpio.zst")) as source:
            assert [path for path in paths(source.tree) if "zypper" not in path and "clock" not in path] == left


def test_patterns_that_name_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no file of the image"):
        build(tmp_path, {"mkosi.conf": OUT + "Format=tar\n[Content]\nRemoveFiles=/../x\n"})
    with pytest.raises(ConfigError, match="zstd has levels"):
        build(tmp_path, {"mkosi.conf": OUT + "Format=tar\nCompressLevel=99\n"})


def test_several_bases(tmp_path: Path) -> None:
    conf = BASE_CONF + SQUASHFS + OUT + "Format=sysext\nOverlay=yes\n[Content]\nBaseTrees=top,bottom\n"
    files: dict[str, str | None] = {"mkosi.conf": conf, "top/usr/a": "1", "bottom/usr/b": "2"}
    build(tmp_path, {**files, "mkosi.extra/usr/a": "3", "mkosi.extra/usr/b": "4", "mkosi.extra/usr/c": "5"})
    with open_source(str(tmp_path / "out/x.raw")) as source:
        assert "/usr/c" in source.tree
        assert "/usr/a" not in source.tree
        assert "/usr/b" not in source.tree


def test_what_an_older_build_left_is_gone(tmp_path: Path) -> None:
    conf = BASE_CONF + SQUASHFS + "[Output]\nFormat=sysext\nOutput=x\nOutputDirectory=out\n"
    files: dict[str, str | None] = {"mkosi.conf": conf, "mkosi.extra/usr/bin/x": "x"}
    build(tmp_path, files)
    out = tmp_path / "out"
    for name in ("x.roothash", "x.roothash.p7s", "x.root-x86-64.raw", "x.SHA256SUMS", "xy.roothash"):
        (out / name).write_text("old")
    with pytest.raises(TargetExists):
        build(tmp_path, {})
    build(tmp_path, {}, force=True)
    assert sorted(one.name for one in out.iterdir()) == ["x", "x.raw", "xy.roothash"]
    for one in ("x", "x.raw"):
        (out / one).unlink()
    (out / "x.roothash").write_text("old")
    with pytest.raises(TargetExists, match="exists"):
        build(tmp_path, {})


@pytest.mark.parametrize("rule", ["mkosi", "overlay", "identical"])
def test_what_is_subtracted(rule: str, tmp_path: Path) -> None:
    files = {
        "mkosi.conf": BASE_CONF
        + SQUASHFS
        + OUT
        + "Format=sysext\nOverlay=yes\nRemoveFiles=/usr/gone\n[Content]\nBaseTrees=base\n",
        "base/usr/lib/os-release": "ID=x\n",
        "base/usr/bin/changed": "before",
        "base/usr/bin/same": "same",
        "base/usr/gone": "gone",
        "mkosi.extra/usr/bin/changed": "after",
        "mkosi.extra/usr/bin/new": "new",
    }
    _, warnings = build(tmp_path, files, subtract=rule)
    assert [one for one in warnings if "/usr/bin/changed" in one and "/usr/gone" not in one] == warnings[: rule == "mkosi"]
    with open_source(tmp_path / "out/x.raw") as opened:
        names = set(opened.tree["/usr/bin"].children)  # type: ignore[union-attr]
        assert names == ({b"new"} if rule == "mkosi" else {b"new", b"changed"})
        assert rule == "mkosi" or content(opened.tree, "/usr/bin/changed") == b"after"


def test_an_error_says_which_line_asked_for_it(tmp_path: Path) -> None:
    conf = BASE_CONF + OUT + "Format=tar\n[Content]\nExtraTrees=tree\n"
    (tmp_path / "tree").mkdir()
    (tmp_path / "mkosi.conf").write_text(conf)
    configuration = load(Host(tmp_path.resolve()))
    (tmp_path / "tree").rmdir()  # after it was read
    with pytest.raises(ImgcoreError) as caught:
        build_images(configuration, tmp_path.resolve(), MkosiSettings())
    line = conf[: conf.index("ExtraTrees")].count("\n") + 1
    assert caught.value.hint == f"ExtraTrees= of {tmp_path.resolve()}/mkosi.conf:{line} asks for it"


def test_settings_of_nspawn_are_an_output(tmp_path: Path) -> None:
    files = {"mkosi.conf": BASE_CONF + OUT + "Format=tar\n", "mkosi.nspawn": "[Exec]\n", "mkosi.extra/a": "a"}
    made, _ = build(tmp_path, files)
    assert (tmp_path / "out/x.nspawn").read_text() == "[Exec]\n"
    assert tmp_path.resolve() / "out/x.nspawn" in made[0].files
    (tmp_path / "mkosi.nspawn").unlink()
    build(tmp_path, {}, force=True)
    assert not (tmp_path / "out/x.nspawn").exists()


def test_another_format_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    out, extra = tmp_path / "out", {"mkosi.extra/usr/a": "a"}

    def built(form: str, **more: str) -> set[str]:
        build(tmp_path, {"mkosi.conf": BASE_CONF + SQUASHFS + OUT + form, **extra, **more}, force=True)
        return {one.name for one in out.iterdir()}

    assert built("Format=tar\nCompressOutput=xz\n") == {"x", "x.tar.xz"}
    assert built("Format=tar\nCompressOutput=gz\n") == {"x", "x.tar.gz"}
    assert built("Format=sysext\n") == {"x", "x.raw"}
    assert built("Format=directory\n") == {"x"} and (out / "x").is_dir()
    assert built("Format=cpio\nCompressOutput=none\n") == {"x", "x.cpio"}
    for other in ("xy.cpio", "../x.cpio"):
        (out / other).write_text("another's")
        (out / "x").unlink()
        (out / "x").symlink_to(other)
        built("Format=cpio\n")
        assert (out / other).read_text() == "another's"


def test_lost_setuid_bits_of_a_directory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"mkosi.extra/usr/su": "su"})
    (tmp_path / "mkosi.extra/usr/su").chmod(0o4755)
    files = {"mkosi.conf": BASE_CONF + OUT + "Format=directory\n"}
    told = "setuid and setgid are not kept in a directory that is made without root"
    for user, bits in ((1000, 0), (0, 0o4000)):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        _, warnings = build(tmp_path, files, force=True)
        assert (told in warnings) == (bits == 0)
        assert (tmp_path / "out/x/usr/su").stat().st_mode & 0o7000 == bits
