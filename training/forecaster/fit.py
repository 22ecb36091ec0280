"""Fits an architecture to series, and calibrates its intervals."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras
import numpy as np

from training import fitting
from training.forecaster import architectures, data, model
from training.forecaster.augment import Augmentation
from training.forecaster.calibration import calibrate, last_year
from training.forecaster.generated import SOURCE


def fit(
    series: Sequence[data.Series],
    test_from: Mapping[str, data.TestFrom],
    options: fitting.FitOptions,
    *,
    config: model.ForecasterConfig | None = None,
    augmentation: Augmentation | None = None,
    steps: int,
) -> tuple[keras.Model, fitting.FitReport]:
    """The forecaster, fitted to what lies before the test parts, and kept where it did best on validation.

    Its intervals are calibrated on the year before the test parts of real series, or of generated ones where there are
    no others.
    """
    config = config or model.ForecasterConfig()
    train_spans, valid_spans, _ = data.split(series, test_from)
    windows, fixed = data.Windows(train_spans, augmentation), data.FixedWindows(valid_spans)
    fitting.start(options)
    fitted = model.build(config)
    valid = fitting.Batches(fixed.size, options.batch_size, fixed.collate, shuffle=False)
    if fitted.trainable_variables:
        report = fitting.fit(
            fitted,
            fitting.Batches(steps * options.batch_size, options.batch_size, windows.collate, seed=options.seed),
            valid,
            loss=model.forecast_loss,
            monitor="val_loss",
            mode="min",
            options=options,
        )
    else:
        report = _untrained(fitted, valid, options)
    fitted = fitting.in_float32(fitted, lambda: model.build(config))
    real = [span for span in valid_spans if span.series.source != SOURCE]
    calibrate(fitted, last_year(real or valid_spans))
    return fitted, replace(report, facts={"architecture": config.architecture, **report.facts})


def expect_fit(name: str, options: fitting.FitOptions) -> None:
    """Refuse what only a fit can do, where the architecture has nothing to fit and all there is to do is export it."""
    asked = {
        "--measure-input": options.measure_input,
        "--export-only": options.export_only,
        "--no-export": not options.export,
    }
    if name in architectures.UNTRAINED and any(asked.values()):
        said = ", ".join(flag for flag, given in asked.items() if given)
        raise ValueError(f"Expected none of {', '.join(asked)} for {name}, which is not trained. Received: {said}")


def _untrained(fitted: keras.Model, valid: fitting.Batches, options: fitting.FitOptions) -> fitting.FitReport:
    """The report of a model that has nothing to fit: how good it is as it is."""
    began = time.monotonic()
    losses = [
        keras.ops.convert_to_numpy(model.forecast_loss(targets, fitted(inputs, training=False)))
        for inputs, targets in (valid[index] for index in range(len(valid)))
    ]
    return fitting.FitReport(
        history=[{"val_loss": float(np.mean(np.concatenate(losses)))}],
        best_epoch=0,
        monitor="val_loss",
        seconds=time.monotonic() - began,
        run=options.run,
        facts={"parameters": fitted.count_params(), "seconds_per_epoch": 0.0, "epochs": 0, "seed": options.seed},
    )
