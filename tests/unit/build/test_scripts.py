"""Scripts of a user on a tree: what they see, what becomes of what they do, how they fail; with and without root."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgcore.build.scratch import discard
from imgcore.build.scripts import Bind, Surroundings, output_of, run_script
from imgcore.errors import Cancelled, SourceError, Unsupported
from imgcore.events import Control
from imgcore.model import Device, Dir, File, Symlink, Tree, char_device, directory, file, symlink, tree
from tests.conftest import NOBODY

OLD = 1_600_000_000 * 10**9


def sample() -> Tree:
    linked = file("linked", mtime_ns=OLD)
    return tree(
        {
            "/usr": directory(mode=0o555, mtime_ns=OLD),
            "/usr/bin": directory(mtime_ns=OLD),
            "/usr/bin/kept": file("kept", mode=0o4755, uid=7, gid=8, mtime_ns=OLD),
            "/usr/bin/edited": file("old", mode=0o640, uid=7, mtime_ns=OLD + 5),
            "/usr/bin/gone": file("x", mtime_ns=OLD),
            "/usr/bin/l1": linked,
            "/usr/bin/l2": linked,
            "/usr/bin/link": symlink("kept", mtime_ns=OLD),
            "/usr/null": char_device(1, 3, mode=0o666, mtime_ns=OLD),
        }
    )


@pytest.fixture
def scratch() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="imgcore-test-"))
    place.chmod(0o755)
    yield place
    discard(place)


def script(place: Path, text: str) -> Path:
    path = place / "do.sh"
    path.write_text("#!/bin/sh\nset -e\n" + text)
    path.chmod(0o755)
    return path


def run(scratch: Path, text: str, start: Tree | None = None, **around: object) -> Tree:
    surroundings = Surroundings(**{"environment": {}, "directory": "/", **around})  # type: ignore[arg-type]
    made = run_script(start or sample(), script(scratch, text), scratch, surroundings, ["final"])
    assert made is not None
    return made


def content(found: Tree, path: str) -> bytes:
    node = found[path]
    assert isinstance(node, File)
    return node.content.read_at(0, node.content.size)


def test_what_is_done_is_read_back(scratch: Path) -> None:
    start = sample()
    made = run(
        scratch,
        "cd /buildroot/usr/bin; echo new > added; echo new > edited; rm gone; ln -s x y\n"
        "mkdir -p d/e; ln added hard; chmod 4711 added",
        start,
    )
    assert made["/usr/bin/kept"] is start["/usr/bin/kept"]
    assert made["/usr/null"].meta == start["/usr/null"].meta
    assert isinstance(made["/usr/null"], Device)
    assert made["/usr"].meta == start["/usr"].meta
    assert content(made, "/usr/bin/edited") == b"new\n"
    edited = made["/usr/bin/edited"].meta
    assert (edited.mode, edited.uid, edited.gid, edited.mtime_ns) == (0o640, 7, 0, OLD + 5)
    assert "/usr/bin/gone" not in made
    assert isinstance(made["/usr/bin/y"], Symlink)
    assert isinstance(made["/usr/bin/d/e"], Dir)
    assert made["/usr/bin/added"] is made["/usr/bin/hard"]
    assert made["/usr/bin/added"].meta.mode == 0o4711
    assert (made["/usr/bin/added"].meta.uid, made["/usr/bin/added"].meta.mtime_ns) == (0, OLD + 5)
    assert made["/usr/bin/l1"] is made["/usr/bin/l2"] is start["/usr/bin/l1"]


def test_nothing_done_is_nothing_changed(scratch: Path) -> None:
    start = sample()
    made = run(scratch, "restorecon -vR /buildroot/usr", start)
    assert {path: node for path, node in made.walk() if not isinstance(node, Dir)} == {
        path: node for path, node in start.walk() if not isinstance(node, Dir)
    }
    assert all(node.meta == start[path].meta for path, node in made.walk())


def test_what_a_script_sees(scratch: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (scratch / "out").mkdir()
    (scratch / "src").mkdir()
    (scratch / "src/a").write_text("source")
    binds = [Bind(scratch / "out", "/work/out", "rw"), Bind(scratch / "src", "/work/src", "overlay")]
    run(
        scratch,
        'echo "$1 $BUILDROOT $(id -u) $(pwd)"; cat a; echo b > a; echo o > /work/out/o; echo t > /tmp/t; test ! -e /home/x\n'
        'echo "to stderr" >&2; test "$(command -v restorecon)" = /work/bin/restorecon; test ! -e /work/bin/none',
        environment={"BUILDROOT": "/buildroot"},
        binds=binds,
        directory="/work/src",
    )
    out, err = capfd.readouterr()
    assert out == ""
    assert "final /buildroot 0 /work/src" in err
    assert "source" in err
    assert "to stderr" in err
    assert (scratch / "src/a").read_text() == "source"
    assert (scratch / "out/o").read_text() == "o\n"


@pytest.mark.parametrize(
    "text",
    ["echo x > /usr/bin/imgcore-was-here", "echo x > /etc/ld.so.cache", "rm -rf /usr/bin/sh", "chmod 644 /dev/zero"],
)
def test_the_host_is_read_only(scratch: Path, text: str) -> None:
    with pytest.raises(SourceError):
        run(scratch, text)
    assert Path("/bin/sh").exists()


def test_no_network(scratch: Path) -> None:
    made = run(scratch, "ls /sys/class/net > /buildroot/net || true; cut -d: -f1 /proc/net/dev > /buildroot/dev")
    assert [line.strip() for line in content(made, "/dev").splitlines()[2:]] in ([], [b"lo"])
    text = "cat /proc/net/dev > /buildroot/dev"
    assert len(content(run(scratch, text, network=True), "/dev").splitlines()) >= 3


@pytest.mark.parametrize(("text", "status"), [("exit 3", 3), ("nosuchprogram", 127), ("kill -9 $$", 137)])
def test_a_script_that_fails(scratch: Path, text: str, status: int) -> None:
    with pytest.raises(SourceError, match=f"ended with status {status}") as found:
        run(scratch, text)
    assert found.value.path == str(scratch / "do.sh")
    assert (found.value.hint is not None) == (status == 127)


def test_no_program_at_all(scratch: Path) -> None:
    path = script(scratch, "")
    path.write_text("#!/nonexistent\n")
    with pytest.raises(Unsupported, match="could not be run"):
        run_script(sample(), path, scratch, Surroundings({}, directory="/"))


def test_without_a_tree(scratch: Path) -> None:
    path = script(scratch, "test ! -e /buildroot")
    assert run_script(None, path, scratch, Surroundings({}, directory="/")) is None


def test_a_script_is_stopped(scratch: Path) -> None:
    control = Control()
    control.cancel()
    with pytest.raises(Cancelled):
        run_script(None, script(scratch, "sleep 100"), scratch, Surroundings({}, directory="/"), control=control)


def test_output_of(tmp_path: Path) -> None:
    assert output_of(script(tmp_path, "echo $A"), tmp_path, {"A": "b"}) == "b\n"
    with pytest.raises(SourceError, match="status 2"):
        output_of(script(tmp_path, "exit 2"), tmp_path, {})
    with pytest.raises(SourceError, match="cannot run"):
        output_of(tmp_path / "none", tmp_path, {})


def _as_nobody(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    """Run Python as nobody; None where no interpreter and no modules are open to everybody."""
    paths = [str(Path(__file__).parents[3]), *(path for path in sys.path if path)]
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            done = subprocess.run(
                [python, *arguments],
                env={"PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
                capture_output=True,
                text=True,
                check=False,
            )
            if "ModuleNotFoundError" not in done.stderr:
                return done
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which root can")
def test_without_root(shared_dir: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path; from imgcore.build.scripts import *; from tests.unit.build.test_scripts import *\n"
        "place = Path(sys.argv[1])\n"
        "test_nothing_done_is_nothing_changed(place); test_what_is_done_is_read_back(place)\n"
        "made = run(place, 'echo x > /buildroot/usr/mine; rm /buildroot/usr/bin/kept')\n"
        "assert made['/usr/mine'].meta.uid == made['/usr/mine'].meta.gid == 0\n"
        "assert '/usr/null' in made and '/usr/bin/kept' not in made\n"
        "made = run(place, 'cd /buildroot/usr; echo x >a; ln a b; mkdir -p d/e; echo y >d/e/f; chmod 0 a; chmod 100 d/e d')\n"
        "assert made['/usr/a'].meta.mode == 0 and made['/usr/a'] is made['/usr/b'] and content(made, '/usr/b') == b'x\\n'\n"
        "assert made['/usr/d'].meta.mode == made['/usr/d/e'].meta.mode == 0o100\n"
        "assert content(made, '/usr/d/e/f') == b'y\\n'\n"
        "for one in place.iterdir(): discard(one) if one.is_dir() else one.unlink()\n"
    )
    done = _as_nobody("-c", code, str(shared_dir))
    if done is None:
        pytest.skip("no Python here that everybody may run")
    assert done.returncode == 0, done.stderr
    assert list(shared_dir.iterdir()) == []
