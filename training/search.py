"""`python -m training search FAMILY`: find good options by training with many.

A study lives in a folder: its trials in study.db (SQLite, as Optuna keeps them), a run a trial below trials/, what came
of them in trials.csv and trials.png. A search that was killed goes on where it was, within the trial that it was in.
"""

import fcntl
import itertools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import optuna
import typer
from optuna.trial import FrozenTrial, TrialState

from training.search_report import write_csv, write_plot
from training.search_spaces import SPACES, Space, Value, parse
from training.trials import train_in_a_process

SamplerName = Literal["tpe", "random", "grid"]
PrunerName = Literal["median", "asha", "none"]
Run = Callable[[Mapping[str, Value], Path], Iterator[float]]
"""Trains with these options in this folder, or goes on there, and gives the score of every epoch from the first on."""

MOST_FAILURES = 3  # in a row
SPACE = "Vary this, and only what is named so: NAME=LOW..HIGH or NAME=A,B,C, an option of the family; repeatable."
REST = "Options for all trials, after --: -- --data PATH --epochs 5"


def search(
    family: Annotated[str, typer.Argument(help=f"One of {', '.join(SPACES)}.")],
    rest: Annotated[list[str] | None, typer.Argument(help=REST)] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials in all, those of earlier parts included.")] = 20,
    sampler: Annotated[SamplerName, typer.Option(help="Which options to try next.")] = "tpe",
    pruner: Annotated[PrunerName, typer.Option(help="Which trials to stop early.")] = "median",
    vary: Annotated[list[str] | None, typer.Option(help=SPACE)] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    folder: Annotated[Path | None, typer.Option(help="Folder of the study. Default: runs/search-FAMILY.")] = None,
) -> None:
    """Train with many options, print the best and the command that trains with it; go on if begun before."""
    if family not in SPACES:
        raise ValueError(f"Expected a family among {', '.join(SPACES)}. Received: {family}")
    folder, rest = folder or Path("runs") / f"search-{family}", rest or []
    space = _space(SPACES[family], vary or [], rest)
    command = ["-m", "training", family, *rest]

    def run(options: Mapping[str, Value], place: Path) -> Iterator[float]:
        link_shared(place, folder, space.shared)
        return train_in_a_process([*command, *_flags(options)], place, space.monitor)

    with locked(folder):
        study = open_study(folder, space, sampler=sampler, pruner=pruner, seed=seed, asked=[family, *rest])
        optimise(study, space, run, folder, trials=trials, sampler=sampler)
        best = study.best_trial
    typer.echo(f"Best of {len(study.trials)}: trial {best.number}, {space.monitor} {best.value:.4f}. Train with:")
    typer.echo(f"python {shlex.join([*command, *_flags(best.user_attrs['options'])])}")
    typer.echo(f"All trials: {folder / 'trials.csv'}, {folder / 'trials.png'}")


def _space(space: Space, vary: list[str], rest: list[str]) -> Space:
    said = {word.partition("=")[0] for word in rest}
    usual = space.of(_architecture(rest)).options
    options = parse(vary) if vary else {name: given for name, given in usual.items() if f"--{name}" not in said}
    fixed = sorted(name for name in options if f"--{name}" in said)
    if fixed or not options:
        raise ValueError(
            f"Expected options to vary that are not fixed after --. Received: {', '.join(fixed) or 'none'}"
        )
    return replace(space, options=options)


def _architecture(rest: Sequence[str]) -> str | None:
    """The one that is fixed for all trials, as `--arch NAME` or `--arch=NAME`."""
    for at, word in enumerate(rest):
        option, equals, name = word.partition("=")
        if option == "--arch":
            return name if equals else "".join(rest[at + 1 : at + 2])
    return None


def link_shared(place: Path, folder: Path, names: Sequence[str]) -> None:
    """Let a trial's run have these folders of the study for its own."""
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).mkdir(exist_ok=True)
        if not (place / name).exists():
            (place / name).symlink_to((folder / name).resolve(), target_is_directory=True)


