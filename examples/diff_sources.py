"""Compare two sources, each a directory or an image; returns whether they are equal."""

import sys

import imgcore


def main(old: str, new: str) -> bool:
    with imgcore.open(old) as a, imgcore.open(new) as b:
        changes = list(imgcore.diff(a.tree, b.tree))
    for change in changes:
        print(change.kind, imgcore.show(change.path), change.old, change.new)
    return not changes


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:]) else 1)
