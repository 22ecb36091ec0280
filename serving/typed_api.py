"""The typed endpoints as plain Starlette handlers; BentoML only has to route to them and document them."""

import logging
from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from serving.api import forecast, sketch, video
from serving.api.reading import read_body, read_json, read_upload
from serving.engine import Engine
from serving.errors import Internal, ServingError
from serving.hang_up import CancelledByHangUp, HungUp
from serving.offload import sized
from serving.rest.errors import error_response

# Seventy numbers answer a series of seven.
_ANSWER_PER_BODY = 16
# Nobody reads it; the number is what web servers log for a caller who has gone.
_GONE = 499

_log = logging.getLogger(__name__)


class TypedApi:
    """Forecasts, sketches and clips over one engine.

    max_message_bytes: the largest body.
    timeout: seconds that an answer may take once the body is there.
    """

    def __init__(self, engine: Engine, *, max_message_bytes: int, timeout: float) -> None:
        self._engine = engine
        self._max_message_bytes = max_message_bytes
        self._timeout = timeout

    async def forecast(self, request: Request) -> Response:
        body = read_body(request, self._max_message_bytes)
        return await self._answer(request, forecast.MODEL, body, self._forecast)

    async def classify_sketch(self, request: Request) -> Response:
        body = read_body(request, self._max_message_bytes)
        return await self._answer(request, sketch.MODEL, body, self._classify_sketch)

    async def classify_video(self, request: Request) -> Response:
        clip = read_upload(request, video.FIELD, min(video.MAX_BYTES, self._max_message_bytes))
        return await self._answer(request, video.MODEL, clip, self._classify_video)

    async def _forecast(self, body: bytes) -> BaseModel:
        with self._engine.refusals(forecast.MODEL):
            asked = await sized(len(body), read_json, forecast.ForecastRequest, body)
        return await forecast.forecast(self._engine, asked, timeout=self._timeout)

    async def _classify_sketch(self, body: bytes) -> BaseModel:
        with self._engine.refusals(sketch.MODEL):
            asked = await sized(len(body), read_json, sketch.SketchRequest, body)
        return await sketch.classify_sketch(self._engine, asked, timeout=self._timeout)

    async def _classify_video(self, clip: bytes) -> BaseModel:
        return await video.classify_video(self._engine, clip, timeout=self._timeout)

    async def _answer(
        self, request: Request, model: str, reading: Awaitable[bytes], work: Callable[[bytes], Awaitable[BaseModel]]
    ) -> Response:
        """The one place where errors become answers: BentoML's own hide what was wrong."""
        try:
            with self._engine.refusals(model):
                body = await reading
            with CancelledByHangUp(request.receive):
                answer = await work(body)
                content = await sized(len(body) * _ANSWER_PER_BODY, answer.model_dump_json)
        except HungUp:
            return Response(status_code=_GONE)
        except ServingError as error:
            return error_response(error)
        except Exception:
            _log.exception("a typed endpoint failed")
            return error_response(Internal("internal error"))
        return Response(content, media_type="application/json")
