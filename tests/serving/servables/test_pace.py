"""When the next smaller batch is run instead of one that would be mostly padding."""

import pytest

from serving.servables.pace import Pace
from serving.servables.policy import BatchPolicy

POLICY = BatchPolicy(max_batch_size=64, allowed_batch_sizes=(1, 4, 16, 64))


@pytest.mark.parametrize(
    ("rows", "small", "large", "worthwhile"),
    [
        (16, 4.0, 12.0, 16),  # as it is
        (64, 4.0, 12.0, 64),
        (32, 4.0, 12.0, 16),  # 0.25 a row, against 0.375
        (50, 4.0, 12.0, 50),  # against 0.24
        (17, 4.0, 4.1, 17),
        (17, 4.0, 12.0, 16),
    ],
)
def test_what_takes_less_time_a_row_is_run(rows, small, large, worthwhile):
    pace = Pace(POLICY)
    pace.ran((), 16, small)
    pace.ran((), 64, large)
    assert pace.worthwhile((), rows) == worthwhile


def test_nothing_is_put_off_before_both_sizes_are_known():
    pace = Pace(POLICY)
    assert pace.worthwhile((), 32) == 32
    pace.ran((), 16, 1.0)
    assert pace.worthwhile((), 32) == 32
    pace.ran((7,), 64, 100.0)  # of other lengths
    assert pace.worthwhile((), 32) == 32
    pace.ran((), 64, 100.0)
    assert pace.worthwhile((), 32) == 16


def test_without_sizes_all_is_run():
    assert Pace(BatchPolicy(allowed_batch_sizes=())).worthwhile((), 63) == 63


def test_a_size_that_has_become_faster_gets_its_chance():
    pace = Pace(POLICY)
    pace.ran((), 16, 4.0)
    pace.ran((), 64, 1000.0)  # before it was compiled
    chosen = []
    for _ in range(3000):
        chosen.append(pace.worthwhile((), 32))
        pace.ran((), 64 if chosen[-1] == 32 else 16, 5.0 if chosen[-1] == 32 else 4.0)
    assert chosen[0] == 16
    assert chosen[-1] == 32
    assert chosen[:64].count(32) == 1
