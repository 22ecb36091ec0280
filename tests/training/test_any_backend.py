"""The models are Keras code that any backend can compute: JAX, with the same weights, answers as TensorFlow does."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("any_backend.py")


@pytest.mark.timeout(600)
def test_jax_answers_as_tensorflow_does(tmp_path: Path) -> None:
    told = {}
    for backend in ("tensorflow", "jax"):
        answers = tmp_path / f"{backend}.npz"
        done = subprocess.run(
            [sys.executable, PROGRAM, tmp_path / "weights.npz", answers],
            env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            timeout=500,
        )
        assert done.returncode == 0, done.stderr
        told[backend] = np.load(answers)
    assert len(told["jax"].files) == 4
    for name, expected in told["tensorflow"].items():
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(told["jax"][name], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
