"""Disk images of systemd-repart beside ours: cases, and how both are run.

Where a case has a file system in it, systemd-repart is given our `mksquashfs` (a script of `imgcore shims`), so that what is
compared is everything around it, to the last byte: partition table, places, UUIDs, hash tree, signature, and the tree that
was packed. `tools/compare-with-repart` runs all of them, and so do the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imgcore.cli.shims.install import install

SEED = "750b6cd5-c4ae-4012-a15e-7be3c29e6a47"
EPOCH = "1000000000"
VERSIONS = ("257", "262")
_VERITY = "Verity=data\nVerityMatchKey=root\n"
_ROOT = "Type=root\nFormat=squashfs\nCopyFiles=/usr\nCopyFiles=/opt\nMinimize=best\n"
_WIDE = "Type=root\nFormat=squashfs\nCopyFiles=/usr\n"
_TREE = "Type=root\nFormat=squashfs\nMinimize=best\n"
_HASH = "Type=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n"
_SIGNATURE = "Type=root-verity-sig\nVerity=signature\nVerityMatchKey=root\n"


@dataclass(frozen=True)
class Case:
    """Definitions by file name, the size of the random file in the tree, arguments for both programs."""

    name: str
    files: Mapping[str, str]
    size: int = 100_000
    arguments: tuple[str, ...] = ()
    drop_ins: Mapping[str, str] = field(default_factory=dict)


def _sets() -> list[Case]:
    found = []
    for size in (100_000, 3_000_000, 6_000_000):
        plain = {"10-root.conf": _ROOT}
        verity = {"10-root.conf": _ROOT + _VERITY, "20-verity.conf": _HASH}
        signed = {**verity, "30-sig.conf": _SIGNATURE}
        for name, files in (("plain", plain), ("verity", verity), ("signed", signed)):
            arguments = ("--private-key=@key", "--certificate=@cert") if name == "signed" else ()
            found.append(Case(f"{name}-{size}", files, size, arguments))
    return found


CASES = (
    *_sets(),
    Case("sector-4096", {"10-root.conf": _ROOT + _VERITY, "20-verity.conf": _HASH}, arguments=("--sector-size=4096",)),
    Case("sector-4096-large", {"10-root.conf": _ROOT}, 6_000_000, ("--sector-size=4096",)),
    Case("sector-2048", {"10-root.conf": _ROOT}, 6_000_000, ("--sector-size=2048",)),
    Case(
        "usr-verity",
        {
            "10-usr.conf": "Type=usr\nFormat=squashfs\nCopyFiles=/usr:/\nMinimize=best\nVerity=data\nVerityMatchKey=u\n",
            "20-usr.conf": "Type=usr-verity\nVerity=hash\nVerityMatchKey=u\nMinimize=best\n",
        },
    ),
    Case(
        "verity-blocks",
        {
            "10-root.conf": _ROOT + _VERITY + "VerityDataBlockSizeBytes=2048\n",
            "20-verity.conf": _HASH + "VerityDataBlockSizeBytes=1024\nVerityHashBlockSizeBytes=512\n",
        },
    ),
    Case(
        "files",
        {
            "10-root.conf": _TREE + "CopyFiles=/usr/lib:/x/y/\nCopyFiles=/:/\nLabel=foo-%a%%\n"
            "CopyFiles=/usr/bin/big:/usr/deep/file\nExcludeFiles=/opt\n"
            "MakeDirectories=/p/q /r /m\nMakeSymlinks=/m/n:../target\n"
        },
    ),
    Case(
        "files-excluded",
        {
            "10-root.conf": _TREE + "CopyFiles=/usr:/a\nCopyFiles=/opt:/a\nCopyFiles=/opt:/n/z\n"
            "ExcludeFiles=/usr/lib/ /opt/sub/file\nExcludeFilesTarget=/a/bin\n"
        },
    ),
    Case(
        "weights",
        {
            "10.conf": "Type=home\nSizeMinBytes=5000\nSizeMaxBytes=9000\nPaddingMinBytes=5000\n",
            "20.conf": "Type=srv\nSizeMinBytes=1.5M\nWeight=3000\nPaddingWeight=500\nLabel=%w-%a\n",
            "30.conf": "Type=srv\nSizeMinBytes=1M\nSizeMaxBytes=1M\nWeight=333\nPaddingMaxBytes=100K\nPaddingWeight=2000\n",
            "40.conf": "Type=root-verity\nNoAuto=yes\nLabel=srv-2\nSizeMinBytes=8K\n",
        },
        arguments=("--size=50M",),
    ),
    Case(
        "weights-auto",
        {
            "10.conf": "Type=home\nSizeMinBytes=64K\nWeight=0\nPaddingWeight=7\n",
            "20.conf": "Type=srv\nSizeMinBytes=12K\nSizeMaxBytes=300K\nWeight=77777\n",
            "30.conf": "Type=var\nUUID=11111111-2222-4333-8444-555555555555\nSizeMinBytes=4K\nPaddingMinBytes=20K\n",
            "40.conf": "Type=linux-generic\nUUID=null\nSizeMinBytes=4K\n",
        },
    ),
    Case(
        "priorities",
        {
            "10.conf": "Type=home\nSizeMinBytes=4M\n",
            "20.conf": "Type=srv\nSizeMinBytes=40M\nPriority=5\n",
            "30.conf": "Type=var\nSizeMinBytes=4M\nPriority=7\nLabel=kept or not\n",
            "40.conf": "Type=tmp\nSizeMinBytes=4M\n",
        },
        arguments=("--size=20M",),
    ),
    Case(
        "many-of-a-type",
        {
            f"{number}.conf": f"Type={kind}\nSizeMinBytes=4K\n"
            for number, kind in enumerate(("root", "home", "root", "root", "esp"), 10)
        },
    ),
    Case(
        "attributes",
        {
            "10.conf": "Type=root\nSizeMinBytes=4K\nReadOnly=yes\n",
            "20.conf": "Type=usr\nSizeMinBytes=4K\nNoAuto=yes\nGrowFileSystem=no\n",
            "30.conf": "Type=esp\nSizeMinBytes=4K\nNoAuto=yes\nReadOnly=yes\nGrowFileSystem=yes\n",
            "40.conf": "Type=srv\nSizeMinBytes=4K\nFlags=0xffff000000000000\nReadOnly=no\n",
            "50.conf": "Type=root-verity-sig\n",
            "60.conf": "Type=xbootldr\nSizeMinBytes=4K\n",
        },
    ),
    Case(
        "drop-ins",
        {"10-root.conf": _ROOT},
        drop_ins={"10-root.conf.d/a.conf": "Label=first\nWeight=3\n", "10-root.conf.d/b.conf": "Label=second\n"},
    ),
    Case(
        "merged",
        {
            "10-root.conf": _TREE + "CopyFiles=/usr:/a\nCopyFiles=/opt:/a\n"
            "CopyFiles=/opt/sub:/a/lib/new\nCopyFiles=/usr/bin/tool:/a/link\nCopyFiles=/usr/bin:/opt\n"
            "MakeDirectories=/a/made /opt\nCopyFiles=/opt:/\n"
        },
    ),
    Case("not-first", {"10-home.conf": "Type=home\nSizeMinBytes=64K\n", "20-root.conf": _ROOT}),
    Case("priority", {"10-root.conf": _ROOT + "Priority=5\n"}),
    Case(
        "two-file-systems",
        {
            "10-usr.conf": "Type=usr\nFormat=squashfs\nCopyFiles=/usr:/\nMinimize=best\nVerity=data\nVerityMatchKey=u\n",
            "20-usr.conf": "Type=usr-verity\nVerity=hash\nVerityMatchKey=u\nMinimize=best\n",
            "30-root.conf": _ROOT,
        },
    ),
    Case("unknown-type", {f"{n}.conf": "Type=e6d6d379-f507-44c2-a23c-238f2a3df928\nSizeMinBytes=4K\n" for n in (1, 2)}),
    Case("continued", {"10.conf": "# a comment\n; another\nType=\\\n  home\nLabel = a  b \nSizeMinBytes=4K\n"}),
    Case("unminimized", {"10-root.conf": _WIDE, "20-home.conf": "Type=home\nSizeMinBytes=64K\n"}),
    Case("unminimized-max", {"10-root.conf": _WIDE + "SizeMaxBytes=30M\n"}, 900_000),
    Case(
        "unminimized-verity",
        {"10-root.conf": _WIDE + _VERITY, "20-verity.conf": _HASH.replace("Minimize=best\n", "")},
    ),
    Case("unminimized-two", {"10-usr.conf": _WIDE.replace("root", "usr").replace("/usr", "/usr:/"), "20-root.conf": _WIDE}),
    Case(
        "split",
        {
            "10-root.conf": _ROOT + _VERITY + "SplitName=%t\n",
            "20-verity.conf": _HASH + "SplitName=%T.%n%%\n",
            "30-sig.conf": _SIGNATURE + "SplitName=sig-%t\n",
            "40-home.conf": "Type=home\nSizeMinBytes=64K\nSizeMaxBytes=64K\n",
            "50-usr.conf": _WIDE.replace("root", "usr") + "SizeMinBytes=2M\nSplitName=%U\n",
        },
        arguments=("--private-key=@key", "--certificate=@cert", "--split=yes"),
    ),
    Case("split-without-names", {"10-root.conf": _ROOT}, arguments=("--split=yes",)),
    Case(
        "deferred",
        {f"{number}.conf": f"Type={kind}\nSizeMaxBytes=1M\n" for number, kind in enumerate(("root", "home", "srv", "var"))},
        arguments=("--defer-partitions=home",),
    ),
    Case(
        "deferred-first", {"1.conf": _ROOT, "2.conf": "Type=home\nSizeMinBytes=64K\n"}, arguments=("--defer-partitions=root",)
    ),
    Case(
        "columns",
        {"1.conf": "Type=home\nLabel=\nX-Foo=bar\n", "2.conf": "\ufeff[Partition]\nType=srv\nLabel=a\\\n b\n"},
        drop_ins={"1.conf.d/x.conf": "SizeMinBytes=64K\n"},
    ),
    Case("absent", {"10-root.conf": _TREE + "CopyFiles=/usr\nCopyFiles=/nope:/a/b\nCopyFiles=/no:/usr/lib/x\n"}),
    Case("compression", {"10-root.conf": _ROOT + "Compression=zstd\nCompressionLevel=3\n"}),
)


def program(version: str) -> Path | None:
    """Return the systemd-repart of a version that `tools/oracles newest` unpacked, None where it is not there."""
    place = os.environ.get("IMGCORE_NEWEST_ORACLES") or str(Path(__file__).resolve().parents[2] / ".oracles")
    found = Path(place, "bin" if version == "262" else "trixie/bin", "systemd-repart")
    return found if found.exists() else None


def shipped(kind: str, version: str) -> Path:
    """Return the directory of the definitions behind --make-ddi, which systemd-repart looks for in the system only."""
    found = program(version)
    assert found is not None
    return found.parent.parent / f"root/usr/lib/systemd/repart/definitions/{kind}.repart.d"


def make_tree(top: Path, size: int) -> Path:
    """Make a small system with all that a squashfs can hold and everybody may make."""
    tree = top / "tree"
    for name in ("usr/lib/extension-release.d", "usr/bin", "opt/sub", "tmp/not", "etc"):
        (tree / name).mkdir(parents=True)
    for name in ("disk", "theirs", "hello"):
        (tree / f"usr/lib/extension-release.d/extension-release.{name}").write_text("ID=_any\n")
    (tree / "usr/lib/os-release").write_text("ID=tester\nVERSION_ID=12\n")
    block = bytes(range(256)) * 16
    state = int.from_bytes(os.urandom(8), "little") | 1
    data = bytearray()
    while len(data) < size:  # random enough not to become small
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        data += state.to_bytes(8, "little")
    (tree / "usr/bin/big").write_bytes(bytes(data[:size]) + block)
    (tree / "usr/bin/tool").write_text("#!/bin/sh\n")
    (tree / "usr/bin/tool").chmod(0o4755)
    os.link(tree / "usr/bin/tool", tree / "usr/lib/tool-link")
    os.symlink("../bin/tool", tree / "usr/lib/link")
    (tree / "opt/sub/file").write_text("x" * 5000)
    (tree / "tmp/not/copied").write_text("x")
    (tree / "opt").chmod(0o711)
    (tree / "opt/sub").chmod(0o700)
    for path in sorted(tree.rglob("*"), reverse=True):
        os.utime(path, (900_000_000, 900_000_000), follow_symlinks=False)
    return tree


def make_keys(top: Path) -> tuple[Path, Path]:
    """Make a private key and its certificate with openssl."""
    key, cert = top / "k.pem", top / "c.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "3650"]
    subprocess.run([*command, "-subj", "/CN=test"], check=True, capture_output=True)
    return key, cert


def write_definitions(case: Case, top: Path) -> Path:
    """Write the files of a case."""
    place = top / "definitions"
    for name, text in {**case.files, **case.drop_ins}.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if "[Partition]" in text else f"[Partition]\n{text}")
    return place


def _environment(**more: str) -> dict[str, str]:
    found = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "SYSTEMD_LOG_LEVEL": "err", **more}
    root = str(Path(__file__).resolve().parents[2])
    return {**found, "PYTHONPATH": os.pathsep.join(part for part in (root, found.get("PYTHONPATH", "")) if part)}


def run_theirs(version: str, dest: Path, arguments: list[str], shims: Path, **more: str) -> str:
    """Run systemd-repart; return its JSON."""
    found = program(version)
    assert found is not None
    command = [
        found,
        "--empty=create",
        "--size=auto",
        f"--seed={SEED}",
        "--dry-run=no",
        "--json=pretty",
        "--offline=yes",
        "--no-pager",
    ]
    path = f"{shims}:{os.environ['PATH']}"
    done = subprocess.run(
        [*map(str, command), *arguments, str(dest)], capture_output=True, text=True, env=_environment(PATH=path, **more)
    )
    if done.returncode:
        raise AssertionError(f"systemd-repart {version} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def run_ours(words: list[str], **more: str) -> str:
    """Run imgcore; return what it printed."""
    done = subprocess.run([sys.executable, "-m", "imgcore", *words], capture_output=True, text=True, env=_environment(**more))
    if done.returncode:
        raise AssertionError(f"imgcore {' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def compare(case: Case, version: str, top: Path) -> None:
    """Build the disk of a case by both; raise AssertionError where a byte or the JSON differs."""
    tree, definitions = make_tree(top, case.size), write_definitions(case, top)
    shims = top / "shims"
    install(shims)
    arguments = list(case.arguments)
    if any("@" in one for one in arguments):
        key, cert = make_keys(top)
        arguments = [one.replace("@key", str(key)).replace("@cert", str(cert)) for one in arguments]
    theirs, ours = top / "theirs.raw", top / "ours.raw"
    said = run_theirs(version, theirs, [f"--definitions={definitions}", f"--root={tree}", *arguments], shims)
    words = ["repart", "--definitions", str(definitions), "--root", str(tree), "--seed", SEED, "--systemd", version]
    own = run_ours([*words, "--json-style", "pretty", *arguments, str(ours)])
    require_equal(theirs, ours)
    for part in top.glob("theirs.*.raw"):
        require_equal(part, top / part.name.replace("theirs.", "ours."))
    assert len(list(top.glob("theirs.*.raw"))) == len(list(top.glob("ours.*.raw")))
    one, two = json.loads(own.replace(f"{top}/ours.", f"{top}/theirs.").replace("ours.raw", "theirs.raw")), json.loads(said)
    if one != two:
        raise AssertionError(f"JSON differs: ours {one}, theirs {two}")


def compare_ddi(kind: str, signed: bool, version: str, top: Path) -> None:
    """Build a DDI by `systemd-repart --make-ddi` and by `imgcore ddi build`; raise AssertionError where a byte differs."""
    tree = make_tree(top, 300_000)
    for name in ("extension-release.hello", "extension-release.theirs"):
        place = tree / "etc/extension-release.d"
        place.mkdir(exist_ok=True)
        (place / name).write_text("ID=_any\n")
    shims = top / "shims"
    install(shims)
    key, cert = make_keys(top)
    theirs, ours = top / "theirs.raw", top / "hello.raw"
    squashfs = {"SYSTEMD_REPART_OVERRIDE_FSTYPE_ROOT": "squashfs"}
    keys = [f"--private-key={key}", f"--certificate={cert}"]
    extra = [] if signed else ["--exclude-partitions=root-verity-sig"]
    run_theirs(
        version,
        theirs,
        [f"--definitions={shipped(kind, version)}", f"--copy-source={tree}", *(keys if signed else []), *extra],
        shims,
        **squashfs,
    )
    words = ["ddi", "build", str(tree), "-o", str(ours), "--kind", kind, "--seed", SEED, "--systemd", version]
    words += ["-c", "gzip:9", "-O", "fragments=small", "--owner", "keep", "--exclude", "/tmp/*"]
    run_ours([*words, *(["--key", str(key), "--cert", str(cert)] if signed else ["--verity"])])
    made = top / "made.raw"
    words = ["repart", "--make-ddi", kind, "--copy-source", str(tree), "--seed", SEED, "--systemd", version, *extra]
    run_ours([*words, *(keys if signed else []), str(made)], **squashfs)
    require_equal(theirs, made)
    require_equal(theirs, ours)


def require_equal(theirs: Path, ours: Path) -> None:
    """Raise AssertionError for the first byte that differs."""
    one, two = theirs.read_bytes(), ours.read_bytes()
    if one != two:
        at = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        raise AssertionError(f"byte {at}: theirs has {len(one)} bytes, ours {len(two)}")
