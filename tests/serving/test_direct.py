"""The short way, over real connections to a real engine: same answers, same errors, same counts as the long one."""

import asyncio
import json
import socket
import threading
import time
from types import SimpleNamespace

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
import tensorflow as tf
from prometheus_client import CollectorRegistry
from tensorflow_serving.apis import predict_pb2
from tritonclient.grpc import service_pb2

from serving import direct
from serving.control import Control
from serving.engine import Engine
from serving.errors import Internal
from serving.grpc import infer_answers
from serving.grpc.server import Server
from serving.metrics import Metrics
from serving.repository import Repository
from serving.rest.app import build_app
from serving.rest.entrance import Entrance
from serving.rest.http_server import HttpServer
from serving.servables import batching
from serving.servables.batching import NotByRows
from serving.servables.servable import LoadOptions, load_servable

from .savedmodels import STROKE_RULE, Affine, Labelled, save

PREDICT, INFER = "/tensorflow.serving.PredictionService/Predict", "/inference.GRPCInferenceService/ModelInfer"
X = np.array([[1, 1, 1], [2, 2, 2]], "f")


class Served(SimpleNamespace):
    """A server with its short ways counted. hold: stops the models; spoil: what they raise."""

    def total(self, code: str, model: str = "affine") -> float:
        self.metrics.count()
        return self.registry.get_sample_value("seqserve_requests_total", {"model": model, "code": code}) or 0.0


@pytest_asyncio.fixture
async def served(tmp_path, monkeypatch):
    save(Affine(10.0), tmp_path / "affine" / "1", sizes=(1, 4))
    save(Labelled(), tmp_path / "labelled" / "1", rules={"strokes": STROKE_RULE}, sizes=(1, 4))
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    repository = Repository(
        tmp_path,
        lambda name, version, path: load_servable(
            name, version, path, LoadOptions(threads=1, compile=False), lambda report: metrics.ran(name, report)
        ),
        poll_seconds=0.05,
    )
    engine = Engine(
        repository,
        answered=metrics.answered,
        refused=metrics.refused,
        served=metrics.served,
        computed=metrics.computed,
        tally=metrics.tally,
    )
    await repository.start()
    begun = []
    begin = direct.Route.begin

    def counted(self, *args):
        taken = begin(self, *args)
        begun.append(taken)
        return taken

    monkeypatch.setattr(direct.Route, "begin", counted)
    control = Control(repository)
    server = Server(engine, control, addresses=["127.0.0.1:0"], max_concurrent_requests=64)
    port = await server.start()
    app = Entrance(build_app(engine, control), 20.0)
    rest = HttpServer(app, find=app.find)
    listening = socket.create_server(("127.0.0.1", 0))
    await rest.start(listening)
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
    client = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=30, headers={"accept-encoding": "identity"}
    )
    yield Served(
        base=tmp_path,
        registry=registry,
        metrics=metrics,
        repository=repository,
        engine=engine,
        begun=begun,
        call=lambda path, message, **options: channel.unary_unary(path)(message.SerializeToString(), **options),
        client=client,
        port=port,
    )
    await client.aclose()
    await channel.close()
    await asyncio.gather(server.drain(0), rest.drain(1))
    listening.close()
    await repository.stop(5)


def predict(x: np.ndarray, model: str = "affine", name: str = "x", **spec) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for key, value in spec.items():
        if key == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, key, value)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(x))
    return request


def infer(x: np.ndarray, **fields) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="affine", raw_input_contents=[x.tobytes()], **fields)
    request.inputs.add(name="x", datatype="FP32", shape=x.shape)
    return request


def body(x: np.ndarray, **parameters) -> tuple[bytes, dict[str, str]]:
    tensor = {"name": "x", "datatype": "FP32", "shape": x.shape, "parameters": {"binary_data_size": x.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}, **parameters}).encode()
    return head + x.tobytes(), {"inference-header-content-length": str(len(head))}


async def known(served, ask, times: int = 3):
    """Asks until it goes the short way."""
    for _ in range(times):
        answer = await ask()
    assert served.begun[-1] is True
    return answer


def summed(x: np.ndarray) -> list[float]:
    return (x @ np.array([1, 2, 3], "f") + 10).tolist()


