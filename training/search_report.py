"""What came of a search: a table and a picture of its trials."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState


def write_csv(study: optuna.Study, path: Path) -> None:
    """One row a trial: number, state, score, epochs, and the options."""
    begun = [trial for trial in study.trials if "options" in trial.user_attrs]
    beside = path.with_name(f".{path.name}")
    with beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["trial", "state", "score", "epochs", *begun[0].user_attrs["options"]])
        writer.writeheader()
        for trial in begun:
            row = {"trial": trial.number, "state": trial.state.name.lower(), "epochs": len(trial.intermediate_values)}
            # What was pruned has no value, but a last score.
            score = trial.value if trial.value is not None else trial.intermediate_values.get(row["epochs"] - 1)
            writer.writerow(row | {"score": score} | trial.user_attrs["options"])
    os.replace(beside, path)


def write_plot(study: optuna.Study, options: Sequence[str], monitor: str, path: Path) -> None:
    """The score of every epoch of every trial, and the final ones over each option."""
    from matplotlib.figure import Figure

    done = study.get_trials(states=(TrialState.COMPLETE,))
    figure = Figure(figsize=(4 * (1 + len(options)), 3.5), layout="constrained")
    first, *others = figure.subplots(1, 1 + len(options), squeeze=False)[0]
    for trial in study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)):
        epochs = sorted(trial.intermediate_values)
        style = {"alpha": 0.8} if trial.state == TrialState.COMPLETE else {"alpha": 0.4, "linestyle": ":"}
        first.plot([epoch + 1 for epoch in epochs], [trial.intermediate_values[epoch] for epoch in epochs], **style)
    first.set(title="trials (dotted: pruned)", xlabel="epoch", ylabel=monitor)
    for axes, name in zip(others, options, strict=True):
        values = [trial.user_attrs["options"][name] for trial in done]
        axes.scatter(values, [trial.value for trial in done])
        axes.set(xlabel=name, ylabel=monitor)
        numbers = [value for value in values if isinstance(value, int | float) and value > 0]
        if len(numbers) == len(values) and numbers and max(numbers) >= 10 * min(numbers):
            axes.set_xscale("log")
    figure.savefig(path, dpi=100)
