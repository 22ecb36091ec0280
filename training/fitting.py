"""What the three families share about fitting: options, batches, the schedule, early stopping and resuming."""

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from training import strategy
from training.averaging import AverageInValidation
from training.checks import expect_positive, expect_share
from training.datasets import pipeline, prepared
from training.datasets.measure import InputMeasuredError, measure
from training.optimizers import optimizer
from training.runlog import Progress, RunLog

Collate = Callable[[np.ndarray, np.random.Generator], tuple[Any, Any]]
"""Makes (inputs, targets) of the examples at these indices; all randomness comes from the generator."""


OptimizerName = Literal["adamw", "adam", "rmsprop", "nadam", "sgd"]
StrategyName = Literal["none", "mirrored", "multi_worker"]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How long, how fast and how carefully to fit, and the folder that keeps the run.

    What each option means is in `training.options.HELP`. fixed: what else must not change between the parts of a run,
    by name: the command's other options, the data.
    """

    run: Path
    epochs: int = 20
    batch_size: int = 64
    optimizer: OptimizerName = "adamw"
    learning_rate: float = 1e-3
    warm_up: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average: float = 0.0
    label_smoothing: float = 0.0
    bptt: int = 0
    patience: int = 10
    seed: int = 0
    strategy: StrategyName = "none"
    resume: bool = False
    export: bool = True
    export_only: bool = False
    measure_input: int = 0
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expect_positive(self, ("epochs", "batch_size", "learning_rate", "clip_norm", "patience"))
        expect_share(self, ("warm_up", "momentum", "average", "label_smoothing"), below_all=True)
        if self.bptt < 0:
            raise ValueError(f"bptt must be a number of steps, or 0 for no truncation. Received: {self.bptt}")
        for name, names in (("optimizer", OptimizerName), ("strategy", StrategyName)):
            if getattr(self, name) not in get_args(names):
                known = ", ".join(get_args(names))
                raise ValueError(f"{name} must be one of {known}. Received: {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """What a fit came to: one row of figures an epoch, and which epoch was kept.

    facts: what a comparison of models wants to know: parameters, seconds an epoch (with its validation), seed and so
    on, as JSON has them; a family exports them with its own.
    """

    history: Sequence[Mapping[str, float]]
    best_epoch: int
    monitor: str
    seconds: float
    run: Path
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Mapping[str, float]:
        """The figures of the epoch whose weights were kept."""
        return self.history[self.best_epoch]


class Batches(keras.utils.PyDataset):
    """Batches of `size` examples in an order that follows from (seed, epoch) alone.

    With `lengths`, examples are shuffled, then sorted by length inside windows of `window` batches, so that a batch
    holds examples of like length and little is padded. The longest batch comes first and the shortest second: memory
    runs out in the first step or never, and Keras, which takes shapes from the first two, sees that lengths vary.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        collate: Collate,
        *,
        seed: int = 0,
        shuffle: bool = True,
        lengths: np.ndarray | None = None,
        window: int = 50,
        **workers: Any,
    ) -> None:
        super().__init__(**workers)
        if size < 1:
            raise ValueError(f"Expected at least one example to make batches of. Received: {size}")
        self.size, self.batch_size, self.collate = size, batch_size, collate
        self.seed, self.shuffle, self.lengths, self.window = seed, shuffle, lengths, window
        self._epoch = -1
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._batches = self._plan()

    def _plan(self) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, self.epoch if self.shuffle else 0])
        order = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
        if self.lengths is None:
            return np.split(order, range(self.batch_size, self.size, self.batch_size))
        batches: list[np.ndarray] = []
        for start in range(0, self.size, self.batch_size * self.window):
            part = order[start : start + self.batch_size * self.window]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += np.split(part, range(self.batch_size, len(part), self.batch_size))
        batches = [batches[i] for i in rng.permutation(len(batches))] if self.shuffle else batches
        batches.sort(key=lambda batch: -self.lengths[batch].max())
        extremes, rest = [batches[0], *batches[1:][-1:]], batches[1:-1]
        return extremes + [rest[i] for i in rng.permutation(len(rest))]

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        epoch = self.epoch if self.shuffle else 0
        return self.collate(self._batches[index], np.random.default_rng([self.seed, epoch, index]))


