"""Optical flow from coarse to fine, which follows what moves by more than its own width from frame to frame.

After Lucas and Kanade, "An Iterative Image Registration Technique" (1981), in a pyramid, as Bouguet, "Pyramidal
Implementation of the Lucas Kanade Feature Tracker" (2000), with a window around every pixel.
"""

from typing import Any

import numpy as np
from keras import ops

LEVELS = 3
TURNS = 3  # at each level
STIFFNESS = 1e-2  # keeps the flow at 0 where there is nothing to see
FARTHEST = 1.0  # pixels that one turn may add

_BLUR = np.array([1, 2, 1], np.float32) / 4


def flow(light: Any) -> tuple[Any, Any]:
    """Pictures [batch, time, side, side] to the way of each pixel to the next: right and down, [batch, time - 1, ...].

    side: a multiple of 4. Ways are in pixels a frame; brightness is best brought to deviation 1.
    """
    time, side = light.shape[1:3]
    before = ops.reshape(light[:, :-1], (-1, side, side))
    after = ops.reshape(light[:, 1:], (-1, side, side))
    pyramid = [(before, after)]
    for _ in range(LEVELS - 1):
        pyramid.append(tuple(_halved(blurred(picture)) for picture in pyramid[-1]))
    across = down = ops.zeros_like(pyramid[-1][0])
    for level, (first, second) in enumerate(reversed(pyramid)):
        if level:
            across, down = 2 * _doubled(across), 2 * _doubled(down)
        for _ in range(TURNS):
            more = _step(first, warped(second, across, down))
            across, down = _all_blurred(across + more[0], down + more[1])
    shape = (-1, time - 1, side, side)
    return ops.reshape(across, shape), ops.reshape(down, shape)


def _step(first: Any, second: Any) -> tuple[Any, Any]:
    """The way that is left between two pictures [n, side, side] that nearly match."""
    x, y = gradient((first + second) / 2)
    change = second - first
    xx, yy, xy, xt, yt = _all_blurred(x * x, y * y, x * y, x * change, y * change, times=2)
    xx, yy = xx + STIFFNESS, yy + STIFFNESS
    determinant = xx * yy - xy * xy
    found = (xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant
    return ops.clip(found[0], -FARTHEST, FARTHEST), ops.clip(found[1], -FARTHEST, FARTHEST)


def warped(picture: Any, across: Any, down: Any) -> Any:
    """Fetch each pixel of [n, side, side] from where it went; beyond the edge, from the edge."""
    side = picture.shape[1]
    axis = np.arange(side, dtype=np.float32)
    x = ops.clip(axis + across, 0.0, side - 1.0)
    y = ops.clip(axis[:, None] + down, 0.0, side - 1.0)
    left = ops.minimum(ops.floor(x), side - 2.0)
    top = ops.minimum(ops.floor(y), side - 2.0)
    x, y = x - left, y - top
    at = ops.reshape(ops.cast(top * side + left, "int32"), (-1, side * side))
    flat = ops.reshape(picture, (-1, side * side))
    corners = [ops.take_along_axis(flat, at + by, axis=1) for by in (0, 1, side, side + 1)]
    a, b, c, d = (ops.reshape(corner, (-1, side, side)) for corner in corners)
    return (1 - y) * ((1 - x) * a + x * b) + y * ((1 - x) * c + x * d)


def gradient(picture: Any) -> tuple[Any, Any]:
    """How [n, side, side] changes to the right and down."""
    wide = _padded(picture)
    return (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2, (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2


def blurred(picture: Any) -> Any:
    wide = _padded(picture)
    rows = _BLUR[0] * wide[:, :-2] + _BLUR[1] * wide[:, 1:-1] + _BLUR[2] * wide[:, 2:]
    return _BLUR[0] * rows[:, :, :-2] + _BLUR[1] * rows[:, :, 1:-1] + _BLUR[2] * rows[:, :, 2:]


def _all_blurred(*pictures: Any, times: int = 1) -> list[Any]:
    """Blur pictures of one size as one batch, for the sake of a smaller graph."""
    together = ops.concatenate(pictures)
    for _ in range(times):
        together = blurred(together)
    return ops.split(together, len(pictures))


def _padded(picture: Any) -> Any:
    """Repeat the pixels at the edges."""
    return ops.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="symmetric")


def _halved(picture: Any) -> Any:
    side = picture.shape[1] // 2
    return ops.mean(ops.reshape(picture, (-1, side, 2, side, 2)), axis=(2, 4))


def _doubled(picture: Any) -> Any:
    return ops.repeat(ops.repeat(picture, 2, axis=1), 2, axis=2)
