"""One question for each protocol, to the models of models.py."""

import time
from collections.abc import Callable

import grpc
import httpx
from tritonclient.grpc import service_pb2, service_pb2_grpc

WEEK = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0]


def ask_rest(base: str) -> list[float]:
    answer = httpx.post(f"{base}/v1/models/affine:predict", json={"inputs": {"x": [[1, 2, 3]]}}, timeout=30)
    assert answer.status_code == 200, answer.text
    outputs: list[float] = answer.json()["outputs"]
    return outputs


def ask_grpc(address: str) -> list[float]:
    request = service_pb2.ModelInferRequest(model_name="affine")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 3]).contents.fp32_contents.extend([1, 2, 3])
    with grpc.insecure_channel(address) as channel:
        answer = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=30)
    return list(answer.outputs[0].contents.fp32_contents)


def ask_grpc_ready(address: str, model: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return bool(stub.ModelReady(service_pb2.ModelReadyRequest(name=model), timeout=30).ready)


def counted(read: Callable[[], float]) -> float:
    """What `read` gives once it has given the same for half a second: workers count a little later."""
    value, since, end = read(), time.monotonic(), time.monotonic() + 30
    while time.monotonic() < since + 0.5:
        assert time.monotonic() < end, f"still counting after 30 s: {value}"
        time.sleep(0.02)
        if (now := read()) != value:
            value, since = now, time.monotonic()
    return value
