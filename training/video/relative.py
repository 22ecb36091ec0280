"""How a clip moves, whatever the size and the speed of what moves in it, in 30 numbers that need no learning.

People far from the camera move by fewer pixels than those near it, and there are fights of both. What tells them from
a walk is how motion compares with itself: how few places hold most of it, how much its changes and its seams amount to
beside it, how it agrees with the motion beside it and a moment later. Orientations and the motion's seams are those of
Dalal, Triggs and Schmid, "Human Detection Using Oriented Histograms of Flow and Appearance" (2006).
"""

from itertools import pairwise
from typing import Any

import numpy as np
from keras import layers, ops

from training.video.flow import flow, gradient
from training.video.model import Light, Shape
from training.video.statistics import prevailing

COUNT = 30
CELL = 4  # pixels of the flow to a side of a cell
STEPS = 3  # frames to a cell
WAYS = 8
POWERS = (1.0, 2.0, 4.0, 8.0, 16.0)
MOST = 3  # which of the means stands for the busiest places
PARTS = (0.1, 0.25, 0.5)  # of how those move
SPEEDS = (0.25, 0.5, 1.0, 2.0)  # pixels a frame
SMALLEST = 1e-2


class RelativeMotion(layers.Layer):
    """Frames uint8 [batch, time, side, side, 3] to statistics float32 [batch, 30]."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.light = Light(dtype="float32")

    def call(self, frames: Any) -> Any:
        across, down = flow(self.light(frames)[..., 0])
        return relative(across - prevailing(across), down - prevailing(down))

    def compute_output_shape(self, shape: Shape) -> Shape:
        return (shape[0], COUNT)


def relative(across: Any, down: Any) -> Any:
    """Flow [batch, time, side, side] beside the camera's own, in pixels a frame, to float32 [batch, 30]."""
    cells = _cells(_length(across, down))
    jolts = _length(across[:, 1:] - across[:, :-1], down[:, 1:] - down[:, :-1])
    jolts = _cells(ops.concatenate([jolts, ops.zeros_like(jolts[:, :1])], axis=1))
    seams = _cells(_seams(across) + _seams(down))
    busiest, places = _places(cells)
    steps = _ways(across, down)
    return ops.stack(
        [*busiest, *places, *_beside(cells, jolts, seams), *_lasting(cells), *_agreement(cells, steps)], axis=-1
    )


def _places(cells: Any) -> tuple[list[Any], list[Any]]:
    """How much moves in the busiest places, and how few they are: 5 and 11 numbers."""
    flat = _flat(cells)
    top = ops.max(flat, axis=1, keepdims=True) + 1e-6
    # Means that count the busiest the more, the higher the power: they tell of tails as quantiles do.
    means = [top[:, 0] * ops.power(ops.mean(ops.power(flat / top, power), axis=1), 1 / power) for power in POWERS]
    busiest = [ops.log(mean + SMALLEST) for mean in means]
    falls = [more - less for less, more in pairwise(busiest)]
    parts = [ops.log(_share(flat > part * means[MOST][:, None]) + 1e-3) for part in PARTS]
    return busiest, [*falls, *parts, *(ops.log(_share(flat > speed) + SMALLEST) for speed in SPEEDS)]


def _beside(cells: Any, jolts: Any, seams: Any) -> list[Any]:
    """How much the changes and the seams of motion amount to beside it, where it is and on the whole: 4 numbers."""
    weight = _weight(cells)
    local = [ops.log(_weighed(weight, part / (cells + 0.05)) + 1e-3) for part in (jolts, seams)]
    whole = ops.log(_middle(cells) + SMALLEST)
    return [*local, *(ops.log(_middle(part) + SMALLEST) - whole for part in (jolts, seams))]


def _lasting(cells: Any) -> list[Any]:
    """How motion comes in bursts, stays in its places, and wanders over others: 4 numbers."""
    course = ops.mean(cells, axis=(2, 3))
    middle = ops.mean(course, axis=1) + SMALLEST
    stays = _middle(ops.minimum(cells[:, 1:], cells[:, :-1])) / middle
    wanders = ops.mean(ops.max(cells, axis=1), axis=(1, 2)) / middle
    burst = ops.log((ops.max(course, axis=1) + SMALLEST) / middle)
    return [ops.std(course, axis=1) / middle, burst, stays, ops.log(wanders + SMALLEST)]


