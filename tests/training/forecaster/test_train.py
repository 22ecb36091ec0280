from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.forecaster.train import Sources, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    days = np.datetime64("2024-01-01") + np.arange(200)
    (folder / "shop.csv").write_text("day,sales\n" + "".join(f"{day},{i % 7}\n" for i, day in enumerate(days)))
    return folder


@pytest.fixture(scope="module")
def command(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The options of `python -m training forecaster` for a run that has been made with them."""
    out = tmp_path_factory.mktemp("forecaster")
    options = {
        "folder": folder,
        "split": ["shop=50"],
        "run": out / "run",
        "models": out / "models",
        "generated": 1,
        "epochs": 1,
        "steps": 1,
        "batch_size": 4,
        "units": 4,
    }
    train(**options)
    return options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 2}, r"steps=1 \(received 2\)"),
        ({"generated": 2}, r"generated=1 \(received 2\)"),
        ({"dropout": 0.5}, r"dropout=0.15 \(received 0.5\)"),
        ({"split": ["shop=40"]}, r"split={'shop': '50'} \(received {'shop': '40'}\)"),
        ({"column": ["sales"]}, r"column=None \(received \['sales'\]\)"),
        ({"folder": None}, r"data=1 files of [\d,]+ bytes, \w+ \(received generated\)"),
    ],
)
def test_a_run_continues_with_its_own_options_and_data_only(
    command: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(**(command | changes), resume=True)


def test_the_card_says_how_long_a_history_may_be(command: dict[str, Any]) -> None:
    card = (command["models"] / "forecaster/1/assets.extra/model_card.md").read_text(encoding="utf-8")
    assert "at most 1120 days" in card
    assert "| scaled pinball loss |" in card


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"arch": "lstm", "units": 8, "bptt": 7},
            "dropout, recurrent_dropout for lstm. Received: units=8, bptt=7",
        ),
        (
            {"arch": "conv_gru", "cell": "foo"},
            r"bptt, dropout, recurrent_dropout for conv_gru. Received: cell=foo",
        ),
        ({"arch": "seasonal_naive", "cell": "gru"}, r"only none for seasonal_naive. Received: cell=gru"),
        ({"arch": "seasonal_naive", "dropout": 0.3}, r"only none for seasonal_naive. Received: dropout=0.3"),
        ({"arch": "transformer"}, "Expected an architecture among"),
        ({"arch": "seasonal_naive", "measure_input": 5}, r"not trained. Received: --measure-input$"),
        ({"arch": "seasonal_naive", "export": False}, r"not trained. Received: --no-export$"),
    ],
)
def test_options_that_would_do_nothing_are_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(**given, run=tmp_path / "run", models=tmp_path / "models")
    assert not list(tmp_path.iterdir())


def test_a_file_left_out_may_have_a_place(folder: Path) -> None:
    sources = Sources(
        folder=folder,
        columns=None,
        test_from={},
        generated=0,
        seed=0,
        holidays={"shop": "US"},
        left_out=["shop"],
    )
    assert sources.load() == []
