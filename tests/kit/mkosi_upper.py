"""Runs inside of `unshare -Urm`: what mkosi's rule leaves of a real overlay, found out with nothing but system calls.

Arguments: a directory with `bases` (numbered, 0 is the uppermost) and a seed. Leaves `seen`, a copy of what the overlay
showed after random changes, and `left`, its upper directory under the rule.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

TOP = ("usr", "opt", "etc")


def change(rng: random.Random, root: Path) -> None:
    """Do one thing to a tree, as a build would."""
    everything = [path for top in TOP for path in sorted((root / top).rglob("*"))]
    directories = [root / top for top in TOP if (root / top).is_dir()]
    directories += [path for path in everything if path.is_dir() and not path.is_symlink()]
    where = rng.choice(directories) / rng.choice(("a", "b", "c", "n1", "n2"))
    what = rng.randrange(8)
    old = rng.choice(everything) if everything else where
    if what in (0, 1) and not os.path.lexists(where):
        where.write_text(f"new {rng.random()}")
        where.chmod(rng.choice((0o644, 0o755)))
    elif what == 2 and not os.path.lexists(where):
        where.mkdir()
        (where / "inside").write_text("x")
    elif what == 3 and old.is_file() and not old.is_symlink():
        old.write_text("changed")
    elif what == 4 and not old.is_dir() and os.path.lexists(old):
        old.unlink()
    elif what == 5 and old.is_dir() and not old.is_symlink():
        shutil.rmtree(old)
        if rng.random() < 0.5:
            old.mkdir()
            (old / "again").write_text("y")
    elif what == 6 and not old.is_symlink():
        old.chmod(rng.choice((0o700, 0o711)) if old.is_dir() else 0o600)
    elif what == 7 and not os.path.lexists(where):
        where.symlink_to("elsewhere")


def is_whiteout(path: Path) -> bool:
    found = path.lstat()
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def rule(upper: Path, lower: Path) -> None:
    """Do to an upper directory what the reference says that mkosi does for a sysext."""
    for path in list(upper.rglob("*")):
        if is_whiteout(path):
            path.unlink()
    for path in sorted(upper.rglob("*")):
        name = path.relative_to(upper)
        below = lower / name
        if name.parts[0] not in ("usr", "opt") or not os.path.lexists(below):
            continue
        if path.is_dir() and not path.is_symlink():
            if below.is_symlink() or not below.is_dir():
                sys.exit(3)
            shutil.copystat(below, path)
        else:
            path.unlink()
    for place, names, _ in os.walk(upper, topdown=False):
        for one in names:
            path = Path(place) / one
            if not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()


def main() -> None:
    place, seed = Path(sys.argv[1]), int(sys.argv[2])
    bases = sorted(str(path) for path in (place / "bases").iterdir())
    upper, merged, lower = place / "left", place / "merged", place / "lower"
    for path in (upper, merged, lower, place / "work", place / "u2", place / "w2"):
        path.mkdir()
    options = f"lowerdir={':'.join(bases)},upperdir={upper},workdir={place}/work,userxattr,index=off,metacopy=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], check=True)
    rng = random.Random(seed)
    for _ in range(rng.randint(0, 12)):
        change(rng, merged)
    subprocess.run(["cp", "-a", str(merged), str(place / "seen")], check=True)
    subprocess.run(["umount", str(merged)], check=True)
    options = f"lowerdir={':'.join(bases)},upperdir={place}/u2,workdir={place}/w2,userxattr,index=off,metacopy=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(lower)], check=True)
    rule(upper, lower)


if __name__ == "__main__":
    main()
