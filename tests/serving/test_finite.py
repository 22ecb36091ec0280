import numpy as np
import pytest

from serving.datatypes import is_finite


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_is_found_wherever_it_is(dtype, odd):
    for size, at in ((1, 0), (1000, 0), (1000, 500), (1000, 999)):
        values = np.ones(size, dtype)
        assert is_finite(values)
        values[at] = odd
        assert not is_finite(values)


def test_infinities_that_cancel_and_sums_that_overflow_deceive_nobody():
    assert not is_finite(np.array([np.inf, -np.inf], np.float32))
    assert is_finite(np.full(10, np.finfo(np.float32).max))
    assert is_finite(np.zeros((0, 3), np.float32))
    assert is_finite(np.float32(3)[()] * np.ones(()))
