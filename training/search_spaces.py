"""What `python -m training search` varies in each family, and by which figure it tells better from worse."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import optuna

Value = float | int | str


@dataclass(frozen=True)
class Range:
    """Any number from `low` to `high`, a whole one where both are of type int.

    Evenly by its logarithm where they are ten times apart or more.
    """

    low: float
    high: float

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high >= 10 * self.low

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: optuna.Trial, name: str) -> Value:
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.4g}")

    def grid(self) -> list[Value]:
        """Both ends and the middle."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        between = round(middle) if self.whole else float(f"{middle:.4g}")
        return list(dict.fromkeys([self.low, between, self.high]))


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Value, ...]

    def suggest(self, trial: optuna.Trial, name: str) -> Value:
        return trial.suggest_categorical(name, self.values)

    def grid(self) -> list[Value]:
        return list(self.values)


@dataclass(frozen=True, kw_only=True)
class Space:
    """The options of a family's command that are varied, and the column of the log that is to be low or high.

    shared: folders in a run's that do not depend on these options, and that all trials have in common.
    unused: those of the options that an architecture has no use for, by its name.
    """

    monitor: str
    mode: Literal["min", "max"]
    options: Mapping[str, Range | Choice]
    shared: Sequence[str] = ()
    unused: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def of(self, architecture: str | None) -> "Space":
        """The space without what that architecture, None for the default one, has no use for."""
        unused = self.unused.get(architecture or "", ())
        return replace(self, options={name: given for name, given in self.options.items() if name not in unused})


SPACES = {
    "forecaster": Space(
        monitor="val_loss",
        mode="min",
        options={
            "learning-rate": Range(5e-4, 8e-3),
            "weight-decay": Range(1e-3, 1e-1),
            "dropout": Range(0.0, 0.4),
            "units": Choice((64, 96, 128)),
            "average": Choice((0.0, 0.99, 0.998)),
        },
        unused={"lstm": ["units"]},
    ),
    "sketchrnn": Space(
        monitor="val_accuracy",
        mode="max",
        options={
            "learning-rate": Range(5e-4, 5e-3),
            "weight-decay": Range(1e-3, 1e-1),
            "dropout": Range(0.1, 0.5),
            "label-smoothing": Choice((0.0, 0.05, 0.1)),
            "batch-size": Choice((64, 128, 256)),
        },
    ),
    "video": Space(
        monitor="val_accuracy",  # losses of smoothed labels cannot be compared
        mode="max",
        options={
            "learning-rate": Range(3e-4, 5e-3),
            "weight-decay": Range(1e-3, 1e-1),
            "dropout": Range(0.0, 0.5),
            "label-smoothing": Choice((0.0, 0.1)),
        },
        shared=["clips"],  # decoded or generated, which takes longer than many a trial
    ),
}


def parse(given: Sequence[str]) -> dict[str, Range | Choice]:
    """`["learning-rate=1e-4..1e-2", "units=32..128", "optimizer=adam,sgd"]` as options by name.

    Raises:
        ValueError: for anything else.
    """
    options: dict[str, Range | Choice] = {}
    for item in given:
        name, _, values = item.partition("=")
        low, between, high = values.partition("..")
        try:
            options[name.removeprefix("--")] = (
                Range(_number(low), _number(high)) if between else Choice(tuple(map(_value, values.split(","))))
            )
            if not (name and values) or (between and not float(low) < float(high)):
                raise ValueError(item)
        except ValueError:
            raise ValueError(f"Expected NAME=LOW..HIGH or NAME=A,B,C. Received: {item}") from None
    return options


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _value(text: str) -> Value:
    try:
        return _number(text)
    except ValueError:
        return text
