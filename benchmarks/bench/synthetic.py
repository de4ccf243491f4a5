"""Files made up from a seed, for machines that have too little: texts, and binaries that shrink by about half."""

from __future__ import annotations

import random

_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


def words(source: random.Random, count: int) -> list[str]:
    """Return made-up words; common letters are common in them."""
    weights = [1 / (place + 2) for place in range(len(_LETTERS))]
    return ["".join(source.choices(_LETTERS, weights, k=source.randint(2, 11))) for _ in range(count)]


def text(source: random.Random, vocabulary: list[str], size: int) -> bytes:
    """Return about `size` bytes of lines; early words of the vocabulary are frequent ones."""
    out: list[str] = []
    length = 0
    while length < size:
        line = " ".join(vocabulary[int(len(vocabulary) * source.random() ** 3)] for _ in range(source.randint(3, 14)))
        line = "    " * source.randint(0, 3) + line + "\n"
        out.append(line)
        length += len(line)
    return "".join(out).encode()


def binary(source: random.Random, size: int) -> bytes:
    """Return bytes that look a little like machine code: a third by chance, the rest from what was there before."""
    out = bytearray(source.randbytes(4096))
    while len(out) < size:
        if source.random() < 0.5:
            out += source.randbytes(source.randint(20, 600))
        else:
            at = source.randrange(max(0, len(out) - 60_000), len(out))
            out += out[at : at + source.randint(20, 900)]
    return bytes(out[:size])
