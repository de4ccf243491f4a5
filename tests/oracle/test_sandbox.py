"""Scripts in namespaces beside mounts of the host: what is unmounted while a script runs is free."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

import imgcore
from imgcore.build.scripts import Bind, Surroundings, run_script
from imgcore.model import file, tree
from tests.kit.oracles import mounted, needs_mount, tmpfs

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
