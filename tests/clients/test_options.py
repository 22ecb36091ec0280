"""Time and retries, on a clock of our own."""

import pytest

from seqserve_client import DeadlineExceeded, InvalidInput, Overloaded, Retry, Timeout, Unavailable
from seqserve_client._options import Tries


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def longest_wait(low: float, high: float) -> float:
    assert low == 0
    return high


def test_waits_double_up_to_the_longest():
    retry = Retry(first=0.1, factor=2, longest=0.5)
    assert [retry.ceiling(n) for n in (1, 2, 3, 4, 5)] == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.5])


def test_waits_are_drawn_from_nothing_to_the_ceiling():
    tries = Tries(Retry(tries=1000, longest=0.1), 1e9)
    waits = [tries.wait_after(Unavailable("")) for _ in range(500)]
    assert 0 <= min(waits) < 0.01
    assert 0.09 < max(waits) <= 0.1


def test_gives_up_after_so_many_tries():
    tries = Tries(Retry(tries=3), 10, clock=Clock(), uniform=longest_wait)
    error = Unavailable("gone")
    assert [tries.wait_after(error), tries.wait_after(error)] == [0.1, 0.2]
    with pytest.raises(Unavailable, match="gone"):
        tries.wait_after(error)


def test_never_waits_past_the_deadline():
    clock = Clock()
    tries = Tries(Retry(tries=10, first=1), 2.5, clock=clock, uniform=longest_wait)
    clock.now += tries.wait_after(Unavailable("gone"))
    with pytest.raises(Unavailable, match="gone"):
        tries.wait_after(Unavailable("gone"))


@pytest.mark.parametrize("error", [InvalidInput("no"), Overloaded("full"), DeadlineExceeded("late")])
def test_only_unavailable_is_tried_again(error):
    with pytest.raises(type(error)):
        Tries(Retry(), 10).wait_after(error)


def test_time_that_is_up_says_how_much_there_was():
    clock = Clock()
    tries = Tries(Retry(), 2.5, clock=clock)
    assert tries.remaining() == 2.5
    clock.now += 3
    with pytest.raises(DeadlineExceeded, match=r"within 2\.5 s"):
        tries.remaining()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeout(infer=0),
        lambda: Timeout(upload=float("nan")),
        lambda: Retry(tries=0),
        lambda: Retry(first=-1),
        lambda: Retry(first=3, longest=2),
        lambda: Tries(Retry(), 0),
    ],
)
def test_refuses_options_that_make_no_sense(make):
    with pytest.raises(ValueError, match="Received: "):
        make()
