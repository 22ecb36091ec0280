import time
from pathlib import Path

import pytest

from serving.engine import Engine
from serving.entry import Entry
from serving.repository import Repository


def load(*_: object) -> None:
    raise AssertionError("nothing is loaded here")


def test_an_entrys_limit_is_the_requests_whatever_the_engines_own(tmp_path: Path) -> None:
    engine = Engine(Repository(tmp_path, load), timeout=10)  # type: ignore[arg-type]
    now = time.monotonic()
    for limit in (5, 45):
        with Entry("predict", "REST", limit):
            assert now + limit <= engine.deadline() < now + limit + 2
            assert engine.deadline(now + 1) == now + 1
    with Entry("Predict", "GRPC"):
        assert now + 10 <= engine.deadline() < now + 12


def test_who_answered_is_told_once_after_the_answer_has_gone_out() -> None:
    told: list[tuple[str, str, str]] = []

    def served(model: str, api: str, entrypoint: str, seconds: float) -> None:
        assert 0 <= seconds < 5
        told.append((model, api, entrypoint))

    with Entry("MultiInference", "GRPC") as entry:
        entry.answered("m", served)
        entry.answered("m", served)
        assert told == []
    assert told == [("m", "MultiInference", "GRPC")]


def test_nothing_is_told_of_what_failed() -> None:
    def served(*_: object) -> None:
        raise AssertionError("it failed")

    def fail() -> None:
        with Entry("Predict", "GRPC") as entry:
            entry.answered("m", served)
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()
    with Entry("Predict", "GRPC"):
        pass
