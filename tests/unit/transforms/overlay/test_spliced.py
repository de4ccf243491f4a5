"""Contents after writes and truncations are what a file would hold."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imgcore.blob import Blob, BytesBlob, read_all
from imgcore.transforms.overlay.spliced import patched, resized

STEPS = st.lists(st.one_of(st.integers(0, 40), st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 40))), max_size=6)


@given(st.binary(max_size=30), STEPS, st.integers(0, 50), st.integers(0, 50))
def test_steps_are_those_of_a_file(start: bytes, steps: list[int | tuple[bytes, int]], at: int, size: int) -> None:
    blob: Blob = BytesBlob(start)
    whole = bytearray(start)
    for step in steps:
        if isinstance(step, int):
            blob = resized(blob, step)
            whole = whole[:step].ljust(step, b"\0")
        else:
            data, place = step
            blob = patched(blob, data, place)
            whole = whole.ljust(place, b"\0")
            whole[place : place + len(data)] = data
    assert blob.size == len(whole) and read_all(blob) == whole
    assert blob.read_at(at, size) == whole[at : at + size]
    runs = list(blob.segments())
    assert sum(run.size for run in runs) == len(whole) and all(run.size for run in runs)
    assert [run.at for run in runs] == [sum(run.size for run in runs[:number]) for number in range(len(runs))]
    assert not any(any(whole[run.at : run.at + run.size]) for run in runs if run.hole)
