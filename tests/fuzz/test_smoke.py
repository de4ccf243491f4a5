"""The fuzz target of the squashfs reader starts, and twenty seconds of it find nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).with_name("fuzz_squashfs.py")


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_squashfs(tmp_path: Path) -> None:
    subprocess.run([sys.executable, TARGET, "--seeds", tmp_path / "corpus"], check=True, timeout=60)
    options = ["-max_total_time=20", "-timeout=20", "-rss_limit_mb=1024", f"-artifact_prefix={tmp_path}/"]
    done = subprocess.run(
        [sys.executable, TARGET, tmp_path / "corpus", *options], capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "DONE" in done.stderr
