import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest

from benchmarks import wires
from benchmarks.cases import make_case
from benchmarks.load import LoadError, Target, grpc_count, grpc_load, rest_load
from benchmarks.poisson import poisson_load

CASE = make_case("forecaster")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
def server():
    """Answer POST with 200, or with 500 while `broken` is set."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        broken = False

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            ok = "instances" in json.loads(body) and self.path.endswith(":predict") and not self.broken
            self.send_response(200 if ok else 500)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Handler, Target(f"127.0.0.1:{server.server_port}", wires.predict_json(CASE))
        server.shutdown()
        thread.join()


@needs("wrk")
def test_wrk_measures_and_tells_failures(server):
    handler, target = server
    figures = rest_load([target], 2, 1)
    assert figures["rate"] > 0
    assert 0 < figures["p50"] <= figures["p99"]
    handler.broken = True
    with pytest.raises(LoadError, match="every REST request"):
        rest_load([target], 2, 1)


@pytest.fixture
def grpc_server():
    """Answer Predict with the request, and from the call number `sound` on with an error."""

    class Echo:
        calls, sound = 0, 10**9

        def __call__(self, request, context):
            self.calls += 1
            if self.calls > self.sound:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
            return request

    echo = Echo()
    methods = {"Predict": grpc.unary_unary_rpc_method_handler(echo)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", methods),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield echo, Target(f"127.0.0.1:{port}", wires.predict(CASE))
    server.stop(None).wait()


@needs("h2load")
def test_h2load_measures(grpc_server):
    figures = grpc_load(grpc_server[1], 2, 1)
    assert figures["rate"] > 0
    assert 0 < figures["p50"] <= figures["p99"]


@needs("h2load")
def test_h2load_tells_failures(grpc_server):
    echo, target = grpc_server
    echo.sound = 5
    with pytest.raises(LoadError, match="every gRPC request"):
        grpc_load(target, 2, 1)


@needs("h2load")
def test_h2load_sends_so_many(grpc_server):
    echo, target = grpc_server
    grpc_count(target, 3, 50)
    assert echo.calls == 51  # one asks how large an answer is


@needs("h2load")
def test_poisson_load_comes_at_its_rate(grpc_server):
    echo, target = grpc_server
    figures = poisson_load(target, 200.0, 1.5)
    assert 100 < figures["rate"] < 300
    assert 0 < figures["p50"] <= figures["p99"]
    echo.sound = echo.calls + 5
    with pytest.raises(LoadError, match="every gRPC request"):
        poisson_load(target, 200.0, 0.5)


def test_a_wrong_answer_is_not_timed(server):
    _, target = server
    wire = wires.Wire("REST", target.wire.path, target.wire.body, lambda answer, headers: np.array([1.0, 2.0]))
    wrong = Target(target.address, wire)
    wrong.check(np.array([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="Received"):
        wrong.check(np.array([[1.0, 3.0]]))
