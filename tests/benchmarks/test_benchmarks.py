import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import numpy as np
import pytest

from benchmarks.__main__ import _options, _rows, _table
from benchmarks.cases import make_case
from benchmarks.load import LoadError, grpc_load, rest_load
from loadtests import tfserving
from loadtests.server import Addresses


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.mark.parametrize("model", ["forecaster", "sketchrnn", "video"])
def test_both_wires_carry_the_same_request(model):
    case = make_case(model)
    length = int.from_bytes(case.grpc_body[1:5])
    message = tfserving.PredictRequest.FromString(case.grpc_body[5:])
    assert case.grpc_body[0] == 0
    assert len(case.grpc_body) == 5 + length
    (row,) = json.loads(case.rest_body)["instances"]
    for entry in message.inputs:
        array = np.frombuffer(entry.value.tensor_content, case.inputs[entry.key].dtype)
        np.testing.assert_array_equal(array, np.ravel(np.array(row[entry.key], array.dtype)))


def test_figures_are_kept_only_where_asked_for():
    assert _options([])[0].reports == Path("reports/benchmarks")
    options, flags = _options(["--save", "--workers", "1"])
    assert (options.reports, flags) == (Path("docs/benchmarks"), ["--workers", "1"])


def test_help_says_where_the_load_comes_from(capsys):
    with pytest.raises(SystemExit):
        _options(["--help"])
    text = capsys.readouterr().out
    assert "nghttp2-client" in text
    assert "wrk" in text


def test_rows_are_medians_and_multiples_of_the_model_alone():
    def figures(*rates):
        return [{"rate": rate, "p50": 1.0, "p99": 2.0} for rate in rates]

    rows = _rows(
        {("m", "alone, batches of 1"): figures(100, 1000, 200), ("m", "gRPC, 1 connection"): figures(50, 100, 150)}
    )
    assert [(row["rate"], row["ratio"]) for row in rows] == [(200, 1.0), (100, 0.5)]
    assert _table(rows)[-1] == "| m | gRPC, 1 connection | 100 | 1.00 | 2.00 | 0.50 |"


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
        yield Handler, Addresses("", f"http://127.0.0.1:{server.server_port}", "")
        server.shutdown()
        thread.join()


@needs("wrk")
def test_wrk_measures_and_tells_failures(server):
    handler, addresses = server
    figures = rest_load(make_case("forecaster"), addresses, 2, 1)
    assert figures["rate"] > 0
    assert 0 < figures["p50"] <= figures["p99"]
    handler.broken = True
    with pytest.raises(LoadError, match="every REST request"):
        rest_load(make_case("forecaster"), addresses, 2, 1)


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
    yield echo, Addresses("", "", f"127.0.0.1:{port}")
    server.stop(None).wait()


@needs("h2load")
def test_h2load_measures(grpc_server):
    figures = grpc_load(make_case("forecaster"), grpc_server[1], 2, 1)
    assert figures["rate"] > 0
    assert 0 < figures["p50"] <= figures["p99"]


@needs("h2load")
def test_h2load_tells_failures(grpc_server):
    echo, addresses = grpc_server
    echo.sound = 5
    with pytest.raises(LoadError, match="every gRPC request"):
        grpc_load(make_case("forecaster"), addresses, 2, 1)
