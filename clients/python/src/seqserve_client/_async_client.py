"""The client for asyncio."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import grpc
import httpx
from tritonclient.grpc import service_pb2_grpc

from seqserve_client._base import FORECASTER, PROBE, SKETCH, VIDEO, BaseClient, answer_of_http
from seqserve_client._calls import Rpc, Upload
from seqserve_client._exceptions import DeadlineExceeded, Unavailable, error_of_rpc, error_of_transport
from seqserve_client._options import Retry
from seqserve_client._results import Classification, Forecast, InferResult, ModelMetadata, ServerMetadata
from seqserve_client._series import Day, Values
from seqserve_client._sketch import Drawing, Strokes
from seqserve_client._tensors import Array
from seqserve_client._video import Video

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


class AsyncClient(BaseClient):
    """Client with its calls awaited; one event loop for its whole life, any number of calls at once."""

    _channel: grpc.aio.Channel | None = None

    def _open(self) -> None:
        self._http = httpx.AsyncClient(base_url=self._http_url, headers=self._headers)

    @cached_property
    def _stub(self) -> Any:
        # A channel of grpc.aio belongs to the loop that runs when it is made; a client may be made before.
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self._target, self._channel_options())
        else:
            self._channel = grpc.aio.secure_channel(self._target, self._credentials, self._channel_options())
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        """Close the channel and the HTTP pool; calls under way fail."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()

    @overload
    async def forecast(
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
    async def forecast(
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
    async def forecast(
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
        """As Client.forecast, awaited."""
        return await self._rpc(self._forecast_rpc(values, last_date, country, subdiv, model, version), deadline)

    @overload
    async def forecast_many(
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
    async def forecast_many(
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
    async def forecast_many(
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
        """As Client.forecast_many, awaited."""
        rpcs, finish = self._forecast_many_rpcs(series, last_dates, country, subdiv, model, version)
        whole = self._tries(self._timeout.infer, deadline)
        forecasts: list[Forecast] = []
        for rpc in rpcs:
            part: list[Forecast] = await self._rpc(rpc, whole.remaining())
            forecasts += part
        return finish(forecasts)

    async def classify_sketch(
        self,
        *,
        strokes: Strokes | None = None,
        drawing: Drawing | None = None,
        model: str = SKETCH,
        version: str | int = "",
        deadline: float | None = None,
    ) -> Classification:
        """As Client.classify_sketch, awaited."""
        return await self._rpc(self._sketch_rpc(strokes, drawing, model, version), deadline)

    async def classify_video(
        self,
        video: Video,
        *,
        model: str = VIDEO,
        version: str | int = "",
        deadline: float | None = None,
    ) -> Classification:
        """As Client.classify_video, awaited; reading and decoding happen in a thread."""
        call = await asyncio.to_thread(self._video_call, video, model, version)
        if isinstance(call, Upload):
            return await self._upload(call, deadline)
        return await self._rpc(call, deadline)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        *,
        version: str | int = "",
        outputs: Sequence[str] | None = None,
        deadline: float | None = None,
    ) -> InferResult:
        """As Client.infer, awaited."""
        return await self._rpc(self._infer_rpc(model, inputs, version, outputs), deadline)

    async def server_live(self, *, deadline: float | None = None) -> bool:
        """As Client.server_live, awaited."""
        return await self._probe(self._server_live_rpc(), deadline)

    async def server_ready(self, *, deadline: float | None = None) -> bool:
        """As Client.server_ready, awaited."""
        return await self._probe(self._server_ready_rpc(), deadline)

    async def model_ready(self, model: str, *, version: str | int = "", deadline: float | None = None) -> bool:
        """As Client.model_ready, awaited."""
        return await self._probe(self._model_ready_rpc(model, version), deadline)

    async def server_metadata(self, *, deadline: float | None = None) -> ServerMetadata:
        """As Client.server_metadata, awaited."""
        return await self._rpc(self._server_metadata_rpc(), deadline, self._timeout.status)

    async def model_metadata(
        self, model: str, *, version: str | int = "", deadline: float | None = None
    ) -> ModelMetadata:
        """As Client.model_metadata, awaited."""
        return await self._rpc(self._model_metadata_rpc(model, version), deadline, self._timeout.status)

    async def _probe(self, rpc: Rpc[bool], deadline: float | None) -> bool:
        try:
            return await self._rpc(rpc, deadline, self._timeout.status, PROBE)
        except Unavailable:
            return False

    async def _rpc(
        self, rpc: Rpc[T], deadline: float | None, usual: float | None = None, retry: Retry | None = None
    ) -> T:
        tries = self._tries(usual or self._timeout.infer, deadline, retry)
        call = getattr(self._stub, rpc.method)
        while True:
            try:
                answer = await call(rpc.request, timeout=tries.remaining(), metadata=self._metadata)
            except grpc.aio.AioRpcError as failure:
                wait = tries.wait_after(error_of_rpc(failure), failure)
            else:
                return rpc.read(answer)
            await asyncio.sleep(wait)

    async def _upload(self, upload: Upload[T], deadline: float | None) -> T:
        tries = self._tries(self._timeout.upload, deadline)
        while True:
            try:
                async with asyncio.timeout(tries.remaining()):
                    response = await self._http.post(
                        upload.path, files={upload.field: (upload.filename, upload.content)}, timeout=None
                    )
                return upload.read(answer_of_http(response))
            except TimeoutError:
                raise DeadlineExceeded("no answer in time") from None
            except httpx.TransportError as failure:
                wait = tries.wait_after(error_of_transport(failure), failure)
            except Unavailable as error:
                wait = tries.wait_after(error)
            await asyncio.sleep(wait)
