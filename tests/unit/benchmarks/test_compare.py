"""The comparison with mksquashfs runs and writes what it says; how fast anything was is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.kit.oracles import tool

COMPARE = Path(__file__).resolve().parents[3] / "benchmarks" / "compare.py"


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, COMPARE, *arguments], capture_output=True, text=True, check=False, timeout=120)


def test_small_tree(tmp_path: Path) -> None:
    tool("mksquashfs")
    tree, found = tmp_path / "tree", tmp_path / "found.json"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "text").write_bytes(b"text " * 5000)
    done = compare("-n", "2", "-c", "gzip:9", "-c", "lz4", "-j", "1", "--scratch", tmp_path, "--json", found, tree)
    assert done.returncode == 0, done.stderr
    assert f"{tree} gzip:9" in done.stdout
    result = json.loads(found.read_text())
    assert [case["codec"] for case in result["cases"]] == ["gzip:9", "lz4"]
    for case in result["cases"]:
        assert case["content_bytes"] == 25000 and len(case["runs"]) == 2
        assert {
            row["imgcore"] > 0 and row["ratio_min"] <= row["ratio"] <= row["ratio_max"] for row in case["summary"].values()
        } == {True}
        assert case["runs"][0]["imgcore"]["size_mib"] < 0.02
    assert result["mksquashfs"].startswith("mksquashfs") and result["imgcore"]["codecs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "tree"]


def test_failures_are_shown(tmp_path: Path) -> None:
    tool("mksquashfs")
    done = compare("-n", "1", "--scratch", tmp_path, "--imgcore", "sh -c 'echo broken; exit 3'", tmp_path)
    assert done.returncode != 0 and "broken" in done.stderr
    done = compare("-c", "gzip:12", tmp_path)
    assert done.returncode == 2 and "no level of both" in done.stderr
