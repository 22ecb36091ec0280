import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.fitting import Batches, FitOptions, fingerprint, fit, in_float32, start
from training.runlog import CHECKPOINT, RunLog, expect_same_run

from .toy import LENGTHS, SIZE, collate, fit_toy, model, options


def indices_of(batches: Batches) -> list[list[int]]:
    return [batches[i] for i in range(len(batches))]


def make(**changes: object) -> Batches:
    """Batches that show their own indices and one random number."""
    return Batches(SIZE, 16, lambda indices, rng: (indices.tolist(), rng.uniform()), **changes)


def test_an_epoch_holds_every_example_once() -> None:
    for batches in (make(), make(shuffle=False), make(lengths=LENGTHS, window=3)):
        seen = sorted(i for indices, _ in indices_of(batches) for i in indices)
        assert seen == list(range(SIZE))


def test_order_and_randomness_follow_from_seed_and_epoch() -> None:
    first, again, other = make(seed=1), make(seed=1), make(seed=2)
    assert indices_of(first) == indices_of(again)
    assert indices_of(first) != indices_of(other)
    first.epoch = 1
    assert indices_of(first) != indices_of(again)
    first.epoch = 0
    assert indices_of(first) == indices_of(again)


def test_without_shuffling_every_epoch_is_the_same() -> None:
    batches = make(shuffle=False)
    before = indices_of(batches)
    batches.epoch = 3
    assert indices_of(batches) == before
    assert before[0][0] == list(range(16))


def test_batches_hold_like_lengths_the_longest_first_and_the_shortest_second() -> None:
    batches = make(lengths=LENGTHS)
    spans = [(LENGTHS[i].min(), LENGTHS[i].max()) for i, _ in indices_of(batches)]
    assert spans[0][1] == LENGTHS.max()
    assert spans[1][1] == min(high for _, high in spans)
    assert np.mean([high - low for low, high in spans]) < 3 < np.ptp(LENGTHS)


def test_no_examples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least one example.*Received: 0"):
        Batches(0, 16, collate)


def test_fitting_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    fitted, report = fit_toy(options(tmp_path / "run", epochs=6))
    best = max(row["val_accuracy"] for row in report.history)
    assert best > 0.8
    assert report.best["val_accuracy"] == best
    valid = Batches(SIZE, 16, collate, lengths=LENGTHS, shuffle=False)
    assert fitted.evaluate(valid, verbose=0, return_dict=True)["accuracy"] == pytest.approx(best)


