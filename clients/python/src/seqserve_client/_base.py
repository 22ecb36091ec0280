"""Everything that the two clients share: building calls and reading answers. Only the I/O is theirs."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import grpc
import httpx
import numpy as np
from tritonclient.grpc import service_pb2

from seqserve_client import _series, _sketch, _video
from seqserve_client._calls import Rpc, Upload
from seqserve_client._exceptions import BadAnswer, InvalidInput, MissingDependency, error_of_http
from seqserve_client._holidays import Place
from seqserve_client._options import Retry, Timeout, Tries
from seqserve_client._results import (
    Classification,
    Forecast,
    InferResult,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)
from seqserve_client._tensors import Array, infer_request, outputs_of

if TYPE_CHECKING:
    import pandas as pd

    Series = pd.Series[Any]

T = TypeVar("T")

FORECASTER, SKETCH, VIDEO = "forecaster", "sketchrnn", "video"
WITH_HOLIDAYS = "with_holidays"
"""The forecaster's signature that takes the public holidays of the history and of the week after it."""

MAX_BATCH = 64
"""Rows that go in one request; longer lists of series are sent in turn."""

MAX_HISTORY = 1120
"""Days that the forecaster which comes with seqserve takes."""

PROBE = Retry(tries=1)
"""A question for readiness is asked once: "no" is an answer."""


