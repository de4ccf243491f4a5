"""Roots with extensions, as data, and systemd's own answers about them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit.oracles import missing, run

DRIVER = Path(__file__).with_name("sysext_driver.py")
HOST_RELEASE = 'ID=testos\nVERSION_ID=1.0\nID_LIKE="likeos other"\n'


@dataclass
class Job:
    """One question to one version of systemd."""

    root: Path
    version: int
    kind: str = "sysext"
    arguments: Sequence[str] = ()
    walk: bool = True
    list: bool = False


@dataclass
class Answer:
    """What it did: names that it merged, lowest first; None for nothing."""

    names: list[str] | None
    code: int
    log: str
    tree: dict[str, dict[str, list[object]]] = field(default_factory=dict)
    raw: dict[str, dict[str, object]] = field(default_factory=dict)

    @property
    def aborted(self) -> bool:
        """Whether it gave up, rather than found nothing that fits; 252 ends with 0 all the same."""
        ended = re.search(r"No (suitable )?extensions found|\(sd-(sysext|merge)\)'? succeeded", self.log)
        return self.names is None and (self.code != 0 or ended is None)


def systemd_program(version: int, kind: str = "sysext") -> str:
    """Return the program of a version: 252 is the system's, others come from `tools/oracles newest`."""
    name = f"systemd-{kind}"
    if version == 252:
        found = shutil.which(name)
    else:
        place = os.environ.get("IMGCORE_NEWEST_ORACLES")
        if place is None:
            missing("IMGCORE_NEWEST_ORACLES does not name the directory of `tools/oracles newest`")
        found = shutil.which(name, path=f"{place}/trixie/bin" if version == 257 else f"{place}/bin")
    if found is None:
        missing(f"{name} {version} is not installed")
    said = run(found, "--version").stdout.split()
    if said[1] != str(version):
        missing(f"{name} is of version {said[1]}, not {version}")
    return found


def ask(jobs: Sequence[Job], scratch: Path) -> list[Answer]:
    """Return systemd's answers, all from one mount namespace."""
    if os.geteuid() != 0:
        missing("systemd-sysext needs root")
    programs = {(job.version, job.kind): systemd_program(job.version, job.kind) for job in jobs}
    questions = [
        {
            "program": programs[job.version, job.kind],
            "root": str(job.root),
            "kind": job.kind,
            "arguments": list(job.arguments),
            "walk": job.walk,
            "list": job.list,
        }
        for job in jobs
    ]
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "jobs.json").write_text(json.dumps(questions))
    inner = 'mount --make-rshared / && mount -t tmpfs -o mode=755 tmpfs /run && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", inner, "sh", sys.executable, str(DRIVER)]
    done = subprocess.run(
        [*words, str(scratch / "jobs.json"), str(scratch / "results.json")], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(f"the driver ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    out = []
    for raw in json.loads((scratch / "results.json").read_text()):
        merge = raw["merge"]
        out.append(Answer(raw["names"], merge["code"], merge["log"], raw.get("walk", {}), raw))
    return out


@dataclass
class Root:
    """A root on disk that a test fills; extensions are directories in /var/lib/extensions until `squash`."""

    path: Path
    kind: str = "sysext"

    def __post_init__(self) -> None:
        self.extensions = self.path / ("var/lib/extensions" if self.kind == "sysext" else "var/lib/confexts")
        for name in ("usr/lib", "usr/bin", "opt", "etc/extensions", "var/lib/extensions.mutable", "run"):
            (self.path / name).mkdir(parents=True, exist_ok=True)
        self.extensions.mkdir(parents=True, exist_ok=True)
        self.write("usr/lib/os-release", HOST_RELEASE)
        (self.path / "etc/os-release").symlink_to("../usr/lib/os-release")
        self.write("usr/bin/tool", "host\n")
        self.write("opt/h", "h\n")

    def write(self, name: str, text: str = "") -> Path:
        """Write a file, and the directories above it."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, errors="surrogateescape")
        return path

    def extension(self, name: str, *lines: str, release: str | None = "", at: Path | None = None) -> Path:
        """Make a directory extension; `release` is the name in its release file, None for no such file."""
        place = (self.extensions if at is None else at) / name
        base = "usr/lib" if self.kind == "sysext" else "etc"
        (place / base / "extension-release.d").mkdir(parents=True, exist_ok=True)
        if release is not None:
            text = "".join(f"{line}\n" for line in lines or ("ID=_any",))
            file = place / base / f"extension-release.d/extension-release.{release or name}"
            file.write_text(text, errors="surrogateescape")
        tops = ("usr/bin", "opt") if self.kind == "sysext" else ("etc",)
        for top in tops:
            (place / top).mkdir(parents=True, exist_ok=True)
        (place / tops[0] / "tool").write_text(f"{name}\n", errors="surrogateescape")
        (place / tops[0] / f"only-{name}").write_text(f"{name}\n", errors="surrogateescape")
        if self.kind == "sysext":
            (place / "opt" / f"o-{name}").write_text(f"{name}\n", errors="surrogateescape")
        return place

    def release_of(self, name: str, release: str | None = None) -> Path:
        """Return the path of an extension's release file."""
        base = "usr/lib" if self.kind == "sysext" else "etc"
        return self.extensions / name / base / f"extension-release.d/extension-release.{release or name}"