def test_a_run_leaves_logs_figures_and_curves(tmp_path: Path) -> None:
    _, report = fit_toy(options(tmp_path / "run", epochs=2))
    run = report.run
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_loss"]) == report.history[1]["val_loss"]
    assert float(rows[1]["learning_rate"]) < float(rows[0]["learning_rate"])
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best"] == report.best
    assert metrics["options"]["seed"] == 0
    assert (run / "run.png").read_bytes()[:4] == b"\x89PNG"
    events = list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert events
    assert b"val_accuracy" in events[0].read_bytes()


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, _ = fit_toy(options(tmp_path / "one", epochs=1))
    two, _ = fit_toy(options(tmp_path / "two", epochs=1))
    other, _ = fit_toy(options(tmp_path / "other", epochs=1, seed=1))
    for a, b, c in zip(one.get_weights(), two.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_fitting_stops_after_so_many_epochs_without_a_better_one(tmp_path: Path) -> None:
    frozen = options(tmp_path / "run", epochs=9, learning_rate=1e-12, patience=2)
    _, report = fit_toy(frozen)
    assert len(report.history) == 3
    assert report.best_epoch == 0


def test_the_last_epoch_is_kept_whatever_its_figures_and_no_patience_ends_the_fit(tmp_path: Path) -> None:
    given = options(tmp_path / "run", epochs=4, warm_up=0.5, patience=1)
    fitted, report = fit_toy(given, mode="last")
    rates = [row["learning_rate"] for row in report.history]
    assert len(rates) == 4
    assert rates[0] < rates[1]  # or the test would not tell
    assert report.best_epoch == 3
    valid = Batches(SIZE, 16, collate, lengths=LENGTHS, shuffle=False)
    found = fitted.evaluate(valid, verbose=0, return_dict=True)["accuracy"]
    assert found == pytest.approx(report.history[-1]["val_accuracy"])


def test_an_earlier_run_is_not_overwritten(tmp_path: Path) -> None:
    fit_toy(options(tmp_path, epochs=1))
    with pytest.raises(FileExistsError, match=r"--resume.*Received"):
        fit_toy(options(tmp_path, epochs=1))


def test_a_finished_run_resumes_at_its_end(tmp_path: Path) -> None:
    fitted, report = fit_toy(options(tmp_path, epochs=2))
    again, same = fit_toy(options(tmp_path, epochs=2, resume=True))
    assert same.history == report.history
    for a, b in zip(fitted.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_resumes_with_its_own_options_only(tmp_path: Path) -> None:
    fit_toy(options(tmp_path, epochs=1))
    with pytest.raises(ValueError, match=r"learning_rate=0.02 \(received 0.5\)"):
        fit_toy(options(tmp_path, epochs=1, learning_rate=0.5, resume=True))


def test_options_that_a_run_did_not_know_are_as_by_default(tmp_path: Path) -> None:
    fit_toy(options(tmp_path, epochs=1))
    with np.load(tmp_path / CHECKPOINT) as saved:
        arrays, about = dict(saved), json.loads(str(saved["about"]))
    del about["options"]["optimizer"], about["options"]["average"]
    np.savez(tmp_path / CHECKPOINT, **(arrays | {"about": np.array(json.dumps(about))}))
    expect_same_run(options(tmp_path, epochs=1, resume=True))
    with pytest.raises(ValueError, match=r"optimizer=adamw \(received sgd\)"):
        expect_same_run(options(tmp_path, epochs=1, resume=True, optimizer="sgd"))


def test_a_report_has_the_facts_that_comparisons_want(tmp_path: Path) -> None:
    fitted, report = fit_toy(options(tmp_path, epochs=2, seed=3))
    assert report.facts["parameters"] == fitted.count_params()
    assert report.facts["epochs"] == 2
    assert report.facts["seed"] == 3
    assert report.facts["seconds_per_epoch"] >= 0


def test_a_run_resumes_with_the_commands_other_options_and_data_only(tmp_path: Path) -> None:
    fixed = {"data": "3 files", "column": ("a", "b"), "split": {"shop": "0.2"}, "steps": 120}
    fit_toy(options(tmp_path, epochs=1, fixed=fixed))
    fit_toy(options(tmp_path, epochs=1, fixed=fixed, resume=True))
    for name, other in (("data", "4 files"), ("column", None), ("split", {}), ("steps", 7)):
        with pytest.raises(ValueError, match=rf"started with: {name}=.* \(received {other}\)"):
            fit_toy(options(tmp_path, epochs=1, fixed=fixed | {name: other}, resume=True))
    with pytest.raises(ValueError, match=r"split=.*, steps=120 \(received None\)"):
        fit_toy(options(tmp_path, epochs=1, fixed={}, resume=True))


def test_data_is_told_apart_by_names_and_sizes_wherever_it_lies(tmp_path: Path) -> None:
    def write(folder: str, name: str, text: str) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text(text)
        return tmp_path / folder

    found = fingerprint(write("one", "a.csv", "day,a"), "*.csv")
    assert re.fullmatch(r"1 files of 5 bytes, [0-9a-f]{8}", found)
    assert fingerprint(write("two", "a.csv", "day,b"), "*.csv") == found
    assert fingerprint(write("two", "notes.txt", "of no account"), "*.csv") == found
    assert fingerprint(tmp_path / "one" / "a.csv", "*.csv") == found
    others = [write("three", "b.csv", "day,a"), write("four", "a.csv", "day,more"), write("five", "c.txt", ""), None]
    assert len({found, *(fingerprint(other, "*.csv") for other in others)}) == 5


def test_a_run_resumes_with_its_own_model_only(tmp_path: Path) -> None:
    given = options(tmp_path, epochs=1)
    fit_toy(given)
    other = keras.Sequential([keras.Input((None, 3)), keras.layers.GlobalMaxPooling1D(), keras.layers.Dense(2)])
    batches = Batches(SIZE, 16, collate)
    with pytest.raises(ValueError, match="Expected a checkpoint of this model"):
        fit(
            other,
            batches,
            batches,
            loss="mse",
            monitor="val_loss",
            mode="min",
            options=options(tmp_path, epochs=1, resume=True),
        )


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    def broken(indices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        values, labels = collate(indices, rng)
        return values * np.float32("nan"), labels

    with pytest.raises(FloatingPointError, match="epoch 1"):
        fit_toy(options(tmp_path), broken)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_validation_score_that_is_no_number_is_worse_than_any(tmp_path: Path, mode: str, broken: float) -> None:
    made = model()
    made.compile("adam")
    made.optimizer.build(made.trainable_variables)
    log = RunLog(options(tmp_path), made, monitor="val_loss", mode=mode)
    log.begin()
    for score, best in ((broken, 0), (5.0, 1), (broken, 1)):
        log.record({"loss": 1.0, "val_loss": score})
        assert log.best_epoch == best


def test_an_unknown_monitor_or_mode_is_refused(tmp_path: Path) -> None:
    batches = Batches(SIZE, 16, collate)
    with pytest.raises(ValueError, match="mode must be"):
        fit(model(), batches, batches, loss="mse", monitor="loss", mode="up", options=options(tmp_path))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"learning_rate": float("nan")},
        {"warm_up": 1.0},
        {"average": 1.0},
        {"label_smoothing": -0.1},
        {"bptt": -1},
        {"optimizer": "lion"},
        {"strategy": "parameter_server"},
    ],
)
def test_options_without_sense_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        options(tmp_path, **wrong)


def test_a_model_in_half_precision_is_rebuilt_in_float32(tmp_path: Path) -> None:
    start(FitOptions(run=tmp_path))
    assert in_float32(made := model(), model) is made
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = model()
        plain = in_float32(half, model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in plain.layers} == {"float32"}
    values, _ = collate(np.arange(8), np.random.default_rng(0))
    np.testing.assert_allclose(plain(values), half(values), atol=0.02)
