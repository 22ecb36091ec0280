"""A stand-in for the server that answers every protocol at once, so that the users themselves are what is tested."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from tritonclient.grpc import service_pb2

from loadtests import oip, tfserving


@dataclass
class StandIn:
    """Where it listens, what it was asked, and how it shall behave."""

    http_url: str = ""
    grpc_target: str = ""
    asked: Counter = field(default_factory=Counter)
    failing: bool = False
    delay: float = 0.0

    def arguments(self) -> list[str]:
        return ["--http-url", self.http_url, "--rest-url", self.http_url, "--grpc-target", self.grpc_target]


class Grpc(grpc.GenericRpcHandler):
    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in = stand_in
        self._answers = {tfserving.PREDICT: self._predict, oip.MODEL_INFER: self._infer}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._answers[details.method])

    def _arrive(self, name: str, context: grpc.ServicerContext) -> None:
        self._stand_in.asked[name] += 1
        time.sleep(self._stand_in.delay)
        if self._stand_in.failing:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")

    def _predict(self, payload: bytes, context: grpc.ServicerContext) -> bytes:
        request = tfserving.PredictRequest.FromString(payload)
        self._arrive(f"Predict {request.model_spec.name}", context)
        response = tfserving.PredictResponse()
        for name in request.output_filter:
            response.outputs.add(key=name).value.float_val.append(1)
        return response.SerializeToString()

    def _infer(self, payload: bytes, context: grpc.ServicerContext) -> bytes:
        request = service_pb2.ModelInferRequest.FromString(payload)
        self._arrive(f"ModelInfer {request.model_name}", context)
        response = service_pb2.ModelInferResponse()
        for output in request.outputs:
            response.outputs.add(name=output.name)
            response.raw_output_contents.append(b"1234")
        return response.SerializeToString()


def web(stand_in: StandIn) -> Starlette:
    def arrive(name: str, answer: dict) -> JSONResponse:
        stand_in.asked[name] += 1
        return JSONResponse({"error": "full"}, 429) if stand_in.failing else JSONResponse(answer)

    async def forecast(request: Request) -> JSONResponse:
        many = "series" in await request.json()
        return arrive("forecast", {"forecasts": [1]} if many else {"mean": [1], "quantiles": {"0.1": [1]}})

    async def classify_sketch(request: Request) -> JSONResponse:
        return arrive("sketch", {"classes": (await request.json())["drawing"]})

    async def classify_video(request: Request) -> JSONResponse:
        async with request.form() as form:
            return arrive("video", {"classes": [form["video"].size]})

    async def predict(request: Request) -> JSONResponse:
        # Not parsed: a clip is megabytes of JSON, and the stand-in shares its processor with the users.
        columns = (await request.body()).startswith(b'{"inputs": {')
        return arrive(f"REST {request.path_params['model']}", {"outputs": [columns] if columns else []})

    post = {"methods": ["POST"]}
    return Starlette(
        routes=[
            Route("/forecast", forecast, **post),
            Route("/classify_sketch", classify_sketch, **post),
            Route("/classify_video", classify_video, **post),
            Route("/v1/models/{model}:predict", predict, **post),
        ]
    )


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    made = StandIn()
    pool = futures.ThreadPoolExecutor(8)
    server = grpc.server(pool, handlers=[Grpc(made)], options=[("grpc.max_receive_message_length", -1)])
    made.grpc_target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    http = uvicorn.Server(uvicorn.Config(web(made), port=0, log_level="error", lifespan="off"))
    listening = http.config.bind_socket()
    made.http_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread = threading.Thread(target=http.run, args=([listening],), daemon=True)
    thread.start()
    yield made
    server.stop(None).wait()
    http.should_exit = True
    thread.join(10)
    listening.close()
    pool.shutdown()
