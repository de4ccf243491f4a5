"""Digests of many blocks: the native engine against hashlib."""

from __future__ import annotations

import hashlib
import random

import pytest

from imgcore.engine import get_engine
from imgcore.engine.hashing import BlockHash
from tests.unit.engine.runs import require_native


@pytest.mark.parametrize("block", [1, 55, 56, 63, 64, 65, 119, 120, 512, 4096, 5000])
@pytest.mark.parametrize("salt", [0, 1, 32, 64, 200])
@pytest.mark.parametrize("salt_last", [False, True])
def test_engines_agree(block: int, salt: int, salt_last: bool) -> None:
    require_native()
    chance = random.Random(block * 1000 + salt)
    how = BlockHash("sha256", block, chance.randbytes(salt), salt_last, 40)
    for count in (0, 1, 2, 3, 8):
        data = chance.randbytes(block * count)
        expected = b"".join(
            hashlib.sha256(part + how.salt if salt_last else how.salt + part).digest() + bytes(8)
            for part in (data[at : at + block] for at in range(0, len(data), block))
        )
        assert get_engine("native").hash_blocks(data, how) == expected
        assert get_engine("pure").hash_blocks(data, how) == expected
