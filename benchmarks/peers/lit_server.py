"""The forecaster behind LitServe, batched; as a program: PORT."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import litserve
import numpy as np

from benchmarks.peers.function import SIZES, WORKERS, load_compiled

# Without, an idle LitServe spins.
BATCH_TIMEOUT = 0.001


class Forecaster(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.function = load_compiled()

    def decode_request(self, request: dict[str, Any]) -> tuple[np.ndarray, int]:
        return np.array(request["history"], np.float32), request["end_day"]

    def batch(self, inputs: Sequence[tuple[np.ndarray, int]]) -> dict[str, np.ndarray]:
        histories, days = zip(*inputs, strict=True)
        return {"history": np.stack(histories), "end_day": np.array(days, np.int32)}

    def predict(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.function(inputs)

    def unbatch(self, outputs: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return list(zip(outputs["mean"], outputs["quantiles"], strict=True))

    def encode_response(self, output: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        mean, quantiles = output
        return {"mean": mean.tolist(), "quantiles": quantiles.tolist()}


if __name__ == "__main__":
    workers = int(os.environ.get(WORKERS, "1"))
    server = litserve.LitServer(
        Forecaster(max_batch_size=SIZES[-1], batch_timeout=BATCH_TIMEOUT),
        accelerator="cpu",
        workers_per_device=workers,
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=workers, generate_client_file=False)