def fingerprint(path: Path | None, *patterns: str) -> str:
    """Tell data apart by the names and sizes of a file, or of those files in a folder that match the patterns.

    Of a prepared dataset, which `path` may name, it is the files of records.
    """
    if path is None:
        return "generated"
    if version := prepared.locate(path):
        path, patterns = version, ("*.tfrecord*",)
    files = [path] if path.is_file() else sorted({file for pattern in patterns for file in path.glob(pattern)})
    facts = [(str(file.relative_to(path)) if file != path else file.name, file.stat().st_size) for file in files]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:8]
    return f"{len(facts)} files of {sum(size for _, size in facts):,} bytes, {digest}"


def start(options: FitOptions) -> None:
    """Spread the work as asked, seed every generator and, where there is a GPU, compute in half precision.

    Call before building the model.
    """
    strategy.begin(options.strategy)
    keras.utils.set_random_seed(options.seed)
    keras.config.set_dtype_policy("mixed_float16" if _has_gpu() else "float32")


def _has_gpu() -> bool:
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:  # JAX's way to say that there is none
        return False


def in_float32(model: keras.Model, build: Callable[[], keras.Model]) -> keras.Model:
    """The same weights in a freshly built model that computes in float32 on one device, as an export needs it."""
    keras.config.set_dtype_policy("float32")
    if not strategy.end() and model.dtype_policy.compute_dtype == "float32":
        return model
    plain = build()
    plain.set_weights(model.get_weights())
    return plain


def fit(
    model: keras.Model,
    train: Batches,
    valid: Batches,
    *,
    loss: Any,
    metrics: Any = None,
    monitor: str,
    mode: str,
    options: FitOptions,
    compiled: bool = False,
) -> FitReport:
    """Fit `model`, which ends with the weights of the epoch that did best on `valid`.

    `monitor` is a column of the log ("val_loss"), `mode` says whether "min" or "max" of it is best, or that the "last"
    epoch is kept whatever its figures, in which case patience does not end the fit.
    With `options.resume` a run that was killed continues after its last whole epoch, as if it had never stopped; with
    `options.export_only` nothing is fitted, and the model gets the best weights of the run in the folder.
    `compiled` asks for XLA: it compiles every batch shape anew, so it pays where all batches have one shape.

    Raises:
        FileExistsError: the folder holds a run already, and `options.resume` is off.
        ValueError: the run in the folder was started with other options or another model.
        FloatingPointError: the loss is no longer a number.
        InputMeasuredError: `options.measure_input` asked for so many steps to be measured, and for no fit.
    """
    if mode not in ("min", "max", "last"):
        raise ValueError(f'mode must be "min", "max" or "last". Received: {mode!r}')
    began = time.monotonic()
    if options.export_only:
        return _recalled(RunLog(options, model, monitor=monitor, mode=mode))
    made = optimizer(options, options.epochs * len(train))
    compiled = compiled or keras.backend.backend() == "jax"
    model.compile(made, loss=loss, metrics=metrics, jit_compile=compiled)
    # Not `made`: in half precision the model wraps it in one that scales the loss and has variables of its own.
    model.optimizer.build(model.trainable_variables)
    if options.measure_input:
        raise InputMeasuredError(measure(model, train, steps=options.measure_input))
    log = RunLog(options, model, monitor=monitor, mode=mode)
    first = log.begin()
    callbacks = [AverageInValidation(), Progress(log, train)]
    if not log.finished and options.strategy != "none":
        from training.together import fit_together  # brings TensorFlow

        fit_together(model, train, valid, first=first, epochs=options.epochs, callbacks=callbacks)
    elif not log.finished:
        model.fit(
            pipeline.feed(train),
            validation_data=pipeline.feed(valid),
            initial_epoch=first,
            epochs=options.epochs,
            shuffle=False,  # the batches come shuffled
            callbacks=callbacks,
            verbose=1 if sys.stdout.isatty() else 2,
        )
    log.finish()
    return _report(log, time.monotonic() - began)


def _recalled(log: RunLog) -> FitReport:
    log.recall()
    log.put_best()  # and leaves what the machine wrote that trained it
    return _report(log, 0.0)


def _report(log: RunLog, seconds: float) -> FitReport:
    facts = {
        "parameters": log.model.count_params(),
        "seconds_per_epoch": round(statistics.median(row["seconds"] for row in log.history), 1),
        "epochs": len(log.history),
        "best_epoch": log.best_epoch + 1,
        "batch_size": log.options.batch_size,
        "optimizer": log.options.optimizer,
        "seed": log.options.seed,
    }
    return FitReport(
        history=log.history,
        best_epoch=log.best_epoch,
        monitor=log.monitor,
        seconds=seconds,
        run=log.options.run,
        facts=facts,
    )
