#!/usr/bin/env python3
"""Fuzz target: read and check whatever bytes as a squashfs image. Anything but ImgcoreError is a crash.

tests/fuzz/fuzz_squashfs.py --seeds CORPUS      write small whole images to start from
tests/fuzz/fuzz_squashfs.py CORPUS [-max_total_time=60 and other options of libFuzzer]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import atheris

with atheris.instrument_imports(include=["imgcore"]):
    from imgcore.blob import MemorySink
    from imgcore.engine import get_engine
    from imgcore.events import Control
    from imgcore.formats.squashfs import Options, write_image
    from tests.kit.corrupter import exercise
    from tests.kit.sample_trees import everything

COMPRESSIONS = ("none", "gzip", "zstd", "xz", "lz4")


def write_seeds(corpus: Path) -> None:
    corpus.mkdir(parents=True, exist_ok=True)
    for compression in COMPRESSIONS:
        sink = MemorySink()
        write_image(everything(), sink, Options(compression, block_size=4096), Control(), get_engine("pure"))
        (corpus / compression).write_bytes(sink.value())


def one_input(data: bytes) -> None:
    exercise(data)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--seeds"]:
        write_seeds(Path(sys.argv[2]))
    else:
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
