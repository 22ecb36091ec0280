"""The folder of one run: an atomic checkpoint, and the logs, figures and curves a person looks at."""

import csv
import dataclasses
import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from training.averaging import kept_weights
from training.strategy import is_chief

if TYPE_CHECKING:
    from training.fitting import Batches, FitOptions

CHECKPOINT = "checkpoint.npz"
_FREE = ("run", "resume", "export", "export_only", "measure_input", "strategy", "fixed")
"""Options that may change between the parts of a run: what is learnt does not depend on them."""


def expect_same_run(options: "FitOptions") -> None:
    """Refuse to overwrite the run in the folder, and to continue it with other options than it was started with.

    Cheap: ask before data is decoded or generated.

    Raises:
        FileExistsError: the folder holds a run, and `options.resume` is off.
        ValueError: the run was started with other options, or on other data; the message names them.
    """
    path = options.run / CHECKPOINT
    if not path.exists():
        return
    if not options.resume:
        raise FileExistsError(
            f"Expected an empty folder for a new run; pass --resume to continue the run in it, or another folder. "
            f"Received: {options.run}"
        )
    saved, given = saved_options(options.run), fixed_options(options)
    changed = sorted(name for name in saved.keys() | given.keys() if saved.get(name) != given.get(name))
    if changed:
        said = ", ".join(f"{name}={saved.get(name)} (received {given.get(name)})" for name in changed)
        raise ValueError(f"Expected the options that the run was started with: {said}")


