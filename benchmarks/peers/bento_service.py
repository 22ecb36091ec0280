"""The forecaster behind BentoML's own batching API, as its documentation writes such a service."""

import os

import bentoml
import numpy as np

from benchmarks.peers.function import SIZES, WORKERS, load_compiled


@bentoml.service(workers=int(os.environ.get(WORKERS, "1")), traffic={"timeout": 60})
class Forecaster:
    def __init__(self) -> None:
        self.function = load_compiled()

    @bentoml.api(batchable=True, max_batch_size=SIZES[-1])
    def forecast(self, series: np.ndarray) -> np.ndarray:
        """A row is a history and, last, its end day: such an API takes one array. Answers means, then quantiles."""
        rows = series.astype(np.float32)
        outputs = self.function({"history": rows[:, :-1], "end_day": rows[:, -1].astype(np.int32)})
        return np.concatenate([outputs["mean"], outputs["quantiles"].reshape(len(rows), -1)], axis=1)
