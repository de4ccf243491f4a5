"""Reads at places of an image with one reader; `reading` starts it as a program of its own.

    read_child.py READER IMAGE PLAN SECONDS

PLAN has a line `path at size` (tabs between) for each read. What is timed is opening the image, finding the files and
reading; imports are not. Stops after SECONDS, and prints how far it came, with a digest of what was read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Read = Callable[[bytes, int, int], bytes]


def _imgcore() -> tuple[str, Callable[[str], Read]]:
    import imgcore

    imgcore.open  # noqa: B018  (imported when it is first used)

    def opened(image: str) -> Read:
        tree = imgcore.open(image).tree
        return lambda path, at, size: tree[path].content.read_at(at, size)  # type: ignore[union-attr]

    return imgcore.__version__, opened


def _pysquashfsimage() -> tuple[str, Callable[[str], Read]]:
    from PySquashfsImage import SquashFsImage

    def opened(image: str) -> Read:
        found = SquashFsImage.from_file(image)
        return lambda path, at, size: found.select(os.fsdecode(path)).read_bytes()[at : at + size]

    return importlib.metadata.version("PySquashfsImage"), opened


def _dissect() -> tuple[str, Callable[[str], Read]]:
    from dissect.squashfs import SquashFS

    def opened(image: str) -> Read:
        found = SquashFS(open(image, "rb"))  # noqa: SIM115 (as long as the process)

        def read(path: bytes, at: int, size: int) -> bytes:
            stream: Any = found.get(os.fsdecode(path)).open()
            stream.seek(at)
            data: bytes = stream.read(size)
            return data

        return read

    return importlib.metadata.version("dissect.squashfs"), opened


def _mounted() -> tuple[str, Callable[[str], Read]]:
    def opened(root: str) -> Read:
        place = os.fsencode(root)

        def read(path: bytes, at: int, size: int) -> bytes:
            fd = os.open(place + path, os.O_RDONLY)
            try:
                return os.pread(fd, size, at)
            finally:
                os.close(fd)

        return read

    return "", opened


READERS = {"imgcore": _imgcore, "PySquashfsImage": _pysquashfsimage, "dissect.squashfs": _dissect, "squashfuse": _mounted}


def main() -> None:
    """Read, and print an object of JSON."""
    reader, image, plan, seconds = sys.argv[1:]
    with open(plan, "rb") as stream:
        places = [(path, int(at), int(size)) for path, at, size in (line.rstrip(b"\n").split(b"\t") for line in stream)]
    try:
        version, opened = READERS[reader]()
    except ImportError as error:
        print(json.dumps({"missing": str(error)}))
        return
    total, done = hashlib.blake2b(), 0
    started = time.monotonic()
    read = opened(image)
    for path, at, size in places:
        data = read(path, at, size)
        total.update(data)
        done += 1
        if done == len(places) // 100:
            early = total.hexdigest()
        if time.monotonic() - started > float(seconds) and done >= len(places) // 100:
            break
    took = time.monotonic() - started
    print(json.dumps({"version": version, "seconds": took, "reads": done, "digest": early}))


if __name__ == "__main__":
    main()
