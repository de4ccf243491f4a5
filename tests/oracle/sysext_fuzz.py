"""Random roots through systemd 252, 257 and 262 and through our decisions: `python -m tests.oracle.sysext_fuzz --roots 400`.

Needs root and what `tools/oracles newest` unpacks (IMGCORE_NEWEST_ORACLES). Each root is asked of every version that knows
the flags: what is accepted and refused, the order, the merged tree, the arrays of list and status. Returns 1 for a difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.oracle.test_sysext import compare_random

_AT_ONCE = 50


def main() -> int:
    """Run as the module says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--roots", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    different = 0
    for first in range(said.seed, said.seed + said.roots, _AT_ONCE):
        with tempfile.TemporaryDirectory() as place:
            wrong = compare_random(range(first, min(first + _AT_ONCE, said.seed + said.roots)), Path(place))
        for line in wrong:
            print(line)
        different += len(wrong)
    print(f"{said.roots} roots, {different} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
