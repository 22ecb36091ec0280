"""Writes the forecaster as a version that a server can load."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from training import saving, starting
from training.fitting import FitOptions, FitReport
from training.forecaster import data, rolling
from training.forecaster.card import card
from training.forecaster.features import CONTEXT, HORIZON, MEMORY
from training.forecaster.generated import SOURCE, generate
from training.forecaster.model import ForecasterConfig, answer, build, split
from training.report import markdown_table

NAME = "forecaster"
GENERATED = "Series made up of seasons, trend, level shifts, holidays, gaps and noise; no licence applies."
_SAMPLE = 20  # generated series that the figures are taken from when there are no others
INPUTS = {
    "history": tf.TensorSpec([None, None], tf.float32),
    "end_day": tf.TensorSpec([None], tf.int32),
}
WITH_HOLIDAYS = "with_holidays"
FLAGS = {"holidays": tf.TensorSpec([None, None], tf.float32)}
RULES = {
    "history": saving.InputRule(
        axis=1,
        side="left",
        value=math.nan,
        buckets=(CONTEXT, MEMORY),  # the graph pads to one of them anyway
        min_length=7,
        nan_allowed=True,
        min_observed=7,
    ),
    # Both end at known places, the history with its last day and this a week later, so each is padded by itself.
    "holidays": saving.InputRule(
        axis=1,
        side="left",
        value=0.0,
        buckets=(CONTEXT + HORIZON, MEMORY + HORIZON),
        min_length=HORIZON,
        nan_allowed=False,
    ),
}

# Each size costs seconds of compilation, and a week is forecast for 16 series almost as fast as for 8.
BATCHING = saving.Batching(allowed_batch_sizes=(1, 4, 16, 64))


def export(
    models: Path,
    model: keras.Model,
    series: Sequence[data.Series],
    test_from: Mapping[str, data.TestFrom],
    *,
    report: FitReport,
    options: FitOptions,
    about: str | None = None,
    left_out: Sequence[str] = (),
) -> Path:
    """Write the next version of models/forecaster and return its directory.

    `about` says in the card where the series are from and under which licence; None stands for generated ones.
    `left_out` names files whose kind of series was kept from the training.
    """
    facts = {**report.facts, "left_out": list(left_out), "history": [dict(row) for row in report.history]}
    described = card(
        model,
        series,
        test_from,
        figures=_figures(model, series, test_from),
        report=report,
        options=options,
        about=about or GENERATED,
        left_out=left_out,
    )
    return _write(models, model, described, facts)


def renew(version: Path, models: Path, config: ForecasterConfig | None = None) -> Path:
    """Write the weights of an exported version with the graph of today, as the next version of models/forecaster.

    Its card and facts stay. Raises ValueError where the configuration is not the one that was exported.
    """
    model = build(config)
    starting.begin_with(model, [version])
    extra = version / "assets.extra"
    facts = json.loads((extra / "training.json").read_text())
    return _write(models, model, (extra / "model_card.md").read_text(encoding="utf-8"), facts)


def _write(models: Path, model: keras.Model, described: str, facts: Mapping[str, Any]) -> Path:
    # One function, so that the graph, which outweighs the weights, is written once for both signatures.
    @tf.function(input_signature=[*INPUTS.values(), *FLAGS.values()], autograph=False)
    def with_holidays(history: tf.Tensor, end_day: tf.Tensor, holidays: tf.Tensor) -> dict[str, tf.Tensor]:
        return split(answer(model, history, end_day, holidays))

    def core(history: tf.Tensor, end_day: tf.Tensor) -> dict[str, tf.Tensor]:
        return with_holidays(history, end_day, tf.zeros((tf.shape(history)[0], HORIZON)))

    return saving.export(
        models,
        NAME,
        model=model,
        core=core,
        inputs=INPUTS,
        rules=RULES,
        batching=BATCHING,
        warmup=_warmup(),
        card=described,
        facts=facts,
        further={
            WITH_HOLIDAYS: saving.Signature(
                core=with_holidays, inputs=INPUTS | FLAGS, warmup=[_flagged(request) for request in _warmup()]
            )
        },
    )


def _figures(model: keras.Model, series: Sequence[data.Series], test_from: Mapping[str, data.TestFrom]) -> str:
    """The errors on the test parts, as a table."""
    measured = [one for one in series if one.source != SOURCE] or series[:_SAMPLE]
    parts = rolling.groups(measured, {k: v for k, v in test_from.items() if k != SOURCE})
    ask = tf.function(lambda history, end_day: split(answer(model, history, end_day)), reduce_retracing=True)

    def forecast(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return joined(ask(tf.constant(inputs["history"]), tf.constant(inputs["end_day"])))

    lines = []
    for part in parts:
        ours, simplest = (
            rolling.Errors.of(part, rolling.forecasts(method, part)) for method in (forecast, rolling.naive)
        )
        lines.append(
            {
                "series": part.name,
                "origins": part.count,
                "MAE": f"{ours.mae:,.5g}",
                "seasonal naive MAE": f"{simplest.mae:,.5g}",
                "MASE": f"{ours.mase:.3f}",
                "seasonal naive MASE": f"{simplest.mase:.3f}",
                "scaled pinball loss": f"{ours.scaled_pinball:.3f}",
                "80% coverage": f"{ours.coverage:.1%}",
            }
        )
    return markdown_table(lines)


def joined(outputs: Mapping[str, tf.Tensor]) -> np.ndarray:
    """The outputs of a signature as one array, [batch, 7, 1 + 9]."""
    return np.concatenate([outputs["mean"].numpy()[..., None], outputs["quantiles"].numpy()], axis=-1)


def _warmup() -> list[dict[str, np.ndarray]]:
    """Requests such as people send: one series of a few months, and four of three years whose dates are unknown."""
    requests = []
    for seed, (days, batch, dated) in enumerate([(CONTEXT - 12, 1, True), (MEMORY, 4, False)]):
        made = generate(batch, seed=seed, days=(days, days), kind="transport")
        end_day = [one.first_day + days - 1 if dated else -1 for one in made]
        requests.append({"history": np.stack([one.values for one in made]), "end_day": np.array(end_day, "int32")})
    return requests


def _flagged(request: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same request with a holiday every 30 days."""
    rows, days = request["history"].shape
    flags = np.zeros((rows, days + HORIZON), "float32")
    flags[:, ::30] = 1.0
    return {**request, "holidays": flags}
