"""Packages as rpm, cpio, dpkg and createrepo_c know them, and versions as rpm compares them."""

from __future__ import annotations

import os
import random
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from imgcore.blob import FileBlob, read_all
from imgcore.build.source import open_source
from imgcore.errors import VerificationFailed
from imgcore.events import Control
from imgcore.formats import deb, rpm
from imgcore.formats.rpm.layout import SigTag
from imgcore.formats.rpm.package import PackageFile
from imgcore.limits import Limits
from imgcore.model import Accounts, Device, Dir, File, Symlink, diff
from imgcore.model.filecaps import capability_text
from imgcore.packages import PackageDirectory, Repository, install, resolve, rpmvercmp
from tests.kit.oracles import missing, needs_mount, run, tool
from tests.kit.packages import Entry, Key, createrepo, extracted, rpmbuild, sample

SPEC = """
Name: demo
Version: 1.0
Release: 2%{?dist}
Epoch: 3
Summary: demo
License: MIT
Provides: feature(x) = 4
Requires: /bin/sh, libfoo >= 2
Requires(post): coreutils
Recommends: weak
Conflicts: enemy < 3
Obsoletes: old < 1
AutoReqProv: no
%description
demo
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/var/lib/demo
echo a > %{buildroot}/usr/bin/a
ln %{buildroot}/usr/bin/a %{buildroot}/usr/bin/b
ln %{buildroot}/usr/bin/a %{buildroot}/etc/z
echo c > %{buildroot}/usr/bin/c
ln %{buildroot}/usr/bin/c %{buildroot}/usr/bin/d
ln -s a %{buildroot}/usr/bin/s
ln -s /nowhere/at/all %{buildroot}/etc/dangling
seq 100000 > %{buildroot}/usr/bin/long
echo c > %{buildroot}/etc/demo.conf
: > %{buildroot}/etc/empty
: > %{buildroot}/etc/empty2
ln %{buildroot}/etc/empty2 %{buildroot}/etc/empty3
echo nm > '%{buildroot}/etc/\u00e4 b'
touch %{buildroot}/var/lib/demo/ghost
mkfifo %{buildroot}/var/lib/demo/fifo
truncate -s 3M %{buildroot}/var/lib/demo/sparse
%pre -p <lua>
print("x")
%post
echo hi
%preun -p /sbin/ldconfig
%posttrans
echo done
%triggerin -- foo > 2
echo trig
%transfiletriggerin -- /usr/lib
echo file
%files
%attr(4755,root,root) /usr/bin/a
%attr(4755,root,root) /usr/bin/b
%attr(4755,root,root) /etc/z
/usr/bin/c
/usr/bin/d
/usr/bin/s
/usr/bin/long
/etc/dangling
%caps(cap_net_raw,cap_net_admin=ep) %attr(0755,bin,daemon) /etc/empty
/etc/empty2
/etc/empty3
%config(noreplace) /etc/demo.conf
%doc "/etc/\u00e4 b"
%dir %attr(1777,games,nogroup) /var/lib/demo
%ghost /var/lib/demo/ghost
/var/lib/demo/fifo
/var/lib/demo/sparse
%dev(c,1,3) %attr(0666,root,root) /var/lib/demo/null
%dev(b,8,17) %attr(0660,root,disk) /var/lib/demo/disk
"""

FORMS = {
    "gzip": ("_binary_payload w9.gzdio",),
    "bzip2": ("_binary_payload w9.bzdio",),
    "xz": ("_binary_payload w2.xzdio",),
    "lzma": ("_binary_payload w2.lzdio",),
    "zstd": ("_binary_payload w3.zstdio",),
    "none": ("_binary_payload w.ufdio",),
    "md5": ("_binary_filedigest_algorithm 1", "_source_filedigest_algorithm 1"),
    "sha512": ("_binary_filedigest_algorithm 10",),
}


