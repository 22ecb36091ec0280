import numpy as np
import pytest

from training.forecaster.generated import generate
from training.forecaster.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_makes_series_that_move(kind: str) -> None:
    for one in generate(5, seed=1, kind=kind):
        observed = one.values[np.isfinite(one.values)]
        assert len(observed) > len(one) / 2
        assert observed.std() > 0
        assert len(one.holidays) == len(one)


def test_kinds_are_what_they_are_called() -> None:
    def share(kind: str, of: object) -> float:
        return float(np.mean([of(one.values[np.isfinite(one.values)]) for one in generate(12, seed=2, kind=kind)]))

    def weekly(values: np.ndarray) -> float:
        return np.mean(np.abs(values[7:] - values[:-7])) / np.mean(np.abs(values[1:] - values[:-1]))

    assert share("walk", weekly) > 1.5 > share("transport", weekly)
    assert share("rare", lambda values: np.mean(values == values.min())) > 0.3
    assert share("cash", weekly) < 1.2


def test_all_kinds_are_drawn() -> None:
    assert {one.name.rpartition(":")[2] for one in generate(200, days=(30, 40))} == set(KINDS)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="Received: 'tides'"):
        generate(1, kind="tides")
