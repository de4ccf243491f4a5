"""Choose how files lie in an image: what is read at boot comes first, archives are stored as they are, programs aligned."""

import sys

import imgcore

FIRST = {b"/usr/bin/init": 2, b"/etc/fstab": 1}


def hints(path: bytes, node: imgcore.File) -> imgcore.FileHints | None:
    if path in FIRST:
        return imgcore.FileHints(priority=FIRST[path])
    if path.endswith((b".zip", b".gz", b".zst")):
        return imgcore.FileHints(compress=False)
    return imgcore.FileHints(align=4096) if node.meta.mode & 0o111 else None


def main(source: str, dest: str) -> None:
    options = imgcore.squashfs.Options(compression="xz", filters=("x86",), hints=hints)
    report = imgcore.pack(source, dest, options=options, verify=True)
    print(f"{report.size} bytes, {report.codec}")


if __name__ == "__main__":
    main(*sys.argv[1:])
