"""The examples that are extensions: built as they stand, taken by systemd, merged by it to what we said before."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from imgcore.hosts import scan
from tests.kit.oracles import missing, run, tool
from tests.kit.repart import SEED, VERSIONS, program, run_ours
from tests.kit.sysext import Job, Root, ask
from tests.oracle.test_sysext import check

pytestmark = pytest.mark.oracle

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def build(name: str, tmp_path: Path) -> Path:
    """Build an example in a directory of its own; return where its outputs are."""
    place = tmp_path / name
    shutil.copytree(EXAMPLES / name, place, symlinks=True, ignore=shutil.ignore_patterns("mkosi.output"))
    run_ours(["mkosi", "-C", str(place), "--allow-scripts", "--seed", SEED])
    return place / "mkosi.output"


def accepted(image: Path) -> None:
    """Have systemd-dissect 257 and 262 look at an image."""
    for version in VERSIONS:
        found = program(version)
        if found is None:
            missing(f"systemd {version} was not unpacked by tools/oracles newest")
        done = subprocess.run([found.with_name("systemd-dissect"), "--validate", image], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr


def merged(root: Root, tmp_path: Path) -> None:
    """Have systemd 257 and 262 merge what is in a root, and compare with what we say."""
    tree = scan(root.path)
    for answer, version in zip(
        ask([Job(root.path, version) for version in (257, 262)], tmp_path / "scratch"), (257, 262), strict=True
    ):
        assert answer.names == sorted(path.stem for path in root.extensions.iterdir())
        assert list(check(root, tree, version, [], answer)) == []


def test_kubectl(tmp_path: Path) -> None:
    output = build("kubectl-sysext", tmp_path)
    image = output / "kubectl-3.0.x86-64.raw"
    assert (output / "kubectl-3.0.x86-64").readlink() == Path(image.name)
    (one,) = json.loads(run(tool("sfdisk"), "--json", image).stdout)["partitiontable"]["partitions"]
    assert (one["name"], one["attrs"], one["uuid"]) == ("root-x86-64", "GUID:59", "60F33797-1D71-4DCB-AA6F-20564F036CD0")
    accepted(image)
    root = Root(tmp_path / "host")
    shutil.copy(image, root.extensions)
    merged(root, tmp_path)


def test_tools(tmp_path: Path) -> None:
    output = build("tools-sysext", tmp_path)
    image = output / "tools-1.0_1.0_x86-64.raw"
    accepted(image)
    base, made = scan(output / "base"), run_ours(["ls", "-R", str(image)]).split()
    assert "/usr/bin/strace" in made and "/usr/lib64/libunwind.so.8" in made
    assert "/usr/bin/grep" not in made and "/usr/lib/os-release" not in made
    assert {path for path in made if path.encode() in base} == {"/", "/usr", "/usr/bin", "/usr/lib", "/usr/lib64"}
    root = Root(tmp_path / "host")
    shutil.copytree(output / "base", root.path, dirs_exist_ok=True, symlinks=True)
    shutil.copy(image, root.extensions)
    run_ours(["sysext", "lint", str(image), "--host", str(output / "base")])
    merged(root, tmp_path)
