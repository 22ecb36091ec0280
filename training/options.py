"""The options that all families' commands share, and what they do when the fit is over."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import keras
import typer

from training import strategy
from training.datasets.measure import InputMeasuredError
from training.fitting import FitOptions, FitReport
from training.runlog import saved_options

HELP = {
    "run": "Folder for checkpoint, logs and curves.",
    "epochs": "Epochs at most.",
    "batch_size": "Examples a step.",
    "optimizer": "Which rule makes steps of gradients.",
    "learning_rate": "Peak of the schedule.",
    "warm_up": "Share of all steps in which the rate rises to its peak.",
    "momentum": "Of sgd.",
    "weight_decay": "Of adamw and sgd, times the rate.",
    "clip_norm": "Largest norm of a step's gradient.",
    "average": "Decay of the moving average of the weights, which is then measured and kept; 0 for none. Try 0.999.",
    "label_smoothing": "Share of a label's weight that is spread over all classes. Classifiers only.",
    "bptt": "Steps after which gradients stop in recurrent layers; 0 for never.",
    "patience": "Epochs without a better validation score before stopping.",
    "seed": "Of weights, order, variation and generated data.",
    "strategy": "How to spread the work: one device, all GPUs of the machine, or the machines that TF_CONFIG names.",
    "resume": "Continue the run in --run.",
    "export": "Whether to export a version at the end.",
    "measure_input": "Train nothing; measure over so many steps whether training would wait for its input.",
    "export_only": "Export the run in --run as it is, wherever its weights were trained.",
}
_FLAGS = {"resume": ["--resume"], "export": ["--export/--no-export"], "export_only": ["--export-only"]}


def fit_options(
    *, leave_out: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a family's command the options of `FitOptions`, with these defaults in place of the common ones.

    The command has parameters of its own, and `options`, in which it gets what was asked for:

        @fit_options(run=Path("runs/video"), epochs=10)
        def train(folder: ..., *, options: FitOptions) -> None:
            options = dataclasses.replace(options, fixed={"data": ...})

    `leave_out` names those that mean nothing to the family. With `--export-only` the command gets the options that the
    run was started with.
    """
    types = get_type_hints(FitOptions)
    hidden = {"fixed", *leave_out}
    fields = {field.name: field for field in dataclasses.fields(FitOptions) if field.name not in hidden}
    values = {name: defaults.get(name, field.default) for name, field in fields.items()}
    unknown = sorted(defaults.keys() - fields.keys())
    if unknown:
        raise ValueError(f"Expected defaults of {', '.join(fields)}. Received: {', '.join(unknown)}")

    def decorate(train: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(train)
        def command(*args: Any, **given: Any) -> None:
            shared = {name: given.pop(name, default) for name, default in values.items()}
            try:
                train(*args, **given, options=_asked_for(shared))
            except InputMeasuredError as measured:
                typer.echo(measured)

        own = {name: p for name, p in inspect.signature(train).parameters.items() if name != "options"}
        shared = {
            name: inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=value,
                annotation=Annotated[types[name], typer.Option(*_FLAGS.get(name, []), help=HELP[name])],
            )
            for name, value in values.items()
        }
        parameters = own | shared
        command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        command.__annotations__ = {name: p.annotation for name, p in parameters.items()}
        return command

    return decorate


def _asked_for(shared: dict[str, Any]) -> FitOptions:
    if shared["export_only"]:
        shared |= {name: value for name, value in saved_options(shared["run"]).items() if name in shared}
        shared |= {"resume": True}
    options = FitOptions(**shared)
    strategy.begin(options.strategy)  # before anything else makes TensorFlow begin
    return options


def conclude(options: FitOptions, report: FitReport, export: Callable[[], Path]) -> None:
    """Export what was fitted, where this process can and was asked to, and say what became of it."""
    found = f"{report.monitor} {report.best[report.monitor]:.4f} in epoch {report.best_epoch + 1}"
    if not strategy.is_chief(options.strategy):
        typer.echo(f"{found}: the chief writes it")
    elif not options.export:
        typer.echo(f"{found}: {options.run}")
    elif keras.backend.backend() != "tensorflow":
        typer.echo(f"{found}: {options.run}. Export it with KERAS_BACKEND=tensorflow and --export-only")
    else:
        typer.echo(f"{found}: {export()}")