def saved_options(run: Path) -> dict[str, Any]:
    """The options that the run in the folder was started with; those that it did not know yet, as they are by default.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    from training.fitting import FitOptions

    path = run / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"Expected a folder with a run, that is, with {CHECKPOINT}. Received: {run}")
    with np.load(path) as checkpoint:
        saved: dict[str, Any] = json.loads(str(checkpoint["about"]))["options"]
    known = {field.name: field.default for field in dataclasses.fields(FitOptions) if field.name not in _FREE}
    return known | saved


class RunLog:
    """State of a run that outlives the process: weights, optimizer, random generators, history, best weights.

    The checkpoint is written beside its place and renamed after every epoch, so that it is whole at any moment.
    """

    def __init__(self, options: "FitOptions", model: keras.Model, *, monitor: str, mode: str) -> None:
        self.options, self.model, self.monitor = options, model, monitor
        self.mode = mode
        self.history: list[dict[str, float]] = []
        self.best_epoch = -1
        self.best: list[np.ndarray] = []
        self.writes = is_chief(options.strategy)

    @property
    def path(self) -> Path:
        return self.options.run / CHECKPOINT

    @property
    def finished(self) -> bool:
        done = len(self.history)
        return done >= self.options.epochs or (done > 0 and done - 1 - self.best_epoch >= self.options.patience)

    def begin(self) -> int:
        """Take the folder for a new run, or continue the run in it, as the options say; returns the next epoch."""
        expect_same_run(self.options)
        if not self.path.exists():
            self.options.run.mkdir(parents=True, exist_ok=True)
            return 0
        with np.load(self.path) as saved:
            for group, variables in self._variables().items():
                _assign(group, variables, _arrays(saved, group))
        self.recall()
        return len(self.history)

    def recall(self) -> None:
        """Take the history and the best weights from the run in the folder, and nothing that only training needs.

        A run of another backend, or in half precision, has other variables, but the same weights.
        """
        with np.load(self.path) as saved:
            about, self.best = json.loads(str(saved["about"])), _arrays(saved, "best")
        self.history, self.best_epoch = about["history"], about["best_epoch"]

    def record(self, row: dict[str, float]) -> None:
        """Keep one epoch: its figures, the state after it, and its weights where they are the best so far."""
        if self.monitor not in row:
            raise ValueError(f"Expected monitor to be one of {sorted(row)}. Received: {self.monitor!r}")
        if not math.isfinite(row["loss"]):
            raise FloatingPointError(
                f"Training diverged in epoch {len(self.history) + 1}. Received: loss {row['loss']}"
            )
        self.history.append(row)
        if self.mode == "last" or self.best_epoch < 0 or self._score(row) > self._score(self.history[self.best_epoch]):
            self.best_epoch = len(self.history) - 1
            self.best = kept_weights(self.model)
        if self.writes:
            self._save()
            _write_csv(self.options.run / "log.csv", self.history)

    def _score(self, row: dict[str, float]) -> float:
        """The greater the better; what is no finite number is worse than any."""
        score = row[self.monitor] if self.mode == "max" else -row[self.monitor]
        return score if math.isfinite(score) else -math.inf

    def put_best(self) -> None:
        """Put the best weights into the model."""
        _assign("model", self.model.weights, self.best)

    def finish(self) -> None:
        """Put the best weights into the model; write metrics.json and the curves."""
        self.put_best()
        if not self.writes:
            return
        about = {
            "options": {**fixed_options(self.options), "run": self.options.run.name},
            "monitor": self.monitor,
            "epochs": len(self.history),
            "best_epoch": self.best_epoch + 1,
            "best": self.history[self.best_epoch],
            "parameters": self.model.count_params(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        }
        (self.options.run / "metrics.json").write_text(json.dumps(about, indent=2) + "\n")
        _draw(self.options.run / "run.png", self.history, self.best_epoch)

    def _variables(self) -> dict[str, list[keras.Variable]]:
        metrics = {id(variable) for variable in self.model.metrics_variables}
        optimizer = {id(variable) for variable in self.model.optimizer.variables}
        state = [v for v in self.model.variables if id(v) not in metrics | optimizer]
        return {"model": state, "optimizer": self.model.optimizer.variables}

    def _save(self) -> None:
        about = {"options": fixed_options(self.options), "history": self.history, "best_epoch": self.best_epoch}
        groups = {group: [v.numpy() for v in variables] for group, variables in self._variables().items()}
        groups["best"] = self.best
        arrays = {f"{group}/{i:05d}": value for group, values in groups.items() for i, value in enumerate(values)}
        beside = self.path.with_name(f".{CHECKPOINT}.{os.getpid()}")
        with beside.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)


class Progress(keras.callbacks.Callback):
    """Tells the batches which epoch it is, and the log how each epoch went; stops when the log has seen enough."""

    def __init__(self, log: RunLog, train: "Batches") -> None:
        super().__init__()
        self.log, self.train = log, train

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self.writer = None
        if self.log.writes:
            from tensorboard.summary import Writer  # reads only numpy; costs a second to import

            self.writer = Writer(str(self.log.options.run / "tensorboard"))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        self.train.epoch = epoch
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row = {name: float(value) for name, value in (logs or {}).items()}
        row |= {"learning_rate": rate, "seconds": time.monotonic() - self.began}
        self.log.record(row)
        if self.writer:
            for name, value in row.items():
                self.writer.add_scalar(name, value, epoch)
            self.writer.flush()
        self.model.stop_training = self.log.finished

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        if self.writer:
            self.writer.close()


def fixed_options(options: "FitOptions") -> dict[str, Any]:
    """What must not change between the parts of one run, as JSON gives it back."""
    given = dataclasses.asdict(options)
    own = {name: value for name, value in given.items() if name not in _FREE}
    fixed: dict[str, Any] = json.loads(json.dumps(own | given["fixed"]))
    return fixed


def _arrays(saved: Any, group: str) -> list[np.ndarray]:
    return [saved[key] for key in sorted(saved.files) if key.startswith(f"{group}/")]


def _assign(group: str, variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    expected, received = [tuple(v.shape) for v in variables], [value.shape for value in values]
    if expected != received:
        raise ValueError(
            f"Expected a checkpoint of this model ({len(expected)} {group} variables). "
            f"Received: one with {len(received)} variables, or other shapes"
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _write_csv(path: Path, history: list[dict[str, float]]) -> None:
    beside = path.with_name(f".{path.name}")
    with beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", *history[0]])
        writer.writeheader()
        writer.writerows({"epoch": epoch + 1, **row} for epoch, row in enumerate(history))
    os.replace(beside, path)


def _draw(path: Path, history: list[dict[str, float]], best_epoch: int) -> None:
    """Learning curves: one panel a metric, training and validation together."""
    from matplotlib.figure import Figure

    names = [name for name in history[0] if f"val_{name}" in history[0]]
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    epochs = range(1, len(history) + 1)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(epochs, [row[name] for row in history], label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], label="validation")
        axes.axvline(best_epoch + 1, color="grey", linestyle=":", label="kept")
        axes.set(title=name, xlabel="epoch")
        axes.legend()
    figure.savefig(path, dpi=100)
