#!/usr/bin/env python3
"""Make the directories that benchmarks/run.py packs, or change some of the files of one.

    benchmarks/corpus.py                        all of them, in benchmarks/corpora
    benchmarks/corpus.py big small --out .      two of them, here
    benchmarks/corpus.py --touch 1% big         change 1 % of the files in ./big

They are copied from what the machine has, in a fixed order, so the same machine makes the same; NAME.json beside each says
of what. One that is there stays as it is; remove it (and its .json) to have it made anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import corpora

PLACE = Path(__file__).resolve().parent / "corpora"


def share(text: str) -> float:
    """Return the share that `1%` or `0.01` is."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"no share: {text}")
    return value


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{' '.join(corpora.MAKERS)}; with --touch a directory")
    parser.add_argument("--out", type=Path, default=PLACE, metavar="DIR", help="where they are made (benchmarks/corpora)")
    parser.add_argument("--touch", type=share, metavar="SHARE", help="change this share of the files, such as 1%%")
    parser.add_argument("--insert", action="store_true", help="changes move what is behind them")
    parser.add_argument("--seed", type=int, default=1, help="which files are changed, and where")
    arguments = parser.parse_args()
    if arguments.touch is not None:
        if not arguments.names:
            parser.error("--touch needs a directory")
        for name in arguments.names:
            if not Path(name).is_dir():
                parser.error(f"no directory: {name}")
            changed = corpora.touch(Path(name), arguments.touch, arguments.seed, arguments.insert)
            print(f"{name}: {len(changed)} files changed")
        return 0
    if unknown := [name for name in arguments.names if name not in corpora.MAKERS]:
        parser.error(f"no such corpus: {' '.join(unknown)}")
    for name in arguments.names or corpora.MAKERS:
        root = corpora.make(name, arguments.out)
        told = corpora.describe(name, arguments.out)
        print(f"{root}: {told['files']} files, {int(str(told['bytes'])) / 1e6:.0f} MB, {told['made_up']} made up", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
