from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from bench import corpora, docs, report, scale, synthetic, verify  # type: ignore[import-not-found]  # noqa: E402
from bench.corpora import Corpus  # type: ignore[import-not-found]  # noqa: E402
from bench.measure import fitting  # type: ignore[import-not-found]  # noqa: E402
from bench.results import Results  # type: ignore[import-not-found]  # noqa: E402


def corpus(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, BENCHMARKS / "corpus.py", *arguments], capture_output=True, text=True, check=False)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture
def no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a corpus could be made of; and small corpora."""
    for name in ("programs", "texts", "packages"):
        monkeypatch.setattr(corpora.found, name, lambda: iter(()))
    for name, size in (
        ("BIG", 900_000),
        ("MIXED", 300_000),
        ("DUP", 200_000),
        ("TINY", 100_000),
        ("SMALL_FILES", 60),
        ("SPARSE", 1 << 26),
    ):
        monkeypatch.setattr(corpora, name, size)


@pytest.mark.parametrize("name", ["big", "small", "mixed", "dup", "tiny"])
def test_made_up_where_the_machine_has_nothing(name: str, no_machine: None, tmp_path: Path) -> None:
    roots = [corpora.make(name, tmp_path / place) for place in ("one", "two")]
    first, second = map(contents, roots)
    assert first == second  # from the seed
    told = json.loads((tmp_path / "one" / f"{name}.json").read_text())
    assert told["files"] == len(first) and told["bytes"] >= {"big": 900_000, "small": 10_000}.get(name, 100_000)
    assert told["made_up"] > 0
    if name == "dup":
        changed = [path for path in first if path.startswith("second/") and first[path] != first["first/" + path[7:]]]
        assert len(changed) == 1
    elif name != "tiny":
        assert len(set(first.values())) == len(first)  # no two alike
    (roots[0] / "more").write_bytes(b"")
    assert corpora.make(name, tmp_path / "one") == roots[0] and (roots[0] / "more").exists()  # what is there stays


def test_sparse(no_machine: None, tmp_path: Path) -> None:
    root = corpora.make("sparse", tmp_path)
    disk = (root / "disk-20g.img").stat()
    assert disk.st_size == 1 << 26 and disk.st_blocks * 512 < disk.st_size // 4
    assert (root / "empty-4g.img").stat().st_blocks == 0


def test_packages_are_copied_with_their_metadata(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usr = tmp_path / "usr"
    (usr / "bin").mkdir(parents=True)
    (usr / "bin" / "tool").write_bytes(b"x" * 5000)
    (usr / "bin" / "tool").chmod(0o751)
    (usr / "bin" / "again").hardlink_to(usr / "bin" / "tool")
    (usr / "bin" / "link").symlink_to("tool")
    paths = [str(usr), str(usr / "bin"), *(str(usr / "bin" / name) for name in ("tool", "again", "link", "gone"))]
    monkeypatch.setattr(corpora.found, "packages", lambda: iter([("package", paths)]))
    made = Corpus(tmp_path / "corpus")
    made.root.mkdir()
    corpora.copy_usr(made, 5000)
    assert list(verify.differences(usr, made.root / str(usr).lstrip("/"))) == []
    assert (made.files, made.made_up, made.sources) == (3, 0, ["package"])


@pytest.mark.parametrize("insert", [False, True])
def test_touch(insert: bool, tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}").write_bytes(b"%d" % number * 1000)
    before = contents(tmp_path)
    words: list[str | Path] = ["--touch", "1%", tmp_path, *(["--insert"] if insert else [])]
    assert "2 files changed" in corpus(*words).stdout
    after = contents(tmp_path)
    changed = {path for path in before if before[path] != after[path]}
    assert len(changed) == 2
    corpus(*words)
    assert {path for path in before if after[path] != contents(tmp_path)[path]} == changed  # the same files, changed again
    corpus(*words, "--seed", "7")
    assert {path for path in before if before[path] != contents(tmp_path)[path]} > changed


def test_bad_arguments(tmp_path: Path) -> None:
    for words, message in (
        (["--touch", "0%", tmp_path], "no share"),
        (["--touch", "1%", tmp_path / "nowhere"], "no directory"),
        (["--touch", "1%"], "needs a directory"),
        (["huge"], "no such corpus"),
    ):
        done = corpus(*words)  # type: ignore[arg-type]
        assert done.returncode == 2 and message in done.stderr


def test_what_verifying_finds(tmp_path: Path) -> None:
    def made(name: str) -> Path:
        root = tmp_path / name
        (root / "d").mkdir(parents=True)
        (root / "d" / "f").write_bytes(bytes(3 << 20) + b"end")
        (root / "l").symlink_to("d")
        for path in (root / "d" / "f", root / "d", root):
            corpora.os.utime(path, (5, 5))
        corpora.os.utime(root / "l", (5, 5), follow_symlinks=False)
        return root

    source, same, other = made("source"), made("same"), made("other")
    assert list(verify.differences(source, same)) == []
    with (other / "d" / "f").open("r+b") as stream:
        stream.seek(2 << 20)
        stream.write(b"1")
    corpora.os.utime(other / "d" / "f", (5, 5))
    assert list(verify.differences(source, other)) == ["d/f: has other content"]
    (other / "d" / "f").chmod(0o600)
    (other / "more").write_bytes(b"")
    (other / "l").unlink()
    assert list(verify.differences(source, other)) == [
        "l: only in the source",
        "more: only in the image",
        "d/f: mode 100644 became 100600",
    ]
    with pytest.raises(SystemExit):
        verify.require_equal(source, other, "image")


def test_lines_through_points() -> None:
    found = scale.fit([(10_000, 0.3), (100_000, 1.2), (1_000_000, 10.2)])
    assert found["per_million"] == pytest.approx(10) and found["at_0"] == pytest.approx(0.2)
    assert found["r2"] == pytest.approx(1) and abs(found["worst"]) < 1e-9
    assert abs(scale.fit([(1, 1), (2, 4), (3, 9)])["worst"]) > 0.1


def test_rounds() -> None:
    assert [fitting(seconds) for seconds in (0, 0.1, 5, 9, 15, 16, 90)] == [7, 7, 6, 3, 3, 1, 1]


def test_made_up_text_and_binaries_shrink() -> None:
    import random
    import zlib

    source = random.Random(1)
    text = synthetic.text(source, synthetic.words(source, 1000), 50_000)
    binary = synthetic.binary(source, 50_000)
    assert len(text) >= 50_000 == len(binary)
    assert 0.1 < len(zlib.compress(text)) / len(text) < 0.6 and 0.3 < len(zlib.compress(binary)) / len(binary) < 0.9


def test_docs(tmp_path: Path) -> None:
    row = {"ours": 1.0, "theirs": 2.0, "ratio_min": 0.4, "ratio": 0.5, "ratio_max": 0.6}
    measures = {name: dict(row) for name in ("wall_s", "cpu_s", "peak_mib", "size_mib")}
    case = {"kind": "pack", "corpus": "small", "codec": "lz4", "summary": measures, "rounds": 3, "runs": []}
    case |= {
        "commands": ["/x/python -m imgcore pack", "/y/mksquashfs a"],
        "verified": ["mounted by the kernel: 5 entries equal"],
    }
    case |= {"corpus_holds": {"files": 5, "bytes": 10, "made_up": 0}}
    machine = {
        "processor": "P",
        "processors": 2,
        "memory_mib": 2048,
        "kernel": "6",
        "python": "3",
        "commit": "c",
        "date": "2026-01-02T",
    }
    results = Results(tmp_path / "results.json")
    results.put("pack small lz4", case, {**machine, "mksquashfs": "mksquashfs version 4", "imgcore": {}})
    page = tmp_path / "page.md"
    page.write_text(f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n")
    docs.write(Results(tmp_path / "results.json"), page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| small | lz4 | 1.00 | 2.00 | 0.50 (0.40-0.60) | 0.50 |" in text and "| met |" in text
    assert "python -m imgcore pack" in text and "/x/" not in text
    case["summary"]["wall_s"]["ratio"] = 0.51  # type: ignore[index]
    case["summary"]["size_mib"]["ratio"] = 1.0001  # type: ignore[index]
    assert report.pack_table([case])[2][0][-1] == "missed: time, size"
    page.write_text("no place")
    with pytest.raises(SystemExit):
        docs.write(results, page)
