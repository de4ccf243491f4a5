"""`subtract(rule="mkosi")` against a real overlay under mkosi's rule, done by a script of its own in a user namespace."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from imgcore.errors import MergeConflict
from imgcore.hosts import scan
from imgcore.transforms import strip_xattrs, subtract
from tests.kit.oracles import Record, host_records, missing, tool, tree_records

pytestmark = pytest.mark.oracle
SCRIPT = Path(__file__).parent.parent / "kit/mkosi_upper.py"


def _base(rng: random.Random, root: Path) -> None:
    for top in ("usr", "opt", "etc"):
        (root / top / "d/e").mkdir(parents=True)
        for name in ("a", "b", "d/a", "d/c", "d/e/b"):
            if rng.random() < 0.8:
                (root / top / name).write_text(f"{top} {name} {rng.randrange(3)}")
        if rng.random() < 0.5:
            (root / top / "l").symlink_to("a")


def _plain(records: dict[bytes, Record]) -> dict[bytes, Record]:
    """Return what the rule decides: not the times of what was made anew, nor the marks of overlayfs."""
    out = {}
    for path, record in records.items():
        kept = {key: value for key, value in record.items() if key not in ("time", "xattrs", "links", "group")}
        out[path] = kept
    return out


@pytest.mark.parametrize("seed", range(25))
def test_the_rule_of_mkosi(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    for number in range(rng.choice((1, 1, 2))):
        _base(rng, tmp_path / f"bases/{number}")
    command = [tool("unshare"), "-Urm", sys.executable, str(SCRIPT), str(tmp_path), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "Operation not permitted" in done.stderr:
        missing(f"no user namespace: {done.stderr.strip()}")
    bases = [strip_xattrs(scan(path), ["*.overlay.*"]) for path in sorted((tmp_path / "bases").iterdir())]
    if done.returncode == 3:
        with pytest.raises(MergeConflict):
            subtract(scan(tmp_path / "seen"), bases)
        return
    assert done.returncode == 0, done.stderr
    wanted = _plain(host_records(tmp_path / "left"))
    assert _plain(tree_records(subtract(scan(tmp_path / "seen"), bases))) == wanted
    below = {path for path in wanted if path.startswith((b"/usr", b"/opt"))}
    by_upper = _plain(tree_records(subtract(scan(tmp_path / "left"), bases)))
    assert {path: by_upper.get(path) for path in below} == {path: wanted[path] for path in below}