class BaseClient:
    """The pure part of a client: no method here waits for the network.

    host: where both addresses are, unless they are given by themselves.
    grpc_target: host:port, or any target that gRPC knows, for tensors. Default: port 8500 on `host`.
    http_url: the base address for uploads. Default: port 3000 on `host`.
    credentials: TLS for gRPC; None for plain text.
    headers: sent with every call, as gRPC metadata and as HTTP headers.
    max_message_bytes: the largest message to send or to take; the server's own default is the same.
    max_history: the days of a series that are sent, the last ones; None for all. The default is the most that the
        shipped forecaster takes; another model may take more or fewer.
    """

    def __init__(
        self,
        host: str = "localhost",
        *,
        grpc_target: str | None = None,
        http_url: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Timeout | None = None,
        retry: Retry | None = None,
        max_message_bytes: int = 64 * 1024 * 1024,
        max_history: int | None = MAX_HISTORY,
    ) -> None:
        if max_history is not None and max_history < 1:
            raise ValueError(f"max_history: expected 1 day or more, or None. Received: {max_history!r}")
        self._target = grpc_target or f"{host}:8500"
        self._http_url = http_url or f"http://{host}:3000"
        self._credentials = credentials
        self._headers = dict(headers or {})
        self._metadata = tuple((name.lower(), value) for name, value in self._headers.items())
        self._timeout = timeout or Timeout()
        self._retry = retry or Retry()
        self._max_message_bytes = max_message_bytes
        self._max_history = max_history
        self._closed = False
        self._open()

    def _open(self) -> None:
        """Make what can be made before the first call; nothing connects yet."""

    def _channel_options(self) -> list[tuple[str, int]]:
        # gRPC fails calls at once while it waits to reconnect, for 1 s at first and up to 2 minutes: all
        # tries could be used up before one of them reaches the network.
        return [
            ("grpc.max_send_message_length", self._max_message_bytes),
            ("grpc.max_receive_message_length", self._max_message_bytes),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ]

    def _tries(self, usual: float, deadline: float | None, retry: Retry | None = None) -> Tries:
        if self._closed:
            raise RuntimeError("this client is closed")
        return Tries(retry or self._retry, usual if deadline is None else deadline)

    def _infer_rpc(
        self,
        model: str,
        inputs: Mapping[str, Array],
        version: str | int,
        outputs: Sequence[str] | None,
        signature: str = "",
    ) -> Rpc[InferResult]:
        if not inputs:
            raise InvalidInput(f"{model}: expected at least one input. Received: none")
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
        request = infer_request(model, str(version), arrays, outputs or (), signature)
        return Rpc("ModelInfer", request, _read_infer)

    def _forecast_rpc(
        self,
        values: "_series.Values | Series",
        last_date: _series.Day | None,
        country: str | None,
        subdiv: str | None,
        model: str,
        version: str | int,
    ) -> "Rpc[Forecast | pd.DataFrame]":
        history = self._history(values, last_date)
        rpc = self._histories_rpc([history], _place(country, subdiv), model, version)
        if _series.is_series(values):
            return rpc.then(lambda forecasts: forecasts[0].to_frame())
        return rpc.then(lambda forecasts: forecasts[0])

    def _forecast_many_rpcs(
        self,
        series: "Sequence[_series.Values | Series] | pd.DataFrame",
        last_dates: Sequence[_series.Day | None] | None,
        country: str | None,
        subdiv: str | None,
        model: str,
        version: str | int,
    ) -> "tuple[list[Rpc[list[Forecast]]], Callable[[list[Forecast]], list[Forecast] | pd.DataFrame]]":
        finish: Callable[[list[Forecast]], list[Forecast] | pd.DataFrame] = list
        many: Sequence[_series.Values | Series]
        if _series.is_frame(series):
            frame = cast("pd.DataFrame", series)
            many = [frame.iloc[:, i] for i in range(frame.shape[1])]
            finish = _side_by_side(frame)
        else:
            many = cast("Sequence[_series.Values | Series]", series)
        if len(many) == 0:
            raise InvalidInput("series: expected at least one. Received: none")
        dates = [None] * len(many) if last_dates is None else last_dates
        if len(dates) != len(many):
            raise InvalidInput(f"last_dates: expected one for each of {len(many)} series. Received: {len(dates)}")
        histories = [
            self._history(values, day, f"series {i}") for i, (values, day) in enumerate(zip(many, dates, strict=True))
        ]
        place = _place(country, subdiv)
        # Those of like length travel together, so that little of a batch is padding.
        order = sorted(range(len(histories)), key=lambda i: histories[i].values.size)
        rpcs = [
            self._histories_rpc([histories[j] for j in order[i : i + MAX_BATCH]], place, model, version)
            for i in range(0, len(order), MAX_BATCH)
        ]
        places = np.argsort(order)
        return rpcs, lambda forecasts: finish([forecasts[place] for place in places])

    def _history(
        self, values: "_series.Values | Series", last_date: _series.Day | None, name: str = "values"
    ) -> _series.History:
        if _series.is_series(values):
            whole = _series.history_of_series(cast("Series", values), last_date)
        else:
            whole = _series.history_of_values(cast("_series.Values", values), last_date, name)
        return whole if self._max_history is None else replace(whole, values=whole.values[-self._max_history :])

    def _histories_rpc(
        self, histories: Sequence[_series.History], place: Place | None, model: str, version: str | int
    ) -> Rpc[list[Forecast]]:
        signature = "" if place is None else WITH_HOLIDAYS
        rpc = self._infer_rpc(model, _series.inputs_of(histories, place), version, ("mean", "quantiles"), signature)
        return rpc.then(lambda result: _series.forecasts_of(result, histories))

    def _sketch_rpc(
        self,
        strokes: _sketch.Strokes | None,
        drawing: _sketch.Drawing | None,
        model: str,
        version: str | int,
    ) -> Rpc[Classification]:
        inputs = _sketch.inputs_of(strokes, drawing)
        return self._infer_rpc(model, inputs, version, None).then(_sketch.classification_of)

    def _video_call(
        self, video: _video.Video, model: str, version: str | int
    ) -> Rpc[Classification] | Upload[Classification]:
        if isinstance(video, np.ndarray):
            frames = _video.frames_of_array(video)
        elif not isinstance(video, str | bytes | os.PathLike):
            raise InvalidInput(f"video: expected a path, bytes or an array of frames. Received: {type(video).__name__}")
        else:
            name, content = _video.content_of(video)
            if not 0 < len(content) <= self._max_message_bytes:
                raise InvalidInput(f"video: expected 1 to {self._max_message_bytes} bytes. Received: {len(content)}")
            if not _video.can_decode():
                if (model, version) != (VIDEO, ""):
                    raise MissingDependency(
                        f"only the latest {VIDEO!r} takes files; to send frames to another model or version "
                        f"install PyAV: pip install 'seqserve-client[video]'"
                    )
                return Upload("/classify_video", "video", name, content, _read_classification)
            frames = _video.frames_of_file(content)
        rpc = self._infer_rpc(model, _video.inputs_of(frames), version, None)
        return rpc.then(_sketch.classification_of)

    def _server_live_rpc(self) -> Rpc[bool]:
        return Rpc("ServerLive", service_pb2.ServerLiveRequest(), lambda answer: bool(answer.live))

    def _server_ready_rpc(self) -> Rpc[bool]:
        return Rpc("ServerReady", service_pb2.ServerReadyRequest(), lambda answer: bool(answer.ready))

    def _model_ready_rpc(self, model: str, version: str | int) -> Rpc[bool]:
        request = service_pb2.ModelReadyRequest(name=model, version=str(version))
        return Rpc("ModelReady", request, lambda answer: bool(answer.ready))

    def _server_metadata_rpc(self) -> Rpc[ServerMetadata]:
        return Rpc(
            "ServerMetadata",
            service_pb2.ServerMetadataRequest(),
            lambda answer: ServerMetadata(answer.name, answer.version, tuple(answer.extensions)),
        )

    def _model_metadata_rpc(self, model: str, version: str | int) -> Rpc[ModelMetadata]:
        request = service_pb2.ModelMetadataRequest(name=model, version=str(version))
        return Rpc("ModelMetadata", request, _read_metadata)


