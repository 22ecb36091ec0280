"""Versions, labels and other models, by TF Serving's configuration file and by HandleReloadConfigRequest."""

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

pytestmark = pytest.mark.timeout(900)

X = np.ones((1, 3), np.float32)
LIMIT_SECONDS = 120


def affine(zoo, stable, canary=2, policy="all {}"):
    labels = f"version_labels {{ key: 'stable' value: {stable} }} version_labels {{ key: 'canary' value: {canary} }}"
    return f"""config {{ name: 'affine' base_path: '{zoo}/affine' model_platform: 'tensorflow'
      model_version_policy {{ {policy} }} {labels} }}"""


def other(zoo):
    return f"config {{ name: 'half' base_path: '{zoo}/half_plus_two' model_platform: 'tensorflow' }}"


@pytest.fixture(scope="module")
def server(zoo, serve, tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "models.config"
    file.write_text(f"model_config_list {{ {affine(zoo, 1)} }}")
    with serve(model_config_file=file, allow_version_labels_for_unavailable_models="true") as server:
        yield server


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


def predict(channel, model="affine", **which):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    if "version" in which:
        request.model_spec.version.value = which["version"]
    if "label" in which:
        request.model_spec.version_label = which["label"]
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(X))
    answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=LIMIT_SECONDS)
    return answer.model_spec.version.value, tf.make_ndarray(answer.outputs["y"]).tolist()


def reload(channel, *configs):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(f"model_config_list {{ {' '.join(configs)} }}", request.config)
    return model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=LIMIT_SECONDS)


def statuses(channel, model):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    answer = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=LIMIT_SECONDS)
    return {status.version: status.State.Name(status.state) for status in answer.model_version_status}


def test_versions_and_labels(channel, server):
    assert predict(channel) == (2, [8])
    assert predict(channel, version=1) == (1, [7])
    assert predict(channel, label="stable") == (1, [7])
    assert predict(channel, label="canary") == (2, [8])
    assert statuses(channel, "affine") == {1: "AVAILABLE", 2: "AVAILABLE"}
    for which, value in (("", 8.0), ("/versions/1", 7.0), ("/labels/stable", 7.0), ("/labels/canary", 8.0)):
        address = f"{server.rest}/v1/models/affine{which}"
        assert httpx.post(f"{address}:predict", json={"instances": [[1, 1, 1]]}).json() == {"predictions": [value]}
        version = httpx.get(f"{address}/metadata").json()["model_spec"]["version"]
        assert version == ("2" if value == 8 else "1")
        listed = httpx.get(address).json()["model_version_status"]
        assert [entry["version"] for entry in listed] == (["2", "1"] if not which else [version])


def test_a_reload_moves_labels_and_brings_and_takes_models(channel, zoo):
    assert reload(channel, affine(zoo, 2), other(zoo)).status.error_code == 0
    assert predict(channel, label="stable") == (2, [8])
    assert statuses(channel, "half") == {123: "AVAILABLE"}
    assert reload(channel, affine(zoo, 2, policy="latest { num_versions: 1 }")).status.error_code == 0
    with pytest.raises(grpc.RpcError, match="Servable not found for request: Latest"):
        predict(channel, "half")
    with pytest.raises(grpc.RpcError, match="Servable not found for request: Specific"):
        predict(channel, version=1)
    with pytest.raises(grpc.RpcError, match="not currently available for inference"):
        reload(channel, affine(zoo, 1))
    assert reload(channel, affine(zoo, 2)).status.error_code == 0
    assert reload(channel, affine(zoo, 1)).status.error_code == 0
    assert predict(channel, label="stable") == (1, [7])


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("stable", 1, 9), "FAILED_PRECONDITION", "not currently available for inference"),
        (("path", "'/", "'"), "INVALID_ARGUMENT", "absolute path or URI"),
        (("platform", "'tensorflow'", "'other'"), "INVALID_ARGUMENT", "unsupported platform"),
    ],
    ids=["label", "path", "platform"],
)
def test_a_bad_config_changes_nothing(channel, zoo, change, code, words):
    _, old, new = change
    config = affine(zoo, new) if old == 1 else affine(zoo, 1).replace(old, new)
    with pytest.raises(grpc.RpcError) as caught:
        reload(channel, config)
    assert caught.value.code().name == code
    assert words in caught.value.details()
    assert predict(channel, label="stable") == (1, [7])
    assert predict(channel) == (2, [8])
