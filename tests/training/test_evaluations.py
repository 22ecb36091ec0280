from collections.abc import Sequence
from pathlib import Path

import pytest

from training import evaluations
from training.__main__ import FAMILIES

from .parsing import parse


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_family_is_given_are_options_of_its_command(family: str, tmp_path: Path) -> None:
    given = evaluations.arguments(tmp_path, tmp_path)
    assert set(given) == set(FAMILIES)
    parse(["evaluate", family, *given[family], "--model", str(tmp_path), "--save", str(tmp_path)])


def test_the_latest_version_of_every_family_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for family in FAMILIES:
        for version in ("9", "10", "notes"):
            (tmp_path / "models" / family / version).mkdir(parents=True)
    (tmp_path / "others/video/3").mkdir(parents=True)
    asked: dict[str, Sequence[str]] = {}
    monkeypatch.setattr(evaluations, "_run", lambda words: asked.setdefault(words[0], words))
    models = [tmp_path / "models", tmp_path / "others"]
    evaluations.evaluate_all(tmp_path / "data", models=models, cache=tmp_path / "kept", save=tmp_path)
    assert list(asked) == list(FAMILIES)
    versions = [asked["video"][at + 1] for at, word in enumerate(asked["video"]) if word == "--model"]
    assert versions == [str(tmp_path / "models/video/10"), str(tmp_path / "others/video/3")]
    assert str(tmp_path / "kept/baselines") in asked["forecaster"]
    assert all(words[-2:] == ["--save", str(tmp_path)] for words in asked.values())


def test_a_family_without_versions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Expected versions of forecaster below .*Received: none"):
        evaluations.evaluate_all(tmp_path, models=[tmp_path])