def _place(country: str | None, subdiv: str | None) -> Place | None:
    if country is None and subdiv is not None:
        raise InvalidInput(f"subdiv: expected a country beside it. Received: {subdiv!r} alone")
    return None if country is None else Place(country, subdiv)


def _side_by_side(frame: "pd.DataFrame") -> "Callable[[list[Forecast]], pd.DataFrame]":
    def finish(forecasts: list[Forecast]) -> "pd.DataFrame":
        import pandas as pd

        names = [*frame.columns.names[:-1], frame.columns.names[-1] or "series", "statistic"]
        return pd.concat([f.to_frame() for f in forecasts], axis=1, keys=list(frame.columns), names=names)

    return finish


def _read_infer(answer: Any) -> InferResult:
    return InferResult(answer.model_name, answer.model_version, outputs_of(answer))


def _read_metadata(answer: Any) -> ModelMetadata:
    def tensors(many: Any) -> tuple[TensorMetadata, ...]:
        return tuple(TensorMetadata(t.name, t.datatype, tuple(t.shape)) for t in many)

    return ModelMetadata(
        answer.name, tuple(answer.versions), answer.platform, tensors(answer.inputs), tensors(answer.outputs)
    )


def _read_classification(answer: Any) -> Classification:
    try:
        best = [(str(entry["label"]), float(entry["score"])) for entry in answer["classes"]]
        classes, scores = zip(*best, strict=True)
        return Classification(classes, scores, str(answer["model"]), str(answer["version"]))
    except (KeyError, TypeError, ValueError):
        raise BadAnswer(f"expected model, version and classes. Received: {answer!r:.200}") from None


def answer_of_http(response: httpx.Response) -> Any:
    """The JSON of a good answer; raises the error that any other stands for."""
    try:
        body: Any = response.json()
    except ValueError:
        body = None
    if response.status_code == 200 and body is not None:
        return body
    message = body.get("error") or body.get("detail") if isinstance(body, dict) else None
    text = str(message or response.text[:500] or response.reason_phrase)
    if response.is_success or response.is_redirect:
        raise BadAnswer(f"expected a JSON answer. Received: status {response.status_code}, {text}")
    try:
        retry_after: float | None = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        retry_after = None
    raise error_of_http(response.status_code, text, retry_after)