def _agreement(cells: Any, steps: Any) -> list[Any]:
    """How mixed the ways are within a cell, how they turn, and how they agree with those around: 6 numbers.

    steps: [batch, blocks, STEPS, rows, columns, WAYS], how much goes each way in each cell of each frame.
    """
    weight = _weight(cells)
    shares = ops.sum(steps, axis=2)
    shares = shares / (ops.sum(shares, axis=-1, keepdims=True) + 1e-6)
    mixed = -ops.sum(shares * ops.log(shares + 1e-6), axis=-1)
    each = steps / (ops.sum(steps, axis=-1, keepdims=True) + 1e-3)
    turns = ops.mean(ops.sum(ops.abs(each[:, :, 1:] - each[:, :, :-1]), axis=-1), axis=2)
    angles = 2 * np.pi * np.arange(WAYS, dtype=np.float32) / WAYS
    across, down = ops.sum(shares * np.cos(angles), axis=-1), ops.sum(shares * np.sin(angles), axis=-1)
    single = ops.sqrt(ops.square(across) + ops.square(down) + 1e-8)
    u, v = across * cells, down * cells
    agree = []
    for axis in (2, 3, 1):
        pairs = [_neighbours(part, axis) for part in (u, v, cells)]
        same = _middle(pairs[0][0] * pairs[0][1] + pairs[1][0] * pairs[1][1])
        agree.append(same / (_middle(pairs[2][0] * pairs[2][1]) + 1e-4))
    return [*(_weighed(weight, part) for part in (mixed, single, turns)), *agree]


def _ways(across: Any, down: Any) -> Any:
    """How much goes each of eight ways in each cell of each frame: [batch, blocks, STEPS, rows, columns, WAYS]."""
    turn = ops.arctan2(down, across) * (WAYS / (2 * np.pi))
    speed = _length(across, down)
    ways = []
    for way in range(WAYS):
        off = ops.abs(turn - way)
        off = ops.minimum(off, ops.abs(off - WAYS))
        ways.append(_tiles(speed * ops.relu(1.0 - off)))
    return ops.stack(ways, axis=-1)


def _tiles(values: Any) -> Any:
    """Means of squares of CELL pixels: [batch, time, side, side] to [batch, blocks, STEPS, side / CELL, ...]."""
    time, side = values.shape[1] // STEPS, values.shape[2] // CELL
    values = values[:, : time * STEPS]
    return ops.mean(ops.reshape(values, (-1, time, STEPS, side, CELL, side, CELL)), axis=(4, 6))


def _cells(values: Any) -> Any:
    return ops.mean(_tiles(values), axis=2)


def _seams(flow: Any) -> Any:
    """How steeply the flow changes from place to place."""
    time, side = flow.shape[1:3]
    return ops.reshape(_length(*gradient(ops.reshape(flow, (-1, side, side)))), (-1, time, side, side))


def _neighbours(values: Any, axis: int) -> tuple[Any, Any]:
    count = values.shape[axis]
    return ops.take(values, np.arange(1, count), axis=axis), ops.take(values, np.arange(count - 1), axis=axis)


def _weight(cells: Any) -> Any:
    return cells / (ops.sum(cells, axis=(1, 2, 3), keepdims=True) + 1e-6)


def _weighed(weight: Any, values: Any) -> Any:
    return ops.sum(weight * values, axis=(1, 2, 3))


def _flat(cells: Any) -> Any:
    return ops.reshape(cells, (-1, int(np.prod(cells.shape[1:]))))


def _share(which: Any) -> Any:
    return ops.mean(ops.cast(which, "float32"), axis=1)


def _middle(values: Any) -> Any:
    return ops.mean(values, axis=(1, 2, 3))


def _length(across: Any, down: Any) -> Any:
    return ops.sqrt(ops.square(across) + ops.square(down) + 1e-8)
