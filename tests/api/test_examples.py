"""The examples run, from the sources in this tree."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

import imgcore

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
HELLO = EXAMPLES / "hello-sysext"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "hello-sysext.raw"
    imgcore.pack(HELLO, path)
    return str(path)


def test_every_example_is_tested() -> None:
    tests = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'load("{path.stem}")' in tests


def test_scan_and_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "one.raw", tmp_path / "two.raw"
    for dest in (one, two):
        load("scan_and_pack").main(str(HELLO), str(dest))
    assert "zstd" in capsys.readouterr().out
    assert one.read_bytes() == two.read_bytes()


def test_list_and_read(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    load("list_and_read").main(image, "/usr/bin/hello")
    assert "hello from a system extension" in capsys.readouterr().out


def test_diff_sources(image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load("diff_sources").main(str(HELLO), image)
    other = tmp_path / "other.raw"
    imgcore.pack(imgcore.exclude(imgcore.scan(HELLO), ["hello"]), other)
    assert not load("diff_sources").main(image, str(other))
    assert "removed /usr/bin/hello" in capsys.readouterr().out


def test_unpack_safely(image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("unpack_safely").main(image, str(tmp_path / "out"))
    assert capsys.readouterr().out.startswith("3 files")
    with pytest.raises(SystemExit, match="TargetExists"):
        load("unpack_safely").main(image, str(tmp_path / "out"))


def test_tree_from_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("tree_from_memory").main().startswith(b"hsqs")
    assert '"link":"/usr/bin/hello"' in capsys.readouterr().out


def test_check_image(image: str, tmp_path: Path) -> None:
    assert load("check_image").main(image)
    cut = tmp_path / "cut.raw"
    cut.write_bytes(Path(image).read_bytes()[:300])
    assert not load("check_image").main(str(cut))


def test_cancel_from_another_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("cancel_from_another_task").main(str(HELLO), str(tmp_path / "a.raw"))
    assert (tmp_path / "a.raw").exists()
    load("cancel_from_another_task").main(str(HELLO), str(tmp_path / "b.raw"), "0")
    if "too slow" in capsys.readouterr().out:
        assert not (tmp_path / "b.raw").exists()


def test_lay_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for name, data in (("a.zip", b"z" * 300_000), ("usr/bin/tool", b"t" * 300_000), ("usr/bin/init", bytes(range(256)) * 2000)):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    (source / "usr/bin/tool").chmod(0o755)
    load("lay_out").main(str(source), str(tmp_path / "o.raw"))
    assert "xz" in capsys.readouterr().out
    raw = (tmp_path / "o.raw").read_bytes()
    assert b"z" * 300_000 in raw  # stored as it is
    with imgcore.open(tmp_path / "o.raw") as image:
        assert isinstance(image.image, imgcore.squashfs.SquashfsImage)
        assert list(imgcore.diff(imgcore.scan(source), image.tree)) == []


def test_change_a_tree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for name in ("etc/motd", "usr/bin/ping", "usr/bin/x.pyc"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"1")
        (source / name).chmod(0o666)
    load("change_a_tree").main(str(source), str(tmp_path / "o.raw"))
    assert capsys.readouterr().out == "2 files, 2 bytes as squashfs\n"
    with imgcore.open(tmp_path / "o.raw") as image:
        assert b"/usr/bin/x.pyc" not in image.tree
        assert image.tree["/etc/motd"].meta.mode == 0o444
        assert set(image.tree["/usr/bin/ping"].meta.xattrs) == {b"security.capability", b"security.selinux"}
        assert isinstance(image.tree["/dev/console"], imgcore.Device)


@pytest.fixture
def without_a_disk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the example, known to the system: pyfakefs changes the modules that it finds there."""
    module = load("test_without_a_disk")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_without_a_disk_with_pyfakefs(without_a_disk: ModuleType, fs: object) -> None:
    without_a_disk.test_build(fs)