async def test_every_way_in_gets_its_own_numbers_answered(served):
    generator = np.random.default_rng(0)
    for number in range(20):
        x = generator.integers(-50, 50, (2, 3)).astype("f")
        answer = predict_pb2.PredictResponse.FromString(await served.call(PREDICT, predict(x)))
        assert list(answer.outputs["y"].float_val) == summed(x)
        assert (answer.model_spec.name, answer.model_spec.version.value) == ("affine", 1)
        inferred = service_pb2.ModelInferResponse.FromString(await served.call(INFER, infer(x, id="same")))
        assert np.frombuffer(inferred.raw_output_contents[0], "f").tolist() == summed(x)
        assert inferred.id == "same"
        rows = await served.client.post("/v1/models/affine:predict", json={"instances": [{"x": r} for r in x.tolist()]})
        assert rows.json() == {"predictions": summed(x)}
        columns = await served.client.post("/v1/models/affine:predict", json={"inputs": {"x": x.tolist()}})
        assert columns.json() == {"outputs": summed(x)}
        content, headers = body(x, id="7")
        binary = await served.client.post("/v2/models/affine/infer", content=content, headers=headers)
        head = int(binary.headers["inference-header-content-length"])
        assert json.loads(binary.content[:head])["id"] == "7"
        assert np.frombuffer(binary.content[head:], "f").tolist() == summed(x)
        if number > 3:
            assert served.begun[-5:] == [True] * 5
    assert served.total("OK") == 100


async def test_ids_of_requests_come_back_with_their_own_answers(served):
    for number in range(12):
        answer = await served.call(INFER, infer(X, id=f"request {number % 3}"))
        assert service_pb2.ModelInferResponse.FromString(answer).id == f"request {number % 3}"


async def test_a_new_version_answers_at_once(served):
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    await known(served, ask)
    save(Affine(20.0), served.base / "affine" / "2", sizes=(1, 4))
    async with asyncio.timeout(20):
        while served.repository.get("affine").version != 2:
            await asyncio.sleep(0.02)
    answer = predict_pb2.PredictResponse.FromString(await ask())
    assert answer.model_spec.version.value == 2
    assert list(answer.outputs["y"].float_val) == [value + 10 for value in summed(X)]
    assert served.begun[-1]


async def test_a_version_or_model_that_is_not_there_is_not_found(served):
    for message in (predict(X, version=3), predict(X, model="nobody"), predict(X, version_label="stable")):
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await served.call(PREDICT, message)
            assert error.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    for _ in range(5):
        content, headers = body(X)
        answer = await served.client.post("/v2/models/nobody/infer", content=content, headers=headers)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith("Request for unknown model")
    assert served.total("OK") == 0


async def test_values_that_break_a_rule_are_refused_as_ever(served):
    strokes = np.ones((1, 5, 2), "f")

    def ask(values):
        return served.call(PREDICT, predict(values, model="labelled", name="strokes"))

    await known(served, lambda: ask(strokes))
    bad = strokes.copy()
    bad[0, 2, 1] = np.nan
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(bad)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "must be finite" in error.value.details()
    await ask(strokes)
    assert served.total("INVALID_ARGUMENT", "labelled") == 1


async def test_mixed_lengths_and_ways_share_batches_and_keep_their_answers(served):
    generator = np.random.default_rng(2)
    drawings = [generator.normal(size=(1, 1 + number % 12, 2)).astype("f") for number in range(60)]

    async def ask(strokes):
        answer = await served.call(PREDICT, predict(strokes, model="labelled", name="strokes"))
        return predict_pb2.PredictResponse.FromString(answer).outputs["scores"].float_val

    alone = [list(await ask(strokes)) for strokes in drawings]
    for _ in range(3):
        together = await asyncio.gather(*[ask(strokes) for strokes in drawings])
    assert all(served.begun[-60:])
    for one, other in zip(alone, together, strict=True):
        assert list(other) == pytest.approx(one, abs=1e-5)


@pytest.fixture
def held(served, monkeypatch):
    """Holds the model until it is told to go on."""
    go_on, entered = threading.Event(), threading.Event()
    batcher = served.repository.get("affine").function("serving_default").batcher
    run = batcher._run

    def slow(inputs):
        entered.set()
        assert go_on.wait(20)
        return run(inputs)

    monkeypatch.setattr(batcher, "_run", slow)
    yield SimpleNamespace(go_on=go_on, entered=entered, batcher=batcher)
    go_on.set()


@pytest.fixture
def broken(served, monkeypatch):
    """Lets the model fail."""
    batcher = served.repository.get("affine").function("serving_default").batcher

    def fail(_):
        raise Internal("the model failed: out of ink")

    return lambda: monkeypatch.setattr(batcher, "_run", fail)


async def test_what_the_model_raises_reaches_all_who_asked(served, broken):
    content, headers = body(X)
    asks = [
        lambda: served.call(PREDICT, predict(X)),
        lambda: served.call(INFER, infer(X)),
    ]
    for ask in asks:
        await known(served, ask)
    rest = lambda: served.client.post("/v2/models/affine/infer", content=content, headers=headers)  # noqa: E731
    await known(served, rest)
    broken()
    for ask in asks:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ask()
        assert error.value.code() == grpc.StatusCode.INTERNAL
        assert "out of ink" in error.value.details()
    answer = await rest()
    assert answer.status_code == 500
    assert "out of ink" in answer.json()["error"]
    assert all(served.begun[-3:])
    assert served.total("INTERNAL") == 3


