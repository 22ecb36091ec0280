"""The client for threads and scripts."""

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

import grpc
import httpx
from tritonclient.grpc import service_pb2_grpc

from seqserve_client._base import FORECASTER, PROBE, SKETCH, VIDEO, BaseClient, answer_of_http
from seqserve_client._calls import Rpc, Upload
from seqserve_client._exceptions import Unavailable, error_of_rpc, error_of_transport
from seqserve_client._options import Retry
from seqserve_client._results import Classification, Forecast, InferResult, ModelMetadata, ServerMetadata
from seqserve_client._series import Day, Values
from seqserve_client._sketch import Drawing, Strokes
from seqserve_client._tensors import Array
from seqserve_client._video import Video

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class Client(BaseClient):
    """Calls a seqserve server over one channel; safe to share between threads.

    Every call takes `deadline`, the seconds it may take with its retries (default: `timeout`); work done
    on this side, such as decoding a clip, is not counted. Raises SeqserveError.
    """

    def _open(self) -> None:
        if self._credentials is None:
            self._channel = grpc.insecure_channel(self._target, self._channel_options())
        else:
            self._channel = grpc.secure_channel(self._target, self._credentials, self._channel_options())
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._http = httpx.Client(base_url=self._http_url, headers=self._headers)

    def close(self) -> None:
        """Close the channel and the HTTP pool; calls under way fail."""
        self._closed = True
        self._channel.close()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.close()

    @overload
    def forecast(
        self,
        values: "pd.Series[Any]",
        *,
        last_date: Day | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> "pd.DataFrame": ...
    @overload
    def forecast(
        self,
        values: Values,
        *,
        last_date: Day | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> Forecast: ...
    def forecast(
        self,
        values: "Values | pd.Series[Any]",
        *,
        last_date: Day | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> "Forecast | pd.DataFrame":
        """Forecast the days after one daily series, oldest value first, None or NaN where a day is missing.

        last_date: the date of the last value, where it is known: weekdays and seasons help the model. Its
        calendar covers 1970 to 2099; other dates do not help, and the forecast has its dates all the same.
        country, subdiv: ISO 3166 codes of the place whose public holidays the series feels, such as "US" and "IL";
        needs a date and the package holidays (the extra of that name).

        A pandas Series answers with the DataFrame of Forecast.to_frame(): "mean" and "0.1" to "0.9", one row
        a day. Its DatetimeIndex (or daily PeriodIndex) gives the dates, in any order; days that it lacks
        count as missing; times of day, days given twice and other spacings are InvalidInput. Any other index
        is ignored.
        """
        return self._rpc(self._forecast_rpc(values, last_date, country, subdiv, model, version), deadline)

    @overload
    def forecast_many(
        self,
        series: "pd.DataFrame",
        *,
        last_dates: Sequence[Day | None] | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> "pd.DataFrame": ...
    @overload
    def forecast_many(
        self,
        series: "Sequence[Values | pd.Series[Any]]",
        *,
        last_dates: Sequence[Day | None] | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> list[Forecast]: ...
    def forecast_many(
        self,
        series: "Sequence[Values | pd.Series[Any]] | pd.DataFrame",
        *,
        last_dates: Sequence[Day | None] | None = None,
        country: str | None = None,
        subdiv: str | None = None,
        model: str = FORECASTER,
        version: str | int = "",
        deadline: float | None = None,
    ) -> "list[Forecast] | pd.DataFrame":
        """Forecast many series, of any lengths, in as few requests as their number allows (64 in each).

        country, subdiv: as for `forecast`, of all the series; each then needs a date.

        A DataFrame with one series in each column answers with a DataFrame whose columns have two levels:
        the series, then "mean" and "0.1" to "0.9".
        """
        rpcs, finish = self._forecast_many_rpcs(series, last_dates, country, subdiv, model, version)
        whole = self._tries(self._timeout.infer, deadline)
        return finish([f for rpc in rpcs for f in self._rpc(rpc, whole.remaining())])

    def classify_sketch(
        self,
        *,
        strokes: Strokes | None = None,
        drawing: Drawing | None = None,
        model: str = SKETCH,
        version: str | int = "",
        deadline: float | None = None,
    ) -> Classification:
        """Name what a drawing shows, from one of two forms in any scale.

        strokes: rows [dx, dy, lifted]: the offset from the point before, and 1 where the pen is lifted after
            this one.
        drawing: polylines [[xs, ys], …], as browsers and the Quick, Draw! files give them.
        """
        return self._rpc(self._sketch_rpc(strokes, drawing, model, version), deadline)

    def classify_video(
        self,
        video: Video,
        *,
        model: str = VIDEO,
        version: str | int = "",
        deadline: float | None = None,
    ) -> Classification:
        """Name what happens in a clip: a path, a file's bytes, or RGB frames uint8 [n, height, width, 3].

        With PyAV installed the clip is decoded here and 16 small frames are sent; without it the whole file
        is, and the answer then carries the best classes without `probabilities`.
        """
        call = self._video_call(video, model, version)
        return self._upload(call, deadline) if isinstance(call, Upload) else self._rpc(call, deadline)

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str | int = "",
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> InferResult:
        """Run any model on arrays by name; strings are arrays of str or bytes.

        version: an integer version; the server's choice (the latest) where empty.
        outputs: the names wanted; all where None.
        """
        return self._rpc(self._infer_rpc(model, inputs, version, outputs), deadline)

    def server_live(self, *, deadline: float | None = None) -> bool:
        """Whether the server is up; False where nobody answers."""
        return self._probe(self._server_live_rpc(), deadline)

    def server_ready(self, *, deadline: float | None = None) -> bool:
        """Whether the server takes requests; False where nobody answers."""
        return self._probe(self._server_ready_rpc(), deadline)

    def model_ready(self, model: str, *, version: str | int = "", deadline: float | None = None) -> bool:
        """Whether a model takes requests; False where nobody answers."""
        return self._probe(self._model_ready_rpc(model, version), deadline)

    def server_metadata(self, *, deadline: float | None = None) -> ServerMetadata:
        """The server's name, version and protocol extensions."""
        return self._rpc(self._server_metadata_rpc(), deadline, self._timeout.status)

    def model_metadata(self, model: str, *, version: str | int = "", deadline: float | None = None) -> ModelMetadata:
        """A model's versions, inputs and outputs."""
        return self._rpc(self._model_metadata_rpc(model, version), deadline, self._timeout.status)

    def _probe(self, rpc: Rpc[bool], deadline: float | None) -> bool:
        try:
            return self._rpc(rpc, deadline, self._timeout.status, PROBE)
        except Unavailable:
            return False

    def _rpc(self, rpc: Rpc[T], deadline: float | None, usual: float | None = None, retry: Retry | None = None) -> T:
        tries = self._tries(usual or self._timeout.infer, deadline, retry)
        call = getattr(self._stub, rpc.method)
        while True:
            try:
                answer = call(rpc.request, timeout=tries.remaining(), metadata=self._metadata)
            except grpc.RpcError as failure:
                wait = tries.wait_after(error_of_rpc(cast("grpc.Call", failure)), failure)
            else:
                return rpc.read(answer)
            time.sleep(wait)

    def _upload(self, upload: Upload[T], deadline: float | None) -> T:
        tries = self._tries(self._timeout.upload, deadline)
        while True:
            try:
                response = self._http.post(
                    upload.path,
                    files={upload.field: (upload.filename, upload.content)},
                    timeout=tries.remaining(),
                )
                return upload.read(answer_of_http(response))
            except httpx.TransportError as failure:
                wait = tries.wait_after(error_of_transport(failure), failure)
            except Unavailable as error:
                wait = tries.wait_after(error)
            time.sleep(wait)
