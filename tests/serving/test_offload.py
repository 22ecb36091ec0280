"""Large work leaves the event loop; small work does not."""

import threading

import pytest

from serving.offload import LARGE_BYTES, sized


@pytest.mark.parametrize(("nbytes", "here"), [(0, True), (LARGE_BYTES, True), (LARGE_BYTES + 1, False)])
async def test_only_large_work_goes_to_a_thread(nbytes: int, here: bool) -> None:
    worked = await sized(nbytes, threading.get_ident)
    assert (worked == threading.get_ident()) is here


@pytest.mark.parametrize("nbytes", [0, LARGE_BYTES + 1])
async def test_errors_come_back(nbytes: int) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await sized(nbytes, int, "x")
