import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from training import saving

from .tiny import LABELS, RULE, export_tiny, tiny_model

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_tiny(tmp_path_factory.mktemp("models"))


def test_a_version_has_every_file_of_the_contract(version: Path) -> None:
    files = {str(path.relative_to(version)) for path in version.rglob("*") if path.is_file()}
    assert files >= {
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "assets/labels.txt",
        "assets.extra/tf_serving_warmup_requests",
        "assets.extra/inputs.json",
        "assets.extra/model_card.md",
        "batching_params.pbtxt",
    }
    assert version.name == "1"
    assert (version / "assets/labels.txt").read_text().splitlines() == list(LABELS)
    assert version.stat().st_mode & 0o755 == 0o755 & ~_umask()


def test_the_table_of_labels_is_named_for_them_and_not_for_where_it_was_written(tmp_path: Path) -> None:
    names = []
    for labels in (LABELS, LABELS, LABELS[::-1]):
        version = export_tiny(tmp_path, labels=labels)
        graph = (version / "saved_model.pb").read_bytes()
        assert tempfile.gettempdir().encode() not in graph
        names.append(set(re.findall(rb"labels_[0-9a-f]+", graph)))
    assert names[0] == names[1] != names[2]
    assert [len(name) for name in names] == [1, 1, 1]


def test_versions_with_other_labels_are_loaded_side_by_side(tmp_path: Path) -> None:
    loaded = [tf.saved_model.load(str(export_tiny(tmp_path, labels=labels))) for labels in (LABELS, LABELS[::-1])]
    points = tf.ones((1, 3, 2))
    first, second = (one.signatures["serving_default"](points=points)["top_classes"].numpy()[0] for one in loaded)
    place = {label.encode(): LABELS[-1 - i].encode() for i, label in enumerate(LABELS)}
    assert [place[label] for label in first] == second.tolist()


def test_answers_equal_the_keras_model_and_classes_are_looked_up(version: Path) -> None:
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    points = np.random.default_rng(1).normal(size=(3, 5, 2)).astype("float32")
    answer = signature(points=tf.constant(points))
    expected = tiny_model()(points).numpy()
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    order = np.argsort(-expected, axis=1)[:, :5]
    np.testing.assert_allclose(answer["top_scores"], np.take_along_axis(expected, order, 1), atol=1e-6)
    assert answer["top_classes"].numpy().tolist() == [[LABELS[i].encode() for i in row] for row in order]
    assert answer["top_classes"].shape == (3, 5)


def test_the_numeric_part_stays_compiled_after_loading(version: Path) -> None:
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    functions = signature.graph.as_graph_def().library.function
    compiled = [f for f in functions if f.attr["_XlaMustCompile"].b]
    assert compiled
    assert not any("LookupTable" in node.op for f in compiled for node in f.node_def)


def test_inputs_json_states_the_padding(version: Path) -> None:
    rules = json.loads((version / "assets.extra/inputs.json").read_text())
    assert rules == {
        "points": {
            "axis": 1,
            "side": "right",
            "value": 0.0,
            "buckets": [4, 8],
            "min_length": 1,
            "nan_allowed": False,
        }
    }


def test_facts_are_written_beside_the_card(tmp_path: Path) -> None:
    facts = {"architecture": "sum", "parameters": 18, "seconds_per_epoch": 0.5}
    version = export_tiny(tmp_path, facts=facts)
    assert json.loads((version / "assets.extra/training.json").read_text()) == facts


def test_missing_values_are_written_as_nan() -> None:
    rule = saving.InputRule(
        axis=1, side="left", value=float("nan"), buckets=(9,), min_length=7, nan_allowed=True, min_observed=7
    )
    assert rule.as_json()["value"] == "NaN"
    assert rule.as_json()["min_observed"] == 7
    assert saving.InputRule(nan_allowed=True).as_json() == {"nan_allowed": True}


def test_warmup_requests_are_prediction_logs(version: Path) -> None:
    path = version / "assets.extra/tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))
    ]
    specs = [log.predict_log.request.model_spec for log in logs]
    assert [(spec.name, spec.signature_name) for spec in specs] == [("tiny", "serving_default")] * 2
    assert tf.make_ndarray(logs[0].predict_log.request.inputs["points"]).shape == (1, 3, 2)


