"""The benchmark runs, verifies, keeps and writes what it says; how fast anything was is not looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgcore.engine import native_available
from tests.kit.oracles import tool

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def run(*arguments: str | Path, ok: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "run.py", *arguments], capture_output=True, text=True, check=False, timeout=240
    )
    assert (done.returncode == 0) == ok, done.stderr
    return done


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "a").mkdir(parents=True)
    (root / "a" / "text").write_bytes(b"text " * 50_000)
    (root / "a" / "random").write_bytes(os.urandom(9000))
    (root / "link").symlink_to("a/text")
    with (root / "hole").open("wb") as stream:
        stream.truncate(3 << 20)
    return root


@pytest.fixture
def place(tmp_path: Path) -> list[str | Path]:
    return ["--corpora", tmp_path / "corpora", "--json", tmp_path / "results.json"]


def cases(tmp_path: Path) -> dict[str, dict[str, object]]:
    told = json.loads((tmp_path / "results.json").read_text())
    assert told["schema"] == 2
    found: dict[str, dict[str, object]] = told["cases"]
    return found


def test_packing(tmp_path: Path, tree: Path, place: list[str | Path]) -> None:
    tool("mksquashfs")
    done = run(*place, "--corpus", tree, "--codecs", "gzip,lz4:12", "--rounds", "2", "-j", "1")
    found = cases(tmp_path)
    assert list(found) == [f"pack {tree} gzip", f"pack {tree} lz4:12"]
    for case in found.values():
        summary, runs = case["summary"], case["runs"]
        assert len(runs) == 2 and runs[0]["ours"]["size_mib"] > 0.008  # type: ignore[arg-type, index]
        assert {row["ratio_min"] <= row["ratio"] <= row["ratio_max"] and row["ours"] > 0 for row in summary.values()} == {True}  # type: ignore[attr-defined]
        assert [how.endswith(": 6 entries equal") for how in case["verified"]] == [True, True]  # type: ignore[attr-defined]
        assert case["measured"]["mksquashfs"].startswith("mksquashfs")  # type: ignore[index]
    assert "lz4:12" in done.stdout and sorted(path.name for path in tmp_path.iterdir()) == ["corpora", "results.json", "tree"]
    assert list((tmp_path / "corpora").iterdir()) == []
    # What is there is left out; a codec alone replaces its own rows.
    stamps = [case["measured"]["date"] for case in found.values()]  # type: ignore[index]
    run(*place, "--corpus", tree, "--codecs", "gzip,lz4:12", "--resume")
    assert [case["measured"]["date"] for case in cases(tmp_path).values()] == stamps  # type: ignore[index]
    run(*place, "--corpus", tree, "--codecs", "lz4:12", "--rounds", "1", "--no-verify")
    assert [case["rounds"] for case in cases(tmp_path).values()] == [2, 1]
    assert "| tree | gzip |" in run(*place, "--show", "--markdown").stdout


def test_a_wrong_image_ends_it(tmp_path: Path, tree: Path, place: list[str | Path]) -> None:
    mksquashfs = tool("mksquashfs")
    broken = tmp_path / "broken"
    changes = 'cp -a "$1" "$1.copy" && echo more >>"$1.copy/a/random"'
    broken.write_text(f'#!/bin/sh\nsource=$1\n{changes}\nshift\nexec {mksquashfs} "$source.copy" "$@"\n')
    broken.chmod(0o755)
    done = run(*place, "--corpus", tree, "--codecs", "gzip", "--mksquashfs", broken, ok=False)
    assert "a/random" in done.stderr and "not what was packed" in done.stderr


def test_unpacking_reads_growth(tmp_path: Path, tree: Path, place: list[str | Path]) -> None:
    tool("mksquashfs")
    tool("unsquashfs")
    run(*place, "--unpack", "--reads", "--corpus", tree, "--codecs", "gzip", "--rounds", "1")
    found = cases(tmp_path)
    assert found[f"unpack {tree} gzip"]["verified"] == ["6 entries equal"] * 2
    assert found[f"reads {tree} gzip"]["rows"][0]["name"] == "imgcore"  # type: ignore[index]
    assert len([name for name in found if name.startswith("startup ")]) == 3


@pytest.mark.skipif(not native_available()[0], reason="the native engine was not built")
def test_the_floor(tmp_path: Path, tree: Path, place: list[str | Path]) -> None:
    tool("mksquashfs")
    tool("cc")
    run(*place, "--floor", "--corpus", tree, "--codecs", "gzip,lz4", "--rounds", "1")
    case = cases(tmp_path)[f"floor {tree} lz4"]
    # One block of `text`, and a fragment of the tails of `text` and `random`; nothing of the hole.
    assert (case["blocks"], case["block_bytes"]) == (2, 250_000 + 9000)
    assert 0.008 < case["runs"][0]["theirs"]["size_mib"] < 0.02  # type: ignore[index]


def test_bad_arguments(tmp_path: Path) -> None:
    tool("mksquashfs")
    for words, message in (
        (["--codecs", "gzip:12"], "no level of both"),
        (["--corpus", "nowhere"], "no such corpus"),
        (["--rounds", "0"], "at least 1"),
        (["--mksquashfs", "/nowhere"], "not installed"),
    ):
        done = subprocess.run([sys.executable, BENCHMARKS / "run.py", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and message in done.stderr


def test_failures_are_shown(tmp_path: Path, tree: Path, place: list[str | Path]) -> None:
    tool("mksquashfs")
    done = run(*place, "--corpus", tree, "--imgcore", "sh -c 'echo broken; exit 3'", ok=False)
    assert "broken" in done.stderr
