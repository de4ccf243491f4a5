"""The program as a process: signals, pipes, streams that are closed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imgcore.build.pack import pack
from imgcore.model import tree

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, "-m", "imgcore"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def run(*arguments: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, env=ENVIRONMENT, timeout=60, **more)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A tree that takes seconds to compress: hexadecimal digits shrink, so no block is stored without trying."""
    (tmp_path / "big").mkdir()
    for number in range(6):
        with open(tmp_path / "big" / f"{number}", "wb") as file:
            for _ in range(24):
                file.write(os.urandom(1 << 18).hex().encode() * 2)
    return tmp_path / "big"


def left_in(path: Path) -> list[str]:
    return sorted(child.name for child in path.iterdir() if child.name != "big")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("engine", ["auto", "pure"])
def test_a_signal_ends_pack_and_leaves_no_file(big: Path, tmp_path: Path, number: int, code: int, engine: str) -> None:
    command = [*PROGRAM, "pack", "-c", "xz:9", "--engine", engine, "--progress", "json", str(big), str(tmp_path / "o.raw")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "plan"
        time.sleep(0.2)
        started = time.monotonic()
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(timeout=30) == code, rest
    assert time.monotonic() - started < 5
    assert b"Traceback" not in rest
    assert left_in(tmp_path) == []


def test_an_interruption_as_json(big: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "pack", "-c", "xz:9", "--json", "--progress", "json", str(big), str(tmp_path / "o.raw")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        events = [json.loads(line) for line in process.stderr]
        assert process.wait(timeout=30) == 130
    assert {"event": "error", "schema": 1, "kind": "Cancelled", "exit": 130}.items() <= events[-1].items()


def test_a_signal_ends_unpack_and_leaves_whole_files_only(big: Path, tmp_path: Path) -> None:
    pack(big, tmp_path / "o.raw")
    command = [*PROGRAM, "unpack", "-j", "2", "--progress", "json", str(tmp_path / "o.raw"), str(tmp_path / "u")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) in (143, 0)
    for path in (tmp_path / "u").iterdir():
        assert path.read_bytes() == (big / path.name).read_bytes()


def test_an_older_image_survives_a_signal(big: Path, tmp_path: Path) -> None:
    (tmp_path / "o.raw").write_bytes(b"old")
    command = [*PROGRAM, "pack", "-c", "xz:9", "--force", "--progress", "json", str(big), str(tmp_path / "o.raw")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert (tmp_path / "o.raw").read_bytes() == b"old"
    assert left_in(tmp_path) == ["o.raw"]


def test_a_signal_while_waiting_for_standard_input(tmp_path: Path) -> None:
    command = [*PROGRAM, "pack", "-", str(tmp_path / "o.raw")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert left_in(tmp_path) == []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pack(tree({f"/{number:05}": b"x" * 100 for number in range(5000)}), tmp_path / "o.raw")
    return tmp_path / "o.raw"


@pytest.mark.parametrize("verb", ["ls -R", "manifest", "ls -l --json"])
def test_a_reader_that_goes_away(image: Path, verb: str) -> None:
    # A pipe of one page: the shortest listing (35 KB) fits whole into the 64 KiB of an ordinary one.
    command = [*PROGRAM, *verb.split(), str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, pipesize=4096) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr.read() == b""


def test_a_reader_of_an_image_that_goes_away(big: Path) -> None:
    command = [*PROGRAM, "pack", "-q", "-c", "none", "--format", "squashfs", str(big), "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 141
        assert process.stderr.read() == b""


def test_a_full_device(image: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*PROGRAM, "ls", image], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT, timeout=60)
    assert result.returncode == 6
    assert result.stderr.startswith(b"error: ") and b"Traceback" not in result.stderr


def test_no_standard_output_at_all(image: Path) -> None:
    result = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *PROGRAM, "ls", str(image)], capture_output=True, env=ENVIRONMENT, timeout=60
    )
    assert result.returncode == 6
    assert b"Traceback" not in result.stderr


def test_pipes(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_bytes(b"hello")
    packed = run("pack", "--format", "squashfs", "--json", tmp_path / "s", "-")
    assert packed.returncode == 0 and packed.stdout[:4] == b"hsqs"
    assert json.loads(packed.stderr.splitlines()[-1])["event"] == "summary"
    assert run("pack", tmp_path / "s", "-").returncode == 2
    assert run("cat", "-", "/f", input=packed.stdout).stdout == b"hello"
    assert run("pack", "-q", "-", tmp_path / "o.raw", input=packed.stdout).returncode == 0
    assert run("diff", tmp_path / "s", tmp_path / "o.raw").returncode == 0
    assert run("ls", "-", input=b"nonsense").returncode == 3


def test_text_of_any_locale(image: Path, tmp_path: Path) -> None:
    pack(tree({"/\u20ac": b"1"}), tmp_path / "euro.raw")
    for locale in ("C", "C.UTF-8", "POSIX"):
        environment = {**ENVIRONMENT, "LC_ALL": locale, "PYTHONIOENCODING": "ascii" if locale == "POSIX" else "utf-8"}
        result = subprocess.run([*PROGRAM, "ls", tmp_path / "euro.raw"], capture_output=True, env=environment, timeout=60)
        assert result.returncode == 0
        assert result.stdout in ("\u20ac\n".encode(), b"\\u20ac\n")


def test_same_bytes_whatever_the_surroundings(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for name in ("b", "a", "\xe9", "B"):
        (tmp_path / "s" / name).write_bytes(name.encode() * 100)
    images = set()
    for number, (zone, locale, seed) in enumerate([("UTC", "C", "1"), ("Asia/Tokyo", "C.UTF-8", "2")]):
        environment = {**ENVIRONMENT, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed}
        dest = tmp_path / f"{number}.raw"
        subprocess.run(
            [*PROGRAM, "pack", "-q", tmp_path / "s", dest], check=True, env=environment, timeout=60, umask=number * 0o77
        )
        images.add(dest.read_bytes())
    assert len(images) == 1


def test_plain_progress(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_bytes(b"hello")
    result = run("pack", "--progress", "plain", tmp_path / "s", tmp_path / "o.raw")
    assert b"pack: 1/1 files, 5 B of 5 B" in result.stderr
    result = run("unpack", "--progress", "json", "-q", tmp_path / "o.raw", tmp_path / "u")
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert [event["event"] for event in events] == ["plan", "progress"]
    assert events[1]["path"] == "/f" and events[1]["files_total"] == 1


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    import pty

    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "f").write_bytes(b"hello")
    master, slave = pty.openpty()
    with subprocess.Popen([*PROGRAM, "pack", tmp_path / "s", tmp_path / "o.raw"], stderr=slave, env=ENVIRONMENT) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert process.wait(timeout=30) == 0
    os.close(master)
    assert b"packed" in shown
    on_terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    with_terminal = subprocess.run(
        [sys.executable, "-c", on_terminal, *PROGRAM, "pack", "--format", "squashfs", tmp_path / "s", "-"],
        capture_output=True,
        env=ENVIRONMENT,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert with_terminal.returncode == 2
    assert b"terminal" in with_terminal.stdout


def test_starting_is_quick_and_draws_on_nothing() -> None:
    code = (
        "import sys, imgcore.cli.main as m; m.run(['--version']);"
        "print([x for x in sys.modules if x.startswith(('rich', 'imgcore.')) and not x.startswith('imgcore.cli')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=True).stdout
    assert out.splitlines()[1] == "[]"
    taken = []
    for _ in range(3):
        started = time.monotonic()
        assert run("--version").stdout.startswith(b"imgcore ")
        taken.append(time.monotonic() - started)
    assert min(taken) < 1  # a tenth of that on an idle machine


def test_shell_completion() -> None:
    environment = {**ENVIRONMENT, "_IMGCORE_COMPLETE": "bash_complete", "COMP_WORDS": "imgcore un", "COMP_CWORD": "1"}
    result = subprocess.run(PROGRAM, capture_output=True, text=True, env=environment, timeout=60)
    assert "plain,unpack" in result.stdout
    environment["_IMGCORE_COMPLETE"] = "bash_source"
    assert "_imgcore_completion" in subprocess.run(PROGRAM, capture_output=True, text=True, env=environment, timeout=60).stdout
