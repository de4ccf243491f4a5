"""Places of partitions: laws; that the places are systemd's, tests/oracle/test_repart.py knows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcore.disk.placing import GRAIN, SMALL_DISK, Wanted, auto_size, first_usable, place

WANTED = st.builds(
    lambda least, more, padding, weight, padding_weight, bounded: Wanted(
        least * GRAIN, (least + more) * GRAIN if bounded else None, padding * GRAIN, None, weight, padding_weight
    ),
    st.integers(1, 2000),
    st.integers(0, 3000),
    st.integers(0, 5),
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.booleans(),
)


@given(st.lists(WANTED, min_size=1, max_size=9), st.sampled_from((512, 4096)), st.booleans(), st.integers(0, 5000))
def test_nothing_overlaps_and_nothing_is_too_small(wanted: list[Wanted], sector: int, exact: bool, more: int) -> None:
    total = auto_size(wanted, sector, exact=exact) + more * GRAIN
    placed = place(wanted, total, sector)
    assert [one.index for one in placed] == list(range(len(wanted)))
    end = first_usable(total, sector) * sector
    for one, what in zip(placed, wanted, strict=True):
        assert one.offset >= end and one.offset % GRAIN == 0
        assert what.least <= one.size and (what.most is None or one.size <= what.most) and one.size % GRAIN == 0
        assert one.padding >= what.least_padding
        end = one.offset + one.size + one.padding
    assert placed[-1].offset + placed[-1].size <= total - sector - 16384


def test_small_disks_begin_early() -> None:
    assert first_usable(SMALL_DISK, 512) == 34 and first_usable(SMALL_DISK + 4096, 512) == 2048
    assert first_usable(SMALL_DISK, 4096) == 6 and first_usable(SMALL_DISK + 4096, 4096) == 256
    (one,) = place([Wanted(4096, 4096)], 1 << 20, 512)
    assert (one.offset, one.size) == (40 * 512, 4096)


def test_a_partition_that_grows_takes_all() -> None:
    (one,) = place([Wanted(102400)], auto_size([Wanted(102400)], 512, exact=True), 512)
    assert (one.offset, one.size) == (20480, 1130496)


def test_the_least_important_are_dropped_first() -> None:
    wanted = [Wanted(1 << 20), Wanted(1 << 20, priority=1), Wanted(1 << 20, priority=7), Wanted(1 << 20, priority=7)]
    assert [one.index for one in place(wanted, 3 << 20, 512)] == [0, 1]
    with pytest.raises(ValueError, match="partitions need 2097152 bytes"):
        place([Wanted(1 << 20), Wanted(1 << 20, priority=-1)], 2 << 20, 512)
