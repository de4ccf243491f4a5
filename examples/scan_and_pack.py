"""Pack a directory reproducibly: scan, policy, write with options, progress through a Control."""

import sys

import imgcore


def main(source: str, dest: str) -> None:
    control = imgcore.Control(lambda event: print(event) if isinstance(event, imgcore.Finished) else None)
    tree = imgcore.exclude(imgcore.scan(source), ["*.pyc", "/var/cache/"])
    policy = imgcore.Policy(owners=imgcore.Owners.root(), clock=imgcore.Clock.clamp(1_700_000_000 * 10**9))
    options = imgcore.squashfs.Options(compression="zstd", level=15, block_size=256 << 10, time=1_700_000_000)
    report = imgcore.pack(tree, dest, options=options, policy=policy, control=control)
    print(report.size, report.codec, report.engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