async def test_a_deadline_ends_the_wait(served, held):
    held.go_on.set()
    await known(served, lambda: served.call(PREDICT, predict(X), timeout=10))
    held.go_on.clear()
    began = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await served.call(PREDICT, predict(X), timeout=0.3)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 5
    held.go_on.set()
    await served.call(PREDICT, predict(X), timeout=10)


async def test_who_has_gone_takes_no_room(served, held):
    held.go_on.set()
    content, headers = body(X)
    rest = lambda: served.client.post("/v2/models/affine/infer", content=content, headers=headers)  # noqa: E731
    for ask in (lambda: served.call(PREDICT, predict(X)), rest):
        await known(served, ask)
    held.go_on.clear()
    held.entered.clear()
    first = asyncio.ensure_future(served.call(PREDICT, predict(X)))
    await asyncio.to_thread(held.entered.wait, 10)
    gone = [asyncio.ensure_future(rest()) for _ in range(3)] + [served.call(PREDICT, predict(X)) for _ in range(3)]
    async with asyncio.timeout(10):
        while held.batcher.depth < 12:
            await asyncio.sleep(0.01)
    for one in gone:
        one.cancel()
    async with asyncio.timeout(10):
        while held.batcher.depth:
            await asyncio.sleep(0.01)
    held.go_on.set()
    await first
    assert served.total("CANCELLED") == 6


async def test_nothing_is_left_of_what_failed_or_came_too_late(served, held, broken):
    held.go_on.set()
    content, headers = body(X)
    rest = lambda: served.client.post("/v2/models/affine/infer", content=content, headers=headers)  # noqa: E731
    ask = lambda: served.call(PREDICT, predict(X), timeout=0.3)  # noqa: E731
    for known_way in (ask, rest):
        await known(served, known_way)
    held.go_on.clear()
    late = await asyncio.gather(*[ask() for _ in range(4)], return_exceptions=True)
    assert [error.code() for error in late] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 4
    async with asyncio.timeout(10):
        while held.batcher.depth:
            await asyncio.sleep(0.01)
    held.go_on.set()
    await asyncio.sleep(0.1)
    broken()
    for _ in range(3):
        assert (await rest()).status_code == 500
    assert held.batcher.depth == 0
    assert not held.batcher._deadlines._jobs


async def test_a_large_answer_is_written_in_a_thread_and_thrown_away_where_nobody_waits(served, monkeypatch):
    monkeypatch.setattr(direct, "LARGE_BYTES", 4)
    to_raw, go_on, in_loop = infer_answers.to_raw, threading.Event(), []
    go_on.set()

    def slow(*args):
        in_loop.append(threading.current_thread() is threading.main_thread())
        assert go_on.wait(20)
        return to_raw(*args)

    monkeypatch.setattr(infer_answers, "to_raw", slow)
    ask = lambda **options: served.call(INFER, infer(X), **options)  # noqa: E731
    answer = service_pb2.ModelInferResponse.FromString(await known(served, ask))
    assert np.frombuffer(answer.raw_output_contents[0], "f").tolist() == summed(X)
    assert not in_loop[-1]
    go_on.clear()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask(timeout=0.3)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    go_on.set()
    answer = service_pb2.ModelInferResponse.FromString(await ask())
    assert np.frombuffer(answer.raw_output_contents[0], "f").tolist() == summed(X)


async def test_requests_that_wait_while_a_version_is_replaced_are_answered_by_one_that_was_current(served, held):
    held.go_on.set()
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    await known(served, ask)
    held.go_on.clear()
    waiting = [asyncio.ensure_future(ask()) for _ in range(8)]
    async with asyncio.timeout(10):
        while held.batcher.depth < 12:  # some are with the model already
            await asyncio.sleep(0.01)
    save(Affine(20.0), served.base / "affine" / "2", sizes=(1, 4))
    async with asyncio.timeout(20):
        while served.repository.get("affine").version != 2:
            await asyncio.sleep(0.02)
    assert predict_pb2.PredictResponse.FromString(await ask()).model_spec.version.value == 2
    held.go_on.set()
    for one in waiting:
        answer = predict_pb2.PredictResponse.FromString(await one)
        assert answer.model_spec.version.value == 1
        assert list(answer.outputs["y"].float_val) == summed(X)


async def test_a_limit_of_rest_alone_may_be_longer_than_that_of_the_engine(served, monkeypatch, held):
    held.go_on.set()
    content, headers = body(X)
    rest = lambda: served.client.post("/v2/models/affine/infer", content=content, headers=headers)  # noqa: E731
    await known(served, rest)
    monkeypatch.setattr(served.engine, "timeout", 0.2)
    held.go_on.clear()
    asked = asyncio.ensure_future(rest())
    await asyncio.sleep(0.5)
    held.go_on.set()
    assert (await asked).status_code == 200


