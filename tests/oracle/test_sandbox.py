"""Scripts in namespaces: what they see of the host, and what of them stays when they end or are ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import imgcore
from imgcore.build.scratch import scratch_directory
from imgcore.build.scripts import Bind, Surroundings, run_script
from imgcore.model import file, tree
from tests.kit.oracles import missing, mounted, needs_mount, tmpfs

pytestmark = pytest.mark.oracle


def test_a_script_holds_no_mount_of_the_host(tmp_path: Path) -> None:
    needs_mount()
    place, signals, scratch = (tmp_path / name for name in ("place", "signals", "scratch"))
    for one in (place, signals, scratch):
        one.mkdir()
    script = tmp_path / "wait.sh"
    script.write_text(
        "#!/bin/sh\n>/signals/here\nfor n in $(seq 600); do test -e /signals/go && exit 0; sleep 0.1; done\nexit 1\n"
    )
    script.chmod(0o755)
    around = Surroundings(environment={"PATH": "/usr/bin:/bin"}, directory="/", binds=(Bind(signals, "/signals", "rw"),))
    run = threading.Thread(target=run_script, args=(None, script, scratch, around))
    try:
        with tmpfs(place, "size=50m"):
            imgcore.pack(tree({"/a": file("x")}), place / "image.raw", format="squashfs", sync=False)
            with mounted(place / "image.raw", place / "m") as taken:
                assert taken
                run.start()
                while not (signals / "here").exists():
                    time.sleep(0.05)
        # Both are unmounted: what lies on the tmpfs, through a loop device, was not held by the script's namespace.
    finally:
        (signals / "go").touch()
        run.join()


def said(place: Path, text: str, **more: object) -> str:
    """Run a script and return what it printed; a directory `out` of `place` is at /out."""
    for name in ("out", "scratch"):
        (place / name).mkdir(exist_ok=True)
    script = place / "script.sh"
    script.write_text(f"#!/bin/sh\nset -eu\nexec >/out/said 2>&1\n{text}\n")
    script.chmod(0o755)
    binds = (Bind(place / "out", "/out", "rw"), *more.pop("binds", ()))  # type: ignore[misc]
    run_script(None, script, place / "scratch", Surroundings(environment={}, directory="/", binds=binds, **more))  # type: ignore[arg-type]
    return (place / "out/said").read_text()


def test_it_sees_itself_only(tmp_path: Path) -> None:
    shown = said(tmp_path, "echo $$\ncd /proc; ls -d [0-9]*\nls /etc | sort\nls -d /sys /home /opt /boot 2>/dev/null || true")
    numbers = {int(word) for word in shown.split() if word.isdigit()}
    assert 1 in numbers and max(numbers) < 20, shown
    assert "shadow" not in shown and "passwd" in shown and "/" not in shown
    assert said(tmp_path, "id -un; stat -c %U / /proc").split() == ["root"] * 3


def test_names_are_the_images(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        missing("only root's script may give files to others")
    (tmp_path / "scratch").mkdir()
    script = tmp_path / "own.sh"
    script.write_text("#!/bin/sh\nchown builder:staff /buildroot/usr\n")
    script.chmod(0o755)
    entries = {
        "/usr": None,
        "/etc/passwd": "root:x:0:0::/:/bin/sh\nbuilder:x:77:77::/:/bin/sh\n",
        "/etc/group": "staff:x:50:\n",
    }
    content = tree({path: file(text) for path, text in entries.items() if text is not None} | {"/usr/a": file("x")})
    made = run_script(content, script, tmp_path / "scratch", Surroundings(environment={}, directory="/"))
    assert made is not None
    assert (made.lookup("/usr").meta.uid, made.lookup("/usr").meta.gid) == (77, 50)


def test_what_it_leaves_running_ends_with_it(tmp_path: Path) -> None:
    said(tmp_path, "setsid sh -c 'sleep 0.7; touch /out/later' >/dev/null 2>&1 &")
    time.sleep(1.2)
    assert not (tmp_path / "out/later").exists()


def test_it_ends_with_its_caller(tmp_path: Path) -> None:
    for name in ("out", "scratch"):
        (tmp_path / name).mkdir()
    script = tmp_path / "s.sh"
    script.write_text("#!/bin/sh\n: >/out/started\nsetsid sh -c 'sleep 1; touch /out/later' &\nwait\ntouch /out/later\n")
    script.chmod(0o755)
    program = (
        "import sys\nfrom pathlib import Path\nfrom imgcore.build.scripts import Bind, Surroundings, run_script\n"
        "place = Path(sys.argv[1])\naround = Surroundings({}, (Bind(place / 'out', '/out', 'rw'),), directory='/')\n"
        "run_script(None, place / 's.sh', place / 'scratch', around)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while not (tmp_path / "out/started").exists():
        assert caller.poll() is None
        time.sleep(0.02)
    os.kill(caller.pid, signal.SIGKILL)
    caller.wait()
    time.sleep(1.5)
    assert not (tmp_path / "out/later").exists()


def test_hidden_directories_are_empty_where_they_are_shown(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "output/staging").mkdir(parents=True)
    (source / "output/staging/big").write_text("x")
    (source / "output/old").write_text("x")
    for mode in ("ro", "rw", "overlay"):
        shown = said(
            tmp_path, "cd /src; find . | sort", binds=(Bind(source, "/src", mode),), hidden=(source / "output/staging",)
        )  # type: ignore[arg-type]
        assert shown.split() == [".", "./output", "./output/old", "./output/staging"]
    assert (source / "output/staging/big").exists()


def test_a_tree_deeper_than_paths_go(tmp_path: Path) -> None:
    script = tmp_path / "deep.sh"
    script.write_text(
        "#!/usr/bin/perl\nchdir '/buildroot';\nfor (1..60) { mkdir 'd' x 100; chdir 'd' x 100 or die; }\nopen F, '>', 'end';\n"
    )
    script.chmod(0o755)
    with scratch_directory(tmp_path, "scratch-") as scratch:
        made = run_script(tree({"/a": file("x")}), script, scratch, Surroundings(environment={}, directory="/"))
        assert made is not None and max(len(path) for path, _ in made.walk()) == 60 * 101 + 4
    assert [path.name for path in tmp_path.iterdir()] == ["deep.sh"]
