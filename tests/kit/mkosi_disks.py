"""mkosi itself making disks: with the newer systemd-repart that `tools/oracles newest` unpacked, and with our mksquashfs.

mkosi's sandbox shows programs below /usr only. So it runs in a mount namespace of its own, in which an overlay over /usr has
both, and this Python beside them; the machine's own /usr stays as it is.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kit.mkosi import mkosi_source
from tests.kit.oracles import missing, tool
from tests.kit.repart import program

_AT = "/usr/lib/imgcore-tests"
_REPOSITORY = Path(__file__).resolve().parents[2]


def build_by_mkosi(directory: Path, version: str, scratch: Path, arguments: Sequence[str] = ()) -> None:
    """Run `mkosi build` of a configuration, with systemd-repart `version`; `scratch` is an empty directory."""
    if os.geteuid() != 0:
        missing("an overlay over /usr needs root")
    repart = program(version)
    if repart is None:
        missing(f"systemd-repart {version} is not there: `tools/oracles newest DIR` unpacks it")
    assert repart is not None
    script = scratch / "run"
    script.write_text(_script(repart, scratch, directory, arguments))
    done = subprocess.run(
        [tool("unshare"), "--mount", "--propagation", "private", "sh", script],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        missing(f"mkosi cannot build here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr


def _script(repart: Path, scratch: Path, directory: Path, arguments: Sequence[str]) -> str:
    """Return what is run in the namespace."""
    python = Path(sys.base_prefix).resolve()
    packages = [path for path in sys.path if path.endswith("site-packages")]
    shown = {python: "python", _REPOSITORY: "imgcore", repart.parent.parent / "root": "root"}
    shown |= {Path(path): f"packages{number}" for number, path in enumerate(packages)}
    lines = ["set -e", f"cd {shlex.quote(str(scratch))}", "mkdir over", "mount -t tmpfs tmpfs over", "mkdir over/up over/work"]
    lines += ["mount -t overlay overlay -o lowerdir=/usr,upperdir=over/up,workdir=over/work /usr", f"mkdir {_AT}"]
    for source, name in shown.items():
        lines += [f"mkdir {_AT}/{name}", f"mount --bind {shlex.quote(str(source))} {_AT}/{name}"]
    search = ":".join(f"{_AT}/{name}" for name in shown.values() if name == "imgcore" or name.startswith("packages"))
    interpreter = f"{_AT}/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    wrapper = repart.read_text().replace(str(repart.parent.parent / "root"), f"{_AT}/root")
    squashfs = f'#!/bin/sh\nPYTHONPATH={search} exec {interpreter} -P -m imgcore.cli.shims mksquashfs "$@"\n'
    for name, text in (("systemd-repart", wrapper), ("mksquashfs", squashfs)):
        lines += [f"cat >{_AT}/{name} <<'END'\n{text}END", f"chmod 755 {_AT}/{name}", f"ln -sf {_AT}/{name} /usr/bin/{name}"]
    lines += [f"cd {shlex.quote(str(directory))}", f"export PYTHONPATH={shlex.quote(str(mkosi_source()))}"]
    return "\n".join([*lines, f"exec /usr/bin/python3 -m mkosi {shlex.join(arguments)} build\n"])