async def test_a_lone_request_is_answered_in_the_loop_and_busy_times_in_threads(served, monkeypatch):
    """Where the model computes only, takes a moment and had no more than one request for a while."""
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    batcher = served.repository.get("affine").function("serving_default").batcher
    threads, run = [], batcher._run

    def noted(inputs):
        threads.append(threading.current_thread() is threading.main_thread())
        return run(inputs)

    monkeypatch.setattr(batcher, "_run", noted)
    monkeypatch.setattr(batching, "_BRIEF_SECONDS", 60)
    for _ in range(batching._ALONE_BEFORE + 5):
        await ask()
    assert not any(threads), "it has not said that it only computes"
    shapes = []
    monkeypatch.setattr(batcher, "_never_waits", lambda asked: shapes.append(asked) or True)
    await ask()
    assert threads[-1]
    assert shapes == [((4, 3),)]
    await asyncio.gather(*[ask() for _ in range(8)])
    await ask()
    assert not threads[-1]
    monkeypatch.setattr(batching, "_BRIEF_SECONDS", 0)
    for _ in range(batching._ALONE_BEFORE + 5):
        await ask()
    assert not threads[-1], "it took more than a moment"


async def test_a_full_queue_says_so(served, held, monkeypatch):
    held.go_on.set()
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    await known(served, ask)
    held.go_on.clear()
    held.entered.clear()
    first = asyncio.ensure_future(ask())
    await asyncio.to_thread(held.entered.wait, 10)
    waiting = [asyncio.ensure_future(ask()) for _ in range(60)]
    async with asyncio.timeout(10):
        while held.batcher.depth < 120:
            await asyncio.sleep(0.01)
    monkeypatch.setattr(held.batcher._queue, "_policy", SimpleNamespace(max_enqueued_rows=121, max_enqueued_bytes=1e9))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask()
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "the queue holds 121 rows" in error.value.details()
    monkeypatch.undo()
    held.go_on.set()
    await asyncio.gather(first, *waiting)


async def test_as_many_as_the_server_takes_at_once_and_no_more(served, held):
    held.go_on.set()
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    await known(served, ask)
    held.go_on.clear()
    inside = [asyncio.ensure_future(ask()) for _ in range(64)]
    async with asyncio.timeout(10):
        while served.begun.count(True) < 65:
            await asyncio.sleep(0.01)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await ask()
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    held.go_on.set()
    await asyncio.gather(*inside)
    await ask()


async def test_a_model_that_turns_out_to_answer_in_another_way_is_asked_again(served, monkeypatch):
    ask = lambda: served.call(PREDICT, predict(X))  # noqa: E731
    await known(served, ask)
    batcher = served.repository.get("affine").function("serving_default").batcher
    run, failures = batcher._run, [NotByRows("not by rows")]

    def once(inputs):
        if failures:
            raise failures.pop()
        return run(inputs)

    monkeypatch.setattr(batcher, "_run", once)
    answer = predict_pb2.PredictResponse.FromString(await ask())
    assert list(answer.outputs["y"].float_val) == summed(X)
    content, headers = body(X)
    rest = lambda: served.client.post("/v2/models/affine/infer", content=content, headers=headers)  # noqa: E731
    await known(served, rest)
    failures.append(NotByRows("not by rows"))
    assert (await rest()).status_code == 200


async def test_answers_are_compressed_for_those_who_want_it(served):
    x = np.tile(X, (2, 1))
    content, headers = body(x)
    headers["accept-encoding"] = "gzip"
    for number in range(5):
        served.begun.clear()
        answer = await served.client.post("/v2/models/affine/infer", content=content, headers=headers)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content.endswith(np.array(summed(x), "f").tobytes())
        answer = await served.client.post("/v1/models/affine:predict", json={"inputs": x.tolist()}, headers=headers)
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.json()["outputs"] == summed(x)
        assert number < 3 or served.begun == [True, True]


async def test_a_bug_in_the_short_way_costs_no_answer(served, monkeypatch, caplog):
    def bug(*_):
        raise TypeError("a bug")

    await known(served, lambda: served.call(PREDICT, predict(X)))
    monkeypatch.setattr(direct.Route, "begin", bug)
    for _ in range(70):  # more than may be worked on at once
        await served.call(PREDICT, predict(X))
    answer = predict_pb2.PredictResponse.FromString(await served.call(PREDICT, predict(X)))
    assert list(answer.outputs["y"].float_val) == summed(X)
    content, headers = body(X)
    for _ in range(4):
        answer = await served.client.post("/v2/models/affine/infer", content=content, headers=headers)
        assert answer.status_code == 200
    assert "was not taken on the short way" in caplog.text
