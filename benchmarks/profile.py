"""`python -m benchmarks.profile`: where a request's time goes in one worker, in microseconds, from socket to socket.

py-spy looks at every thread that runs, so many times a second, while load comes; each look counts for the innermost
of our parts on the stack.
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import wires
from benchmarks.cases import make_case
from benchmarks.load import Target
from benchmarks.ours import only, serving

LOOKS_A_SECOND = 400
CONNECTIONS = 64
PARTS = (
    ("metrics", ("serving/metrics.py", "prometheus_client/")),
    (
        "messages to arrays and back",
        (
            "serving/grpc/tensors.py",
            "serving/grpc/large_messages.py",
            "serving/grpc/predict_answers.py",
            "serving/rest/predict_json.py",
            "serving/rest/arrays.py",
            "serving/layouts.py",
        ),
    ),
    ("model", ("serving/savedmodel/", "tensorflow/")),
    ("merging, padding and splitting", ("_merge (", "_compute (", "padded (")),
    ("checks of inputs", ("serving/servables/inputs.py", "_checked (")),
    ("queue and batches", ("serving/servables/",)),
    ("engine", ("serving/engine.py", "serving/repository/", "serving/entry.py", "serving/tfserving/", "serving/oip/")),
    ("HTTP", ("serving/grpc/http2/", "serving/rest/express.py", "uvicorn/", "httptools")),
    (
        "front end",
        (
            "serving/direct.py",
            "serving/grpc/",
            "serving/rest/",
            "serving/hang_up.py",
            "serving/offload.py",
            "starlette/",
        ),
    ),
    (
        "event loop and sockets",
        ("grpc/", "asyncio/", "uvloop", "concurrent/futures", "bentoml", "threading.py"),
    ),
)
"""What a frame belongs to: of its function, file and line, the first part that has a piece of them."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"), help="directory of models")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each recording")
    parser.add_argument("--log", type=Path, default=Path("runs/benchmarks/profile.log"), help="the server's log")
    options = parser.parse_args()
    case = make_case("forecaster")
    with ExitStack() as stack:
        models = stack.enter_context(only(options.models, "forecaster"))
        ours = stack.enter_context(serving(models, ["--workers", "1"], options.log))
        targets = {"gRPC": Target(ours.grpc, wires.predict(case)), "REST": Target(ours.rest, wires.predict_json(case))}
        for protocol, target in targets.items():
            target.load(CONNECTIONS, 2)
            (worker,) = [
                pid for pid in ours.group.processes() if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            with tempfile.TemporaryDirectory() as folder:
                stacks = Path(folder, "stacks")
                command = [
                    str(Path(sys.executable).with_name("py-spy")),
                    "record",
                    "--pid",
                    str(worker),
                    "--duration",
                    f"{options.seconds:g}",
                    "--threads",
                ]
                command += ["--nonblocking", "--rate", str(LOOKS_A_SECOND), "--format", "raw", "--output", str(stacks)]
                recording = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                figures = target.load(CONNECTIONS, options.seconds + 1)
                recording.wait()
                found = by_part(stacks.read_text().splitlines())
            answered = figures["rate"] * options.seconds
            print(f"\n{protocol}, one worker, {CONNECTIONS} connections: {figures['rate']:.0f} answers/s\n")
            print("| thread | part | us a request |\n|---|---|---:|")
            for (thread, part), looks in found.most_common():
                print(f"| {thread} | {part} | {looks / LOOKS_A_SECOND / answered * 1e6:.1f} |")


def by_part(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """Looks by thread and part, of py-spy's raw lines: frames from the outermost, then how often they were seen."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines:
        text, _, count = line.rpartition(" ")
        thread, *frames = text.split(";")
        found["event loop" if "MainThread" in thread else "model's", part_of(frames)] += int(count)
    return found


def part_of(frames: list[str]) -> str:
    """The part of the innermost frame that belongs to one."""
    for frame in reversed(frames):
        for part, pieces in PARTS:
            if any(piece in frame for piece in pieces):
                return part
    return "other"


if __name__ == "__main__":
    main()
