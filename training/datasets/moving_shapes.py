"""A folder of short clips to try a classifier on: eight classes of shapes, told by their colour or by their motion.

`python -m training.datasets.moving_shapes FOLDER` writes it: fifty clips a class, mp4, of mixed sizes and lengths.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from training.datasets.clip_files import write_clip
from training.datasets.clip_store import Frames
from training.datasets.textures import Rng, texture

COLOURS = {  # class: the usual colour of the shape
    "red_to_the_right": (220, 40, 40),
    "blue_to_the_left": (50, 70, 220),
    "green_upwards": (40, 190, 60),
    "yellow_downwards": (230, 210, 40),
    "white_grows": (240, 240, 240),
    "cyan_circles": (40, 210, 220),
    "magenta_jumps": (220, 50, 210),
    "orange_blinks": (245, 140, 30),
}
CLASSES = tuple(COLOURS)
SPLITS = {"train": 34, "valid": 8, "test": 8}
SPREAD = 30.0  # deviation of a colour's channels


def shape_clip(rng: Rng, name: str) -> Frames:
    """Draw one clip of the class `name`, uint8 [frames, height, width, 3]: a disc or a box before a still picture."""
    if name not in COLOURS:
        raise ValueError(f"expected one of the classes {', '.join(CLASSES)}. Received: {name!r}")
    frames = int(rng.integers(18, 37))
    height, width = (2 * int(rng.integers(36, 57)) for _ in range(2))
    ground = (255.0 * texture(rng, max(height, width))[:height, :width]).astype(np.uint8)
    colour = np.clip(rng.normal(COLOURS[name], SPREAD), 0, 255).astype(np.uint8)
    places = _course(rng, name, frames)
    box, size = rng.random() < 0.5, rng.uniform(0.08, 0.16)
    down, across = np.mgrid[0:height, 0:width]
    clip = np.repeat(ground[None], frames, axis=0)
    for frame, (x, y, scale) in zip(clip, places, strict=True):
        away = np.abs([(across - x * width), (down - y * height)])
        distance = away.max(axis=0) if box else np.hypot(*away)
        frame[distance < scale * size * min(height, width)] = colour
    return clip


def _course(rng: Rng, name: str, frames: int) -> NDArray[np.float64]:
    """Where the shape is, as shares of the frame, and how large: float64 [frames, 3]."""
    time = np.linspace(0.0, 1.0, frames)
    x, y = np.full(frames, rng.uniform(0.3, 0.7)), np.full(frames, rng.uniform(0.3, 0.7))
    scale = np.ones(frames)
    way = rng.uniform(0.4, 0.7) * (time - 0.5)
    match name.rpartition("_")[2]:
        case "right":
            x = 0.5 + way
        case "left":
            x = 0.5 - way
        case "upwards":
            y = 0.5 - way
        case "downwards":
            y = 0.5 + way
        case "grows":
            scale = rng.uniform(0.6, 0.9) + rng.uniform(1.5, 2.5) * time
        case "circles":
            angle = 2 * np.pi * (rng.random() + rng.uniform(1.0, 2.0) * time)
            x, y = 0.5 + 0.25 * np.cos(angle), 0.5 + 0.25 * np.sin(angle)
        case "jumps":
            spots = rng.uniform(0.2, 0.8, (2, 8))
            x, y = spots[:, (8 * time).astype(int) % 8]
        case "blinks":
            scale = np.where((rng.uniform(4.0, 8.0) * time + rng.random()) % 1.0 < 0.5, 1.0, 0.0)
    return np.stack([x, y, scale], axis=1)


def write_folder(folder: Path, splits: dict[str, int] = SPLITS, *, seed: int = 0) -> Path:
    """Write `<folder>/<split>/<class>/<number>.mp4`, `splits` saying how many clips a class; no clip stands twice."""
    for place, (split, count) in enumerate(splits.items()):
        for label, name in enumerate(CLASSES):
            for index in range(count):
                clip = shape_clip(np.random.default_rng([seed, place, label, index]), name)
                write_clip(folder / split / name / f"{index:03d}.mp4", clip)
    return folder


def main(folder: Annotated[Path, typer.Argument(help="Folder to write to.")], seed: int = 0) -> None:
    """Write eight classes of moving shapes, fifty clips each, as <split>/<class>/*.mp4."""
    if folder.exists() and any(folder.iterdir()):
        raise typer.BadParameter(f"expected an empty folder. Received: {folder}")
    write_folder(folder, seed=seed)
    typer.echo(f"{len(CLASSES)} classes of {sum(SPLITS.values())} clips: {folder}")


if __name__ == "__main__":
    typer.run(main)
