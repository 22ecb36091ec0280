"""Callers of the three models: the typed API, TF Serving's REST and gRPC, the Open Inference Protocol's gRPC.

Each protocol is one kind of user, each model one tagged task, so that Locust's own options choose among them.
"""

import json
import random
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
from locust import FastHttpUser, User, between, tag, task

from loadtests import oip, payloads, tfserving
from loadtests.grpc_user import GrpcUser
from loadtests.tensors import FORECASTER, OUTPUTS, SKETCH, VIDEO, Inputs, inputs

POOL, VIDEO_POOL = 200, 6
SEED = 7
# Most traffic is small; a clip is a thousand times a drawing.
FORECAST_WEIGHT, SKETCH_WEIGHT, VIDEO_WEIGHT = 10, 10, 1
THINKING = between(0.05, 0.25)


@cache
def _pool(model: str) -> list[Inputs]:
    return payloads.pool(lambda rng: inputs(model, rng), VIDEO_POOL if model == VIDEO else POOL, SEED)


@cache
def _series() -> list[dict[str, Any]]:
    return [_typed_series(one) for one in payloads.pool(payloads.series, POOL, SEED)]


def _typed_series(series: payloads.Series) -> dict[str, Any]:
    body: dict[str, Any] = {"values": [None if np.isnan(v) else float(v) for v in series.values]}
    if series.last_date is not None:
        body["last_date"] = series.last_date.isoformat()
    return body


@cache
def _drawings() -> list[Any]:
    return payloads.pool(payloads.drawing, POOL, SEED)


@cache
def _clips() -> list[payloads.Clip]:
    return payloads.pool(payloads.clip, VIDEO_POOL, SEED)


@cache
def _messages(protocol: Any, model: str) -> list[bytes]:
    return [protocol.request(model, one, OUTPUTS[model]) for one in _pool(model)]


@cache
def _rows(model: str) -> list[bytes]:
    return [
        json.dumps({"inputs": {name: array.tolist() for name, array in one.items()}}).encode() for one in _pool(model)
    ]


def prepare(models: Iterable[str]) -> None:
    """Makes everything that users of these models send."""
    typed = {FORECASTER: _series, SKETCH: _drawings, VIDEO: _clips}
    for model in models:
        typed[model]()
        _rows(model)
        for protocol in (tfserving, oip):
            _messages(protocol, model)


class _Thorough(User):
    """The first user of its class begins with every task once, so that even a short run measures each row."""

    abstract = True
    wait_time = THINKING
    _begun: ClassVar[set[type[User]]] = set()

    def on_start(self) -> None:
        if type(self) in self._begun:
            return
        self._begun.add(type(self))
        for each in dict.fromkeys(self.tasks):
            each(self)

    @classmethod
    def rows(cls, model: str) -> Sequence[str]:
        """The rows of statistics that calls of a model make."""
        raise NotImplementedError


class TypedApiUser(_Thorough, FastHttpUser):
    """A browser or a script: JSON and file uploads to the typed API."""

    network_timeout = connection_timeout = 10.0

    @tag(FORECASTER)
    @task(FORECAST_WEIGHT)
    def forecast(self) -> None:
        self._post("typed /forecast", "/forecast", ("mean", "quantiles"), json=random.choice(_series()))

    @tag(FORECASTER)
    @task(1)
    def forecast_many(self) -> None:
        many = {"series": random.sample(_series(), 16)}
        self._post("typed /forecast, 16 series", "/forecast", ("forecasts",), json=many)

    @tag(SKETCH)
    @task(SKETCH_WEIGHT)
    def classify_sketch(self) -> None:
        drawing = {"drawing": random.choice(_drawings())}
        self._post("typed /classify_sketch", "/classify_sketch", ("classes",), json=drawing)

    @tag(VIDEO)
    @task(VIDEO_WEIGHT)
    def classify_video(self) -> None:
        clip = random.choice(_clips())
        files = {"video": (clip.name, clip.content, "application/octet-stream")}
        self._post("typed /classify_video", "/classify_video", ("classes",), files=files)

    @classmethod
    def rows(cls, model: str) -> Sequence[str]:
        return {
            FORECASTER: ("typed /forecast", "typed /forecast, 16 series"),
            SKETCH: ("typed /classify_sketch",),
            VIDEO: ("typed /classify_video",),
        }[model]

    def _post(self, name: str, path: str, keys: tuple[str, ...], **body: Any) -> None:
        with self.client.post(path, name=name, catch_response=True, **body) as response:
            _judge(response, keys)


class TfServingRestUser(_Thorough, FastHttpUser):
    """A TF Serving REST client: the column format, NaN for gaps."""

    network_timeout = connection_timeout = 10.0

    @tag(FORECASTER)
    @task(FORECAST_WEIGHT)
    def forecast(self) -> None:
        self._predict(FORECASTER)

    @tag(SKETCH)
    @task(SKETCH_WEIGHT)
    def classify_sketch(self) -> None:
        self._predict(SKETCH)

    @tag(VIDEO)
    @task(VIDEO_WEIGHT)
    def classify_video(self) -> None:
        self._predict(VIDEO)

    @classmethod
    def rows(cls, model: str) -> Sequence[str]:
        return (f"REST {model}",)

    def _predict(self, model: str) -> None:
        # The REST port is not the one of --host.
        url = f"{self.environment.parsed_options.rest_url}/v1/models/{model}:predict"
        headers = {"Content-Type": "application/json"}
        with self.client.post(
            url,
            name=f"REST {model}",
            data=random.choice(_rows(model)),
            headers=headers,
            catch_response=True,
        ) as response:
            _judge(response, ("outputs",))


def _judge(response: Any, keys: tuple[str, ...]) -> None:
    if response.status_code != 200:
        # Without an answer the status is 0, and the error says why.
        response.failure(f"{response.status_code}: {(response.text or str(response.error))[:200]}")
        return
    try:
        body = response.json()
    except ValueError:
        response.failure("expected JSON")
        return
    absent = [key for key in keys if not body.get(key)]
    if absent:
        response.failure(f"expected {absent} in the answer. Received: {sorted(body)}")


class _ModelsOverGrpc(_Thorough, GrpcUser):
    abstract = True
    protocol: Any
    method: str
    label: str

    @tag(FORECASTER)
    @task(FORECAST_WEIGHT)
    def forecast(self) -> None:
        self._predict(FORECASTER)

    @tag(SKETCH)
    @task(SKETCH_WEIGHT)
    def classify_sketch(self) -> None:
        self._predict(SKETCH)

    @tag(VIDEO)
    @task(VIDEO_WEIGHT)
    def classify_video(self) -> None:
        self._predict(VIDEO)

    @classmethod
    def rows(cls, model: str) -> Sequence[str]:
        return (f"{cls.label} {model}",)

    def _predict(self, model: str) -> None:
        message = random.choice(_messages(self.protocol, model))
        self.call(
            self.method,
            f"{self.label} {model}",
            message,
            lambda answer: self.protocol.missing(answer, OUTPUTS[model]),
        )


class TfServingGrpcUser(_ModelsOverGrpc):
    """A TF Serving gRPC client."""

    protocol, method, label = tfserving, tfserving.PREDICT, "Predict"


class OipGrpcUser(_ModelsOverGrpc):
    """An Open Inference Protocol gRPC client."""

    protocol, method, label = oip, oip.MODEL_INFER, "ModelInfer"
