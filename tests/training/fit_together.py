"""Fits the toy problem as one of the workers of TF_CONFIG, or alone; run as a program by test_strategy."""

import json
import os
import sys
from pathlib import Path

import numpy as np
from toy import fit_toy, options

from training.fitting import in_float32
from training.strategy import is_chief

if __name__ == "__main__":
    folder, strategy = Path(sys.argv[1]), sys.argv[2]
    asked = options(folder / "run", epochs=2, average=0.9, strategy=strategy)
    fitted, report = fit_toy(asked, dropout=0.0)  # which is drawn by each worker
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"] if strategy == "multi_worker" else 0
    assert is_chief(strategy) == (index == 0)
    plain = in_float32(fitted, lambda: fitted)
    figures = np.array([[row["loss"], row["val_loss"], row["val_accuracy"]] for row in report.history])
    np.savez(folder / f"worker-{index}.npz", *plain.get_weights(), figures=figures)
