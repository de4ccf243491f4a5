"""Runs systemd-sysext and -confext on many roots inside one mount namespace; what they did comes out as JSON.

    unshare --mount --propagation private … python sysext_driver.py JOBS RESULTS

Where systemd is not the first process, its tools need `/` to be shared and `/run` to be a mount point, both of which the
namespace gives (`tests.kit.sysext.run_jobs`); all mounts die with it. Of a merge the whole tree is read by plain system
calls, then it is undone. Only the standard library is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path


def call(words: list[str], level: str) -> dict[str, object]:
    environment = {**os.environ, "SYSTEMD_LOG_LEVEL": level, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, capture_output=True, text=True, errors="surrogateescape", env=environment, check=False)
    return {"code": done.returncode, "out": done.stdout, "log": done.stderr}


def walk(base: bytes) -> dict[str, list[object]]:
    """Return what is below `base`: type, mode, owner, time, content; a name that cannot be looked at has an errno."""
    out: dict[str, list[object]] = {}
    todo = [b""]
    while todo:
        parent = todo.pop()
        for name in os.listdir(base + parent or b"."):
            path = parent + b"/" + name
            if name in (b".systemd-sysext", b".systemd-confext"):
                continue
            key = os.fsdecode(path)
            try:
                found = os.lstat(base + path)
                content = ""
                if stat.S_ISREG(found.st_mode):
                    content = Path(os.fsdecode(base + path)).read_bytes().decode("latin-1")
                elif stat.S_ISLNK(found.st_mode):
                    content = os.fsdecode(os.readlink(base + path))
            except OSError as error:
                out[key] = ["error", error.errno]
                continue
            out[key] = [stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, content]
            if stat.S_ISDIR(found.st_mode):
                todo.append(path)
    return out


def marker(root: str, hierarchies: list[str], kind: str) -> list[str] | None:
    """Return the names that systemd says it merged, None where nothing is merged."""
    plural = "extensions" if kind == "sysext" else "confexts"
    for hierarchy in hierarchies:
        path = Path(root + hierarchy) / f".systemd-{kind}" / plural
        if path.exists():
            return path.read_text(errors="surrogateescape").splitlines()
    return None


def unmount(root: str) -> None:
    """Unmount all that is left below a root, the last mount first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in reversed(lines):
        place = line.split()[4].encode().decode("unicode_escape")
        if place.startswith(root + "/"):
            subprocess.run(["umount", "-l", place], check=False)


def work(job: dict[str, object]) -> dict[str, object]:
    program, root, kind = str(job["program"]), str(job["root"]), str(job["kind"])
    words = [program, f"--root={root}"]
    arguments = [str(word) for word in job["arguments"]]  # type: ignore[attr-defined]
    hierarchies = ["/usr", "/opt", "/var/opt"] if kind == "sysext" else ["/etc"]
    missing = [place for place in hierarchies if not os.path.lexists(root + place)]
    out: dict[str, object] = {}
    if job.get("list"):
        out["list"] = call([*words, "list", "--json=short"], "err")
        out["status_before"] = call([*words, "status", "--json=short"], "err")
    out["merge"] = call([*words, *arguments, "merge"], "debug")
    out["names"] = marker(root, hierarchies, kind)
    if job.get("walk"):
        out["walk"] = {place: walk(os.fsencode(root + place)) for place in hierarchies if os.path.isdir(root + place)}
    if job.get("list"):
        out["status"] = call([*words, "status", "--json=short"], "err")
    if out["names"] is not None:
        out["unmerge"] = call([*words, "unmerge"], "err")
    unmount(root)
    for place in missing:  # made as a mount point; the next question is about the root as it was
        with contextlib.suppress(OSError):
            os.rmdir(root + place)
    return out


def main() -> None:
    jobs = json.loads(Path(sys.argv[1]).read_text())
    results = Path(sys.argv[2])
    results.write_text(json.dumps([work(job) for job in jobs]))


if __name__ == "__main__":
    main()
