"""Disks by systemd-repart 257 and 262 and by us: the same to the byte; and what other programs say of ours."""

from __future__ import annotations

import base64
import json
import subprocess
import uuid
from pathlib import Path

import pytest

from imgcore.blob import FileBlob
from imgcore.build.ddi import DdiSettings, build_ddi
from imgcore.build.ddi_read import read_ddi
from imgcore.build.signing import load_signer
from tests.kit.oracles import missing, run, tool
from tests.kit.repart import CASES, VERSIONS, Case, compare, compare_ddi, make_keys, make_tree, program

pytestmark = pytest.mark.oracle


def _needs(version: str) -> None:
    if program(version) is None:
        missing(f"systemd-repart {version} was not unpacked by tools/oracles newest")
    tool("openssl")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_disk(case: Case, version: str, tmp_path: Path) -> None:
    _needs(version)
    compare(case, version, tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("kind", ["sysext", "confext", "portable"])
def test_the_same_ddi(kind: str, signed: bool, version: str, tmp_path: Path) -> None:
    _needs(version)
    compare_ddi(kind, signed, version, tmp_path)


def _split(tmp_path: Path, size: int, *, signed: bool = False, sector: int = 512) -> tuple[Path, str]:
    """Make a DDI and its partitions; return its path and the root hash."""
    tree = make_tree(tmp_path, size)
    signer = load_signer(*make_keys(tmp_path)) if signed else None
    dest = tmp_path / "hello.raw"
    report = build_ddi(tree, dest, DdiSettings(verity=True, signer=signer, split=True, sector=sector, seed=uuid.UUID(int=5)))
    assert report.root is not None
    return dest, report.root.hex()


@pytest.mark.parametrize("size", [20_000, 5_000_000])
def test_veritysetup_agrees(size: int, tmp_path: Path) -> None:
    veritysetup = tool("veritysetup")
    dest, root = _split(tmp_path, size)
    data, area = (dest.with_name(f"hello.root-x86-64{suffix}.raw") for suffix in ("", "-verity"))
    run(veritysetup, "verify", data, area, root)
    with FileBlob(dest) as blob:
        (one,) = read_ddi(blob).info()["verity"]  # type: ignore[misc]
    for path, at in ((data, 0), (data, (int(one["data_blocks"]) - 1) * 4096 + 4095), (area, 4096), (area, 4096 + 31)):  # type: ignore[index]
        changed = bytearray(path.read_bytes())
        changed[at] ^= 0x10
        path.write_bytes(changed)
        assert run(veritysetup, "verify", data, area, root, ok=False).returncode != 0
        changed[at] ^= 0x10
        path.write_bytes(changed)


@pytest.mark.parametrize("blocks", [1, 2, 127, 128, 129, 128 * 128 + 1])
def test_the_same_tree_as_veritysetup(blocks: int, tmp_path: Path) -> None:
    from imgcore.disk.verity import VerityOptions, hash_tree

    veritysetup = tool("veritysetup")
    data, area = tmp_path / "data", tmp_path / "area"
    with open(data, "wb") as file:
        file.write(b"x" * 4096)
        file.truncate(blocks * 4096)
    guid = uuid.UUID(int=77)
    for options in (
        VerityOptions(b"salt", guid),
        VerityOptions(b"", guid, "sha512"),
        VerityOptions(b"s" * 256, guid, "sha1", 1024, 2048),
        VerityOptions(b"salt", guid, hash_type=0),
    ):
        area.unlink(missing_ok=True)
        words = [
            "--salt",
            options.salt.hex() or "-",
            "--uuid",
            str(guid),
            "--hash",
            options.algorithm,
            "--format",
            options.hash_type,
        ]
        words += ["--data-block-size", options.data_block, "--hash-block-size", options.hash_block]
        said = run(veritysetup, "format", data, area, *map(str, words)).stdout
        with FileBlob(data) as blob:
            made = hash_tree(blob, options, jobs=2)
        assert f"Root hash:      \t{made.root.hex()}" in said
        assert made.area == area.read_bytes()


def test_openssl_agrees_with_the_signature(tmp_path: Path) -> None:
    dest, root = _split(tmp_path, 100, signed=True)
    (tmp_path / "root.txt").write_text(root)
    said = json.loads(dest.with_name("hello.root-x86-64-verity-sig.raw").read_bytes().rstrip(b"\0"))
    (tmp_path / "sig").write_bytes(base64.b64decode(said["signature"]))
    assert (tmp_path / "sig").read_bytes() == dest.with_name("hello.roothash.p7s").read_bytes()
    command = [
        tool("openssl"),
        "smime",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        tmp_path / "sig",
        "-content",
        tmp_path / "root.txt",
    ]
    run(*command, "-certfile", tmp_path / "c.pem", "-nointern", "-noverify")
    (tmp_path / "root.txt").write_text(root.replace(root[0], "f" if root[0] != "f" else "0"))
    assert run(*command, "-certfile", tmp_path / "c.pem", "-nointern", "-noverify", ok=False).returncode != 0


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("size", [100, 5_000_000])
def test_partition_programs_have_nothing_to_say(signed: bool, size: int, tmp_path: Path) -> None:
    dest, root = _split(tmp_path, size, signed=signed)
    assert "No errors detected." in run(tool("sfdisk"), "--verify", dest).stdout
    assert "No problems found." in run(tool("sgdisk"), "-v", dest).stdout
    table = json.loads(run(tool("sfdisk"), "--json", dest).stdout)["partitiontable"]
    assert [one["name"] for one in table["partitions"]][:2] == ["root-x86-64", "root-x86-64-verity"]
    assert "".join(one["uuid"] for one in table["partitions"][:2]).replace("-", "").lower() == root
    for path in dest.parent.glob("hello.ro*"):
        path.unlink()  # systemd looks at what lies beside an image
    for version in VERSIONS:
        found = program(version)
        if found is None:
            missing(f"systemd {version} was not unpacked by tools/oracles newest")
        policy = "--image-policy=root=signed" if signed else "--image-policy=root=verity"
        done = subprocess.run([found.with_name("systemd-dissect"), "--validate", policy, dest], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
