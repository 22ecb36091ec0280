"""What is judged is a warm server."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtests.server import wait_until_warm

HELP = "# HELP seqserve_shapes_to_compile Shapes that run op by op until they are compiled.\n"


@pytest.fixture
def metrics() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and what /metrics answers, in turn; the last for good."""
    answers: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = (answers.pop(0) if len(answers) > 1 else answers[0]).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
        thread.join()


def shapes(*counts: float) -> str:
    return HELP + "".join(f'seqserve_shapes_to_compile{{model="m{i}"}} {n}\n' for i, n in enumerate(counts))


def test_waits_until_no_model_has_shapes_left(metrics, capsys):
    url, answers = metrics
    answers += ["", shapes(0.0, 0.0), shapes(2.0, 0.0), shapes(0.0, 1.0), shapes(0.0, 0.0)]
    assert wait_until_warm(url, 60)
    assert len(answers) == 1
    assert "60 s at most" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "left"), [(shapes(3.0, 4.0), "7 shapes left"), (HELP, "inf shapes left")])
def test_goes_on_after_a_while_and_says_so(metrics, capsys, answer, left):
    url, answers = metrics
    answers.append(answer)
    assert not wait_until_warm(url, 0.5)
    assert left in capsys.readouterr().out
