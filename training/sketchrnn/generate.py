"""Drawings from parametric shapes with a hand's jitter, for when there is no data."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from training.sketchrnn.data import SPLITS, Drawings, Sketches

Stroke = np.ndarray
Shape = Callable[[np.random.Generator], list[Stroke]]
"""Draws strokes [points, 2] in a box of about two by two around the origin, each time a little differently."""


def _corners(*points: tuple[float, float]) -> Stroke:
    return np.array(points, float)


def _arc(rng: np.random.Generator, turns: float, radius: tuple[float, float]) -> Stroke:
    begin, direction = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
    angle = begin + direction * np.linspace(0, 2 * np.pi * turns, int(14 * turns) + rng.integers(6))
    return np.linspace(*radius, len(angle))[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _polygon(rng: np.random.Generator, corners: int, inner: float = 1.0) -> Stroke:
    """A closed polygon whose every second corner lies at `inner` of the radius, begun at any corner."""
    angle = np.arange(corners + 1) * 2 * np.pi / corners + rng.integers(corners) * 2 * np.pi / corners
    radius = np.where(np.round(angle * corners / (2 * np.pi)).astype(int) % 2 == 0, 1.0, inner)
    return radius[:, None] * np.stack([np.sin(angle), -np.cos(angle)], axis=1)


def _zigzag(rng: np.random.Generator) -> list[Stroke]:
    x = np.linspace(-1, 1, rng.integers(5, 10))
    return [np.stack([x, rng.uniform(0.3, 0.6) * (-1.0) ** np.arange(len(x))], axis=1)]


def _wave(rng: np.random.Generator) -> list[Stroke]:
    x = np.linspace(-1, 1, rng.integers(22, 32))
    return [np.stack([x, 0.35 * np.sin(x * np.pi * rng.uniform(1.5, 3) + rng.uniform(0, 6))], axis=1)]


def _house(rng: np.random.Generator) -> list[Stroke]:
    walls = _corners((-0.8, 0), (-0.8, 1), (0.8, 1), (0.8, 0), (-0.8, 0))
    return [walls, _corners((-0.9, 0), (0, -rng.uniform(0.6, 1)), (0.9, 0))]


def _face(rng: np.random.Generator) -> list[Stroke]:
    eyes = [0.12 * _arc(rng, 1, (1, 1)) + (x, -0.3) for x in (-0.35, 0.35)]
    smile = np.linspace(0.2, np.pi - 0.2, 9)
    return [_arc(rng, 1, (1, 1)), *eyes, 0.55 * np.stack([np.cos(smile), np.sin(smile)], axis=1)]


SHAPES: Mapping[str, Shape] = {
    "circle": lambda rng: [_arc(rng, 1, (1, 1))],
    "cross": lambda rng: [_corners((-1, -1), (1, 1)), _corners((1, -1), (-1, 1))][:: rng.choice([-1, 1])],
    "face": _face,
    "house": _house,
    "line": lambda rng: [_corners((-1, 0), (1, 0)) * rng.choice([-1, 1])],
    "spiral": lambda rng: [_arc(rng, rng.uniform(2, 4), (0.05, 1))],
    "square": lambda rng: [_polygon(rng, 4)],
    "star": lambda rng: [_polygon(rng, 10, inner=0.4)],
    "triangle": lambda rng: [_polygon(rng, 3)],
    "wave": _wave,
    "zigzag": _zigzag,
}


def sketches(*, seed: int = 0, train: int = 300, valid: int = 40, test: int = 40) -> Sketches:
    """So many drawings of each of eleven shapes for each split, in offsets of a 255-pixel box."""
    classes = sorted(SHAPES)
    splits = {}
    for number, (split, count) in enumerate(zip(SPLITS, (train, valid, test), strict=True)):
        rng = np.random.default_rng([seed, number])
        labels = np.tile(np.arange(len(classes)), count)
        splits[split] = Drawings.of([draw(SHAPES[classes[label]], rng) for label in labels], labels)
    return Sketches(classes, splits)


def draw(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """One drawing as offsets [points, 3]: the shape stretched, turned, wobbled and sampled as a hand would."""
    strokes = [_sampled(stroke, rng) for stroke in shape(rng)]
    angle, stretch = rng.normal(0, 0.15), np.diag(rng.uniform(0.7, 1.0, 2))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.concatenate(strokes) @ stretch @ turn
    points += rng.normal(0, 0.02, points.shape) + np.cumsum(rng.normal(0, 0.012, points.shape), axis=0)
    lifted = np.concatenate([np.arange(len(stroke)) == len(stroke) - 1 for stroke in strokes])
    offsets = np.diff(np.round(127 * points), axis=0)
    return np.concatenate([offsets, lifted[1:, None]], axis=1).astype(np.float32)


def _sampled(stroke: Stroke, rng: np.random.Generator) -> Stroke:
    """Corners joined by points at uneven distances."""
    pieces = []
    for begin, end in itertools.pairwise(stroke):
        inside = rng.integers(0, 3) if np.linalg.norm(end - begin) > 0.5 else 0
        along = np.sort(np.concatenate([[0.0], rng.uniform(0.1, 0.9, inside)]))
        pieces.append(begin + along[:, None] * (end - begin))
    return np.concatenate([*pieces, stroke[-1:]])
