"""What the flags of `pack` made, seen by the kernel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imgcore.hosts import scan
from tests.conftest import Cli
from tests.kit.oracles import differences, host_records, missing, mounted, run, tool, tree_records

pytestmark = pytest.mark.oracle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "ping").write_bytes(b"#!/bin/sh\n" * 500)
    (path / "etc").mkdir()
    (path / "etc" / "conf").write_bytes(b"c")
    return path


@pytest.mark.usefixtures("needs_root")
def test_getcap_and_getfattr(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    image, at = tmp_path / "o.raw", tmp_path / "mnt"
    (tmp_path / "dump").write_bytes(b'# file: etc/conf\nuser.from="a dump"\n')
    contexts = tmp_path / "file_contexts"
    contexts.write_text("/.* system_u:object_r:all_t:s0\n")
    flags = ["--cap", "ping=cap_net_raw=ep", "--set-xattr", "/etc/=user.set=1", "--xattr-file", tmp_path / "dump"]
    result = imgcore_cli("pack", *flags, "--selinux", contexts, "--pseudo", "etc/more s 777 0 0 x", source, image)
    assert result.code == 0, result.err
    getcap, getfattr = tool("getcap"), tool("getfattr")
    with mounted(image, at) as taken:
        assert taken
        assert run(getcap, "-r", at).stdout == f"{at}/bin/ping cap_net_raw=ep\n"
        shown = subprocess.run([getfattr, "-Rhdm-", "."], cwd=at, capture_output=True, text=True, check=True).stdout
        assert '# file: etc/conf\nsecurity.selinux="system_u:object_r:all_t:s0"\nuser.from="a dump"\n' in shown
        assert 'user.set="1"' in shown
        assert '# file: etc/more\nsecurity.selinux="system_u:object_r:all_t:s0"' in shown


@pytest.mark.usefixtures("needs_root")
def test_mounted_at_an_offset(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    disk, at = tmp_path / "disk.img", tmp_path / "mnt"
    disk.write_bytes(b"b" * (1 << 20))
    assert imgcore_cli("pack", "--format", "squashfs", "--offset", "1M", source, disk).code == 0
    assert disk.read_bytes()[: 1 << 20] == b"b" * (1 << 20)
    at.mkdir()
    done = run("mount", "-t", "squashfs", "-o", "loop,ro,offset=1048576", disk, at, ok=False)
    if "loop device" in done.stderr:
        missing(done.stderr)
    assert done.returncode == 0, done.stderr
    try:
        assert differences(host_records(source), host_records(at), ignore=("links", "group")) == []
    finally:
        run("umount", at)


@pytest.mark.usefixtures("needs_root")
def test_onto_a_block_device(source: Path, tmp_path: Path, imgcore_cli: Cli) -> None:
    backing = tmp_path / "backing"
    backing.write_bytes(b"d" * (1 << 20))
    done = run("losetup", "--find", "--show", backing, ok=False)
    if done.returncode:
        missing(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        for offset in ([], ["--offset", "64K"]):
            refused = imgcore_cli("pack", "--format", "squashfs", *offset, source, device)
            assert refused.code == 2
            assert "--force" in refused.err
            result = imgcore_cli("pack", "--format", "squashfs", "--verify", "--force", *offset, source, device)
            assert result.code == 0, result.err
        small = imgcore_cli("pack", "--format", "squashfs", "--force", "--offset", "1M", source, device)
        assert small.code == 6, small.err
    finally:
        run("losetup", "-d", device)
    data = backing.read_bytes()
    assert len(data) == 1 << 20
    assert data[:4] == data[65536:65540] == b"hsqs"
    assert data[-4096:] == b"d" * 4096
    with mounted(backing, tmp_path / "mnt") as taken:
        assert taken
        assert differences(tree_records(scan(source)), host_records(tmp_path / "mnt"), ignore=("links", "group")) == []
    assert os.path.exists(backing)
