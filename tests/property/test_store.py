"""An image does not depend on a store, whatever is in it: cold, warm, partly pruned, partly damaged."""

from __future__ import annotations

import dataclasses
import os
import random
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from imgcore.formats.squashfs import CAPABILITIES, Options
from imgcore.model import Tree
from imgcore.store import LocalStore
from imgcore.testing.strategies import trees
from tests.kit.squashfs_io import ENGINES, write

OPTIONS = st.builds(
    Options,
    compression=st.sampled_from(["gzip", "zstd", "xz", "lz4", "lzo", "none"]),
    block_size=st.sampled_from([4096, 8192]),
    fragments=st.sampled_from(["all", "small", "none"]),
    dedup=st.booleans(),
    early_store=st.booleans(),
    uncompressed=st.sampled_from([(), ("data",), ("fragments",)]),
    jobs=st.sampled_from([1, 3]),
)


def spoil(store: LocalStore, chance: random.Random) -> None:
    """Remove, damage or cut some of the objects."""
    for path in sorted(Path(os.fsdecode(store.path), "objects").rglob("*")):
        if not path.is_file():
            continue
        what, data = chance.randrange(6), bytearray(path.read_bytes())
        if what == 0:
            path.unlink()
        elif what == 1:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        elif what == 2:
            path.write_bytes(data[: chance.randrange(len(data))])


@settings(max_examples=60)
@given(tree=trees(CAPABILITIES, block_size=4096), options=OPTIONS, seed=st.integers(0, 1 << 32), reverse=st.booleans())
def test_images_do_not_depend_on_a_store(tree: Tree, options: Options, seed: int, reverse: bool) -> None:
    plain = write(tree, options)
    engines = [*ENGINES, *ENGINES]
    if reverse:
        engines.reverse()
    with tempfile.TemporaryDirectory() as directory:
        for round_number, engine in enumerate(engines):
            store = LocalStore(os.path.join(directory, "c"))
            if round_number > 1:
                spoil(store, random.Random(seed))
            image = write(tree, dataclasses.replace(options, store=store), engine)
            store.close()
            assert image == plain


@settings(max_examples=30)
@given(
    tree=trees(CAPABILITIES, block_size=4096),
    first=OPTIONS,
    second=OPTIONS,
)
def test_settings_share_a_store(tree: Tree, first: Options, second: Options) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for options in (first, second, first):
            store = LocalStore(os.path.join(directory, "c"))
            assert write(tree, dataclasses.replace(options, store=store)) == write(tree, options)