@pytest.fixture(scope="module", params=[*FORMS, "v6", "v4 of rpm 6"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package in one of the forms that rpmbuild makes."""
    place = tmp_path_factory.mktemp("rpm")
    if request.param in FORMS:
        return rpmbuild(place, SPEC, *FORMS[request.param])[0]
    version = "6" if request.param == "v6" else "4"
    return rpmbuild(place, SPEC, f"_rpmformat {version}", newest=True)[0]


def mode_of(node: object) -> int:
    kinds = {Dir: stat.S_IFDIR, File: stat.S_IFREG, Symlink: stat.S_IFLNK}
    if isinstance(node, Device):
        return stat.S_IFCHR if node.kind == "char" else stat.S_IFBLK
    return kinds.get(type(node), stat.S_IFIFO)


def dumped(file: PackageFile) -> str:
    """Return a line as `rpm -qp --dump` has it."""
    digest = file.digest or "0" * 64
    flags = (file.flags & 1, (file.flags >> 1) & 1)
    target = os.fsdecode(file.target) or "X"
    words = [
        os.fsdecode(file.path),
        file.size,
        file.mtime,
        digest,
        f"0{file.mode:o}",
        file.user,
        file.group,
        *map(int, map(bool, flags)),
    ]
    return " ".join(map(str, [*words, file.rdev, target]))


def test_what_rpm_says(built: Path) -> None:
    with rpm.open_image(FileBlob(built)) as image:
        package = image.package
    theirs = run(tool("rpm"), "-qp", "--dump", built).stdout.splitlines()
    width = len(next(file.digest for file in package.files if file.digest))
    assert [dumped(file).replace("0" * 64, "0" * width) for file in package.files] == theirs
    for kind in ("provides", "requires", "conflicts", "obsoletes", "recommends"):
        listed = run(tool("rpm"), "-qp", f"--{kind}", built).stdout.splitlines()
        assert sorted(str(one) for one in getattr(package, kind)) == sorted(listed), kind
    query = "%{NAME}|%{EPOCH}|%{VERSION}|%{RELEASE}|%{ARCH}|%{SUMMARY}|%{LICENSE}|%{BUILDTIME}|%{LONGSIZE}|%{SOURCERPM}"
    ours = (package.name, package.epoch, package.version, package.release, package.arch, package.summary, package.license)
    ours += (package.build_time, package.size, package.source_rpm)
    assert "|".join(map(str, ours)) == run(tool("rpm"), "-qp", "--qf", query, built).stdout
    caps = run(tool("rpm"), "-qp", "--qf", "[%{FILENAMES}|%{FILECAPS}\n]", built).stdout.splitlines()
    assert [f"{os.fsdecode(file.path)}|{file.caps}" for file in package.files] == caps
    scripts = run(tool("rpm"), "-qp", "--qf", "%{PREIN}|%{PREINPROG}|%{POSTIN}|%{PREUNPROG}|%{POSTTRANS}", built).stdout
    found = {one.name: one for one in package.scriptlets}
    assert scripts == "|".join(
        [found["pre"].text, found["pre"].program[0], found["post"].text, found["preun"].program[0], found["posttrans"].text]
    )
    assert {"triggerin", "transfiletriggerin"} <= found.keys()


def test_the_files_as_cpio_has_them(built: Path, tmp_path: Path) -> None:
    """Only root makes devices and keeps setuid bits; newer packages are not what an older rpm2cpio writes as cpio."""
    if _plain(built)[:6] == b"07070X":
        return  # which no cpio knows: `test_what_rpm_installs` is about the same
    place = extracted(built, tmp_path / "x")
    with rpm.open_image(FileBlob(built)) as image, open_source(place) as theirs:
        ids = {file.path: file for file in image.package.files}
        for path, node in image.tree.walk():
            file = ids.get(path)
            if file is None:
                continue  # a directory on the way, whose mode is cpio's own
            other = theirs.tree[path]
            assert type(other) is type(node), path
            assert other.meta.mtime_ns == node.meta.mtime_ns or isinstance(node, (Dir, Symlink)), path
            if isinstance(node, File):
                assert read_all(node.content) == read_all(other.content)  # type: ignore[union-attr]
            if not isinstance(node, Symlink):
                assert other.meta.mode == node.meta.mode, path
        assert {path for path, _ in theirs.tree.walk()} == {path for path, _ in image.tree.walk()}
        links = sorted(sorted(names) for names in image.tree.links().values())
        assert links == sorted(sorted(names) for names in theirs.tree.links().values())
        assert [b"/etc/empty2", b"/etc/empty3"] in links and [b"/etc/z", b"/usr/bin/a", b"/usr/bin/b"] in links


def _plain(package: Path) -> bytes:
    with rpm.open_image(FileBlob(package)) as image:
        return read_all(image.payload.unpacked())


def test_what_rpm_installs(built: Path, tmp_path: Path) -> None:
    """The root that rpm itself makes: modes, owners, capabilities, devices, contents, times."""
    needs_mount()
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for name in ("passwd", "group"):
        (root / "etc" / name).write_text(Path("/etc", name).read_text())
    before = open_source(root)
    known = Accounts.of_tree(before.tree)
    before.close()
    options = ["--root", str(root), "-i", "--nodeps", "--noscripts", "--notriggers", "--nosignature", "--ignorearch"]
    done = run(tool("rpm", newest=True), *options, built, ok=False)  # Debian's cannot make nodes of devices that are not there
    if "cap" in done.stderr and "not supported" in done.stderr:
        missing("this file system has no file capabilities")
    assert done.returncode == 0, done.stderr
    with rpm.open_image(FileBlob(built), accounts=known) as image, open_source(root) as theirs:
        assert image.warnings == ()
        owned = {file.path for file in image.package.files}
        assert known.uid("bin") and known.gid("daemon")
        for path, node in image.tree.walk():
            if path not in owned:
                continue
            other = theirs.tree[path]
            assert type(other) is type(node), path
            if not isinstance(node, Symlink):
                assert other.meta.mtime_ns == node.meta.mtime_ns or isinstance(node, Dir), path
                assert oct(other.meta.mode) == oct(node.meta.mode), path
            assert (other.meta.uid, other.meta.gid) == (node.meta.uid, node.meta.gid), path
            assert dict(other.meta.xattrs) == dict(node.meta.xattrs), path
            if isinstance(node, File):
                assert read_all(node.content) == read_all(other.content)  # type: ignore[union-attr]
            if isinstance(node, Device) and isinstance(other, Device):
                assert (node.kind, node.major, node.minor) == (other.kind, other.major, other.minor)
        assert capability_text(image.tree["/etc/empty"].meta.xattrs[b"security.capability"]) == "cap_net_admin,cap_net_raw=ep"


def test_check_agrees_with_rpm(built: Path, tmp_path: Path) -> None:
    """A package with a changed byte: where rpm finds it, so do we."""

    def ours(path: Path) -> bool:
        with FileBlob(path) as blob:
            return not [one for one in rpm.FORMAT.check_blob(blob, Limits.default(), Control()) if one.severity == "error"]

    assert ours(built)
    data = built.read_bytes()
    chance = random.Random(len(data))
    with rpm.open_image(FileBlob(built)) as image:
        begin, end = image.header.start, image.header.end
        sizes = range(image.signature.place(SigTag.SIZE), image.signature.place(SigTag.SIZE) + 4)
        signature = [at for at in range(image.signature.start, image.signature.end) if at not in sizes]  # which rpm passes over
    places = [*chance.sample(signature, 25), *range(image.signature.end - 16, image.signature.end), begin + 100, end + 5]
    for at in [*places, *(chance.randrange(begin, len(data)) for _ in range(12)), len(data) - 1]:
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        path = tmp_path / "changed.rpm"
        path.write_bytes(changed)
        done = run(tool("rpm"), "-K", "--nosignature", path, ok=False)
        try:
            good = ours(path)
        except Exception:
            good = False
        if at < begin and not good:
            continue  # of tags that it does not use rpm does not look at the type
        assert good == (done.returncode == 0), (at, done.stdout)


def test_packing(built: Path, tmp_path: Path) -> None:
    """An RPM becomes an image, and that has the same tree."""
    import imgcore

    imgcore.pack(built, tmp_path / "out.sqfs")
    with open_source(built) as one, open_source(tmp_path / "out.sqfs") as two:
        assert list(diff(one.tree, two.tree)) == []


def test_a_file_of_more_than_4_gib(tmp_path: Path) -> None:
    """rpmbuild makes stripped members for it."""
    spec = "Name: big\nVersion: 1\nRelease: 1\nSummary: b\nLicense: MIT\nAutoReqProv: no\n%description\nb\n%install\n"
    spec += "mkdir -p %{buildroot}/b\ntruncate -s 4097M %{buildroot}/b/big\necho x > %{buildroot}/b/small\n"
    spec += "ln %{buildroot}/b/small %{buildroot}/b/other\nln -s big %{buildroot}/b/link\n%files\n/b\n"
    package = rpmbuild(
        tmp_path, spec, "_binary_payload w1.zstdio", "_binary_filedigest_algorithm 1", "__os_install_post %{nil}"
    )[0]
    limits = Limits(max_ratio=1 << 20)
    with rpm.open_image(FileBlob(package), limits, verify=False) as image:
        big, small = image.tree["/b/big"], image.tree["/b/small"]
        assert isinstance(big, File) and isinstance(small, File) and big.content.size == 4097 << 20
        assert small is image.tree["/b/other"] and read_all(small.content) == b"x\n"
        assert all(segment.hole for segment in big.content.segments() if segment.size > 1 << 20)
    with rpm.open_image(FileBlob(package)) as image, pytest.raises(Exception, match="max_ratio"):
        read_all(image.tree["/b/small"].content)  # type: ignore[union-attr]


def test_versions_as_rpm_compares_them() -> None:
    chance = random.Random(9)
    pairs = []
    for _ in range(400):
        one = "".join(chance.choices("0019aZ._~^+", k=chance.randrange(1, 8)))
        two = one + chance.choice("~^.a1")
        if chance.random() < 0.5:
            two = "".join(chance.choices("0019aZ._~^+", k=chance.randrange(1, 8)))
        pairs.append((one, two))
    text = " ".join(f'print(rpm.vercmp("{one}", "{two}") .. " ")' for one, two in pairs)
    theirs = run(tool("rpm"), "--eval", "%{lua: " + text + "}").stdout.split()
    assert [str(rpmvercmp(one, two)) for one, two in pairs] == theirs


REQUIRING = """
Name: {name}
Version: {version}
Release: 1
Summary: s
License: MIT
AutoReqProv: no
{more}
%description
d
%install
mkdir -p %{{buildroot}}/usr/share/{name}
echo {name} > %{{buildroot}}/usr/share/{name}/f
%files
/usr/share/{name}
"""


def test_repositories_of_createrepo(tmp_path: Path) -> None:
    place = tmp_path / "repo"
    place.mkdir()
    for name, version, more in (
        ("app", "1", "Requires: lib >= 2~rc1, /usr/share/data/f"),
        ("lib", "1", ""),
        ("lib", "2", "Epoch: 1\nProvides: lib(x) = 3\nConflicts: none < 1\nObsoletes: older"),
        ("data", "1", "BuildArch: noarch"),
    ):
        for one in rpmbuild(tmp_path / f"{name}{version}", REQUIRING.format(name=name, version=version, more=more)):
            one.rename(place / one.name)
    for options in ([], ["--general-compress-type=xz"], ["--checksum", "sha512"]):
        createrepo(place, *options)
        listed, read = Repository(str(place)), PackageDirectory(place)
        ours = {str(one): one for one in read.candidates()}
        assert {str(one) for one in listed.candidates()} == ours.keys()
        for one in listed.candidates():
            other = ours[str(one)].package
            for kind in ("provides", "conflicts", "obsoletes"):
                assert list(map(str, getattr(one.package, kind))) == list(map(str, getattr(other, kind)))
            wanted = [str(need) for need in other.requires if not need.name.startswith("rpmlib(")]
            assert list(map(str, one.package.requires)) == wanted
        for source in (listed, read):
            found = resolve(["app"], [source], arch="x86_64")
            assert [str(one) for one in found.packages] == ["app-1-1.x86_64", "data-1-1.noarch", "lib-1:2-1.x86_64"]
            with install(found.packages) as made:
                assert read_all(made.tree["/usr/share/data/f"].content) == b"data\n"  # type: ignore[union-attr]


def test_signed_by_gpg(tmp_path: Path) -> None:
    place = tmp_path / "repo"
    place.mkdir()
    (place / "a.rpm").write_bytes(sample().build())
    createrepo(place)
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    gpg = [tool("gpg"), "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    Key.make()  # the test needs pysequoia
    run(*gpg, "--quick-gen-key", "repo@example.org", "rsa3072", "sign")
    repomd = place / "repodata/repomd.xml"
    run(*gpg, "--armor", "--detach-sign", repomd)
    public = subprocess.run([*gpg, "--armor", "--export"], capture_output=True, check=True).stdout
    assert len(Repository(str(place), keys=[public]).candidates()) == 1
    repomd.write_bytes(repomd.read_bytes() + b"\n")
    with pytest.raises(VerificationFailed):
        Repository(str(place), keys=[public]).candidates()


# Debian packages


def deb_tree(place: Path) -> Path:
    (place / "DEBIAN").mkdir(parents=True)
    (place / "DEBIAN/control").write_text(
        "Package: demo\nVersion: 1:1.0-2\nArchitecture: all\nMaintainer: A <a@b.c>\nDepends: x (>= 1)\nDescription: d\n long\n"
    )
    (place / "DEBIAN/conffiles").write_text("/etc/demo.conf\n")
    for name in ("postinst", "prerm"):
        (place / "DEBIAN" / name).write_text("#!/bin/sh\n")
        (place / "DEBIAN" / name).chmod(0o755)
    (place / "usr/bin").mkdir(parents=True)
    (place / "etc").mkdir()
    (place / "etc/demo.conf").write_text("a")
    (place / "usr/bin/a").write_bytes(os.urandom(100_000))
    (place / "usr/bin/a").chmod(0o4755)
    os.link(place / "usr/bin/a", place / "usr/bin/b")
    os.symlink("a", place / "usr/bin/s")
    (place / ("usr/bin/" + "n" * 120)).write_text("long")
    return place


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "none"])
def test_debs(tmp_path: Path, compression: str) -> None:
    source = deb_tree(tmp_path / "in")
    package = tmp_path / "demo.deb"
    run(tool("dpkg-deb"), "--root-owner-group", f"-Z{compression}", "--build", source, package)
    run(tool("dpkg-deb"), "-x", package, tmp_path / "x")
    run(tool("dpkg-deb"), "-e", package, tmp_path / "e")
    with (
        deb.open_image(FileBlob(package)) as image,
        open_source(tmp_path / "x") as theirs,
        open_source(tmp_path / "e") as control,
    ):
        assert image.info()["data"] == compression
        assert [(one.path, one.kind) for one in diff(image.tree, theirs.tree) if one.path != b"/"] == []
        assert [(one.path, one.kind) for one in diff(image.control, control.tree) if one.path != b"/"] == []
        assert image.package.conffiles == (b"etc/demo.conf",)
        assert [script.name for script in image.package.scripts] == ["postinst", "prerm"]
        for field, value in image.package.fields.items():
            assert run(tool("dpkg-deb"), "-f", package, field).stdout == value + "\n"
        assert list(image.check()) == []


def test_our_packages_are_theirs(tmp_path: Path) -> None:
    """What the tests make by hand is what rpm takes."""
    for form, version in (("newc", 4), ("stripped", 4), ("newc", 3), ("stripped", 6)):
        path = tmp_path / f"{form}{version}.rpm"
        path.write_bytes(sample(form=form, format=version, compression="zstd").build())
        newest = version == 6
        done = run(tool("rpmkeys", newest=newest), "-K", "--nosignature", path, ok=False)
        assert done.returncode == 0 or version == 3, done.stdout + done.stderr  # which rpm does not take by its MD5 alone
        listed = run(tool("rpm", newest=newest), "-qpl", "--nosignature", "--nodigest", path).stdout.splitlines()
        assert len(listed) == len(sample().files)
        assert shlex.quote(listed[0]) == "/etc/demo"
        assert Entry(b"/a").mode == stat.S_IFREG | 0o644
