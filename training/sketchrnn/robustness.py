"""Drawings as other hands might have made them: turned, of another size or shape, not finished."""

from collections.abc import Callable, Mapping

import numpy as np

from training.sketchrnn.data import Drawings

Change = Callable[[Drawings], Drawings]


def rotated(drawings: Drawings, degrees: float) -> Drawings:
    """Turned about the pen's first point; clockwise on a screen, where y grows downwards."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return _mapped(drawings, np.array([[cosine, sine], [-sine, cosine]]))


def scaled(drawings: Drawings, width: float, height: float) -> Drawings:
    """Of another size, or stretched where the factors differ."""
    return _mapped(drawings, np.diag([width, height]))


def cut(drawings: Drawings, share: float) -> Drawings:
    """Only the first points of each drawing, at least one."""
    lengths = np.maximum(np.ceil(share * drawings.lengths).astype(int), 1)
    kept = [drawings[i][:length] for i, length in enumerate(lengths)]
    return Drawings.of(kept, drawings.labels.tolist())


def _mapped(drawings: Drawings, matrix: np.ndarray) -> Drawings:
    points = drawings.points.astype(np.float32)
    points[:, :2] = points[:, :2] @ matrix
    return Drawings(points, drawings.starts, drawings.labels)


CHANGES: Mapping[str, Change] = {
    "as drawn": lambda drawings: drawings,
    **{f"turned by {by:+}°": lambda drawings, by=by: rotated(drawings, by) for by in (-30, -15, 15, 30)},
    "a tenth of the size": lambda drawings: scaled(drawings, 0.1, 0.1),
    "half as wide": lambda drawings: scaled(drawings, 0.5, 1.0),
    "half as high": lambda drawings: scaled(drawings, 1.0, 0.5),
    "mirrored": lambda drawings: scaled(drawings, -1.0, 1.0),
    "first 75% of the points": lambda drawings: cut(drawings, 0.75),
    "first 50% of the points": lambda drawings: cut(drawings, 0.5),
}