def _flags(options: Mapping[str, Value]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, so that no other search takes up the trial that this one is in."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"Expected a folder without a search at work in it. Received: {folder}") from None
        yield


def open_study(
    folder: Path, space: Space, *, sampler: SamplerName, pruner: PrunerName, seed: int = 0, asked: list[str]
) -> optuna.Study:
    """The study of the folder, new or as it was left.

    Raises:
        ValueError: it was begun with another family or other options, which `asked` names, or over another space.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / 'study.db').resolve()}",
        study_name="search",
        direction="maximize" if space.mode == "max" else "minimize",
        load_if_exists=True,
        pruner={
            "median": optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            "asha": optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
            "none": optuna.pruners.NopPruner(),
        }[pruner],
    )
    # Begun anew with the same seed, a sampler would propose again what it proposed at first.
    seed += len(study.trials)
    study.sampler = (
        optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
        if sampler == "tpe"
        else optuna.samplers.RandomSampler(seed=seed)
    )
    about = json.dumps([asked, {name: repr(option) for name, option in space.options.items()}])
    before = study.user_attrs.get("about", about)
    if before != about:
        raise ValueError(f"Expected the search that was begun in {folder}: {before}. Received: {about}")
    study.set_user_attr("about", about)
    return study


def optimise(
    study: optuna.Study, space: Space, run: Run, folder: Path, *, trials: int, sampler: SamplerName = "tpe"
) -> None:
    """Bring the study to so many trials, or to every point of the grid; first of all end those that were broken off.

    A trial's score is the best of its epochs; it is pruned after any.

    Raises:
        ValueError: one trial after another failed.
    """
    if sampler == "grid":
        for point in itertools.product(*(option.grid() for option in space.options.values())):
            study.enqueue_trial(dict(zip(space.options, point, strict=True)), skip_if_exists=True)
        trials = min(trials, len(study.trials))
    failures = 0
    broken_off = study.get_trials(states=(TrialState.RUNNING,))
    while broken_off or _ended(study) < trials:
        trial = optuna.Trial(study, broken_off.pop(0)._trial_id) if broken_off else study.ask()
        ended = _run_one(study, trial, space, run, folder / "trials" / f"{trial.number:03d}")
        typer.echo(f"{_ended(study)} of {trials}: {_line(ended, space)}")
        write_csv(study, folder / "trials.csv")
        failures = failures + 1 if ended.state == TrialState.FAIL else 0
        if failures == MOST_FAILURES:
            raise ValueError(f"Expected options that train. Received: {failures} failures, {ended.user_attrs['error']}")
    write_plot(study, list(space.options), space.monitor, folder / "trials.png")


def _run_one(study: optuna.Study, trial: optuna.Trial, space: Space, run: Run, place: Path) -> FrozenTrial:
    options = {name: option.suggest(trial, name) for name, option in space.options.items()}
    trial.set_user_attr("options", options)
    best = max if space.mode == "max" else min
    scores: list[float] = []
    known = set(study.trials[trial.number].intermediate_values)
    try:
        with closing(run(options, place)) as epochs:
            for epoch, score in enumerate(epochs):
                scores.append(score)
                if epoch not in known:
                    trial.report(score, epoch)
                if trial.should_prune():
                    return study.tell(trial, state=TrialState.PRUNED)
        return study.tell(trial, best(scores))
    except (RuntimeError, ValueError) as error:
        trial.set_user_attr("error", str(error))
        return study.tell(trial, state=TrialState.FAIL)


def _ended(study: optuna.Study) -> int:
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))


def _line(trial: FrozenTrial, space: Space) -> str:
    options = ", ".join(f"{name} {value}" for name, value in trial.user_attrs["options"].items())
    epochs = len(trial.intermediate_values)
    if trial.state == TrialState.FAIL:
        return f"{options}: failed: {trial.user_attrs['error']}"
    if trial.state == TrialState.PRUNED:
        return f"{options}: pruned after epoch {epochs} at {space.monitor} {trial.intermediate_values[epochs - 1]:.4f}"
    return f"{options}: {space.monitor} {trial.value:.4f} in {epochs} epochs"