def test_large_warmup_inputs_are_recorded_by_one_value() -> None:
    clip = np.arange(1 << 17, dtype="uint8").reshape(1, 2, -1)
    recorded = saving._recorded(clip)
    assert recorded.ByteSize() < 100
    assert tf.make_ndarray(recorded).shape == clip.shape
    np.testing.assert_array_equal(tf.make_ndarray(saving._recorded(clip[..., :5])), clip[..., :5])


def test_batching_parameters_are_tensorflow_serving_text(version: Path) -> None:
    lines = (version / "batching_params.pbtxt").read_text().splitlines()
    assert lines[:3] == [
        "max_batch_size { value: 64 }",
        "batch_timeout_micros { value: 0 }",
        "max_enqueued_batches { value: 64 }",
    ]
    assert lines[3:] == [f"allowed_batch_sizes: {size}" for size in (1, 2, 4, 8, 16, 32, 64)]


def test_each_export_takes_the_next_number(tmp_path: Path) -> None:
    (tmp_path / "tiny/7").mkdir(parents=True)
    (tmp_path / "tiny/notes").mkdir()
    assert export_tiny(tmp_path).name == "8"
    assert export_tiny(tmp_path).name == "9"


def test_an_export_that_lost_the_race_takes_the_number_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def overtaken(self: Path, target: Path) -> Path:
        if target.name == "1":
            target.mkdir()
            (target / "saved_model.pb").touch()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    assert export_tiny(tmp_path).name == "2"


@pytest.mark.parametrize("milestone", ["saved_model.pb", "assets.extra/tf_serving_warmup_requests"])
def test_a_killed_export_leaves_nothing_loadable(tmp_path: Path, milestone: str) -> None:
    exporter = subprocess.Popen(
        [sys.executable, str(HERE / "export_slowly.py"), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert exporter.stdout is not None
    with exporter, exporter.stdout:
        assert exporter.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(f"tiny/.export-*/{milestone}")):
            assert time.monotonic() < deadline
            assert exporter.poll() is None
            time.sleep(0.001)
        exporter.kill()
    left = list((tmp_path / "tiny").iterdir())
    assert [path.name.isdecimal() for path in left] == [False]

    assert export_tiny(tmp_path).name == "1"
    assert left[0].exists(), "a young leftover may belong to an export that still runs"
    old = time.time() - 2 * saving.STALE_SECONDS
    os.utime(left[0], (old, old))
    assert export_tiny(tmp_path).name == "2"
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["1", "2"]


def _unstable(points: tf.Tensor) -> dict[str, tf.Tensor]:
    probabilities = tf.nn.softmax(tf.reduce_mean(points, axis=1) @ tf.ones((2, 6)) * tf.range(6.0))
    return {"probabilities": probabilities}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup": []}, "at least one warm-up request"),
        ({"warmup": [{"dots": np.ones((1, 3, 2), "float32")}]}, r"Received: \['dots'\]"),
        ({"rules": {"dots": RULE}}, "one for 'dots'"),
        (
            {"rules": {"points": saving.InputRule(axis=2, side="right", value=0.0, buckets=(4,))}},
            "variable axis 2",
        ),
        ({"labels": ["a", "a", "b", "c", "d", "e"]}, "distinct labels"),
        ({"labels": ["a", "b"]}, "probabilities of 2 labels"),
        ({"core": _unstable}, "after padding"),
        ({"core": lambda points: {"probabilities": points[:, 0, :1] * float("nan") + tf.ones(6)}}, "finite"),
    ],
)
def test_a_failed_export_leaves_nothing(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(saving.ExportError, match=message):
        export_tiny(tmp_path, **changes)
    assert list(tmp_path.glob("tiny/*")) == []


@pytest.mark.parametrize(
    "values",
    [
        {"side": "left"},
        {"axis": 1},
        {"axis": 1, "side": "left", "value": 0.0, "buckets": (8, 4)},
        {"axis": 1, "side": "left", "value": 0.0, "buckets": (4, 8), "min_length": 5},
    ],
)
def test_contradictory_rules_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(saving.ExportError, match="expected"):
        saving.InputRule(**values)


def test_batch_sizes_end_in_the_greatest() -> None:
    with pytest.raises(saving.ExportError, match="max_batch_size 64"):
        saving.Batching(allowed_batch_sizes=(1, 2))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
