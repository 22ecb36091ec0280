"""Procedural textures, varied enough that motion learnt on them carries over to real pictures.

Natural pictures are made of objects that hide each other, over a 1/f spectrum. So are these: power-law noise,
a "dead leaves" pile of shapes (Lee, Mumford and Huang, IJCV 2001), strokes laid out like writing, grids,
gradients, blur.
"""

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Picture = NDArray[np.float32]  # [height, width, 3], 0 to 1


def texture(rng: Rng, size: int) -> Picture:
    """Draw one square texture, float32 [size, size, 3] between 0 and 1."""
    noise = _noise_picture(rng, size)
    picture = _background(rng, size, noise)
    if rng.random() < 0.8:
        _leaves(rng, picture, noise, count=int(rng.integers(5, 70)))
    if rng.random() < 0.3:
        _grid(rng, picture)
    if rng.random() < 0.45:
        for _ in range(int(rng.integers(1, 4))):
            _writing(rng, picture)
    for _ in range(int(rng.choice([0, 1, 2, 4, 7], p=[0.3, 0.25, 0.2, 0.15, 0.1]))):
        picture = _soften(picture)
    return np.clip(picture, 0.0, 1.0)


def power_noise(rng: Rng, size: int, slope: float) -> NDArray[np.float32]:
    """Noise whose amplitude falls as frequency ** -slope, float32 [size, size] of mean 0 and deviation 1."""
    rows = np.fft.fftfreq(size).astype(np.float32)[:, None]
    columns = np.fft.rfftfreq(size).astype(np.float32)[None, :]
    radius = np.sqrt(rows**2 + columns**2)
    radius[0, 0] = 1.0
    amplitude = radius**-slope
    amplitude[0, 0] = 0.0
    phase = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = np.fft.irfft2(amplitude * (phase[0] + 1j * phase[1]), s=(size, size)).astype(np.float32)
    return field / (field.std() + 1e-9)


def _noise_picture(rng: Rng, size: int) -> Picture:
    """Two noise fields, one for light and one for colour, mixed into three channels."""
    light = power_noise(rng, size, rng.uniform(0.7, 1.9))
    if rng.random() < 0.25:  # flat patches with hard edges
        light = np.floor(light * rng.uniform(1.0, 2.5)).astype(np.float32)
        light /= light.std() + 1e-6
    tint = power_noise(rng, size, rng.uniform(1.2, 2.0))
    weights = rng.normal(0.0, rng.uniform(0.0, 0.5), 3).astype(np.float32)
    return 0.5 + rng.uniform(0.08, 0.25) * (light[..., None] + tint[..., None] * weights)


def _background(rng: Rng, size: int, noise: Picture) -> Picture:
    """Noise, or noise over a colour gradient: nowhere quite flat, or no motion could be seen there."""
    share = rng.choice([1.0, rng.uniform(0.2, 0.9)], p=[0.35, 0.65])
    ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
    across, down = rng.random((2, 3), dtype=np.float32), rng.random((2, 3), dtype=np.float32)
    gradient = 0.5 * (across[0] + np.multiply.outer(ramp, across[1] - across[0]))[None, :]
    gradient = gradient + 0.5 * (down[0] + np.multiply.outer(ramp, down[1] - down[0]))[:, None]
    return (share * noise + (1.0 - share) * gradient).astype(np.float32)


def _leaves(rng: Rng, picture: Picture, noise: Picture, count: int) -> None:
    """Pile `count` shapes on the picture, small ones more often than large ones."""
    size = picture.shape[0]
    textured = rng.random()
    for _ in range(count):
        width, height = np.minimum(4.0 * (1.0 - rng.random(2)) ** -0.75, size * 0.45)
        x, y = rng.uniform(0, size, 2)
        left, right = int(max(x - width, 0)), int(min(x + width, size - 1)) + 1
        top, bottom = int(max(y - height, 0)), int(min(y + height, size - 1)) + 1
        across = ((np.arange(left, right) - x) / width).astype(np.float32)[None, :]
        down = ((np.arange(top, bottom) - y) / height).astype(np.float32)[:, None]
        mask = _shape_mask(rng, across, down)
        colour = rng.random(3, dtype=np.float32)
        if rng.random() < 0.5:
            colour[:] = colour.mean()
        patch = colour + rng.normal(0.0, 0.15) * across[..., None]
        if rng.random() < textured:
            shift = rng.integers(0, size, 2)
            rows = (np.arange(top, bottom) + shift[0]) % size
            columns = (np.arange(left, right) + shift[1]) % size
            patch = patch + rng.uniform(0.2, 1.0) * (noise[rows[:, None], columns[None, :]] - 0.5)
        target = picture[top:bottom, left:right]
        target += mask[..., None] * (patch - target)


def _shape_mask(rng: Rng, across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.float32]:
    """An ellipse, a leaning box, a wedge or a ring over coordinates from -1 to 1."""
    kind = rng.integers(4)
    if kind == 0:
        inside = across**2 + down**2 < 1.0
    elif kind == 1:
        lean, height = rng.uniform(-0.4, 0.4), rng.uniform(0.4, 1.0)
        inside = (np.abs(across + lean * down) < 0.8) & (np.abs(down) < height)
    elif kind == 2:
        slope = rng.uniform(-1.0, 1.0, 2)
        inside = (across * slope[0] + down * slope[1] < 0.2) & (np.abs(across) + down < 0.9)
    else:
        radius = across**2 + down**2
        inside = (radius < 1.0) & (radius > rng.uniform(0.3, 0.8))
    return inside.astype(np.float32)


def _grid(rng: Rng, picture: Picture) -> None:
    """Bars at a regular pitch, like fences, windows and tiles, over a part of the picture."""
    size = picture.shape[0]
    top, left = rng.integers(0, size // 2, 2)
    height, width = rng.integers(size // 4, size, 2)
    area = picture[top : top + height, left : left + width]
    shade = rng.random(3, dtype=np.float32)
    for axis in rng.choice([0, 1], size=int(rng.integers(1, 3)), replace=False):
        pitch = int(rng.integers(14, 60))
        bars = np.flatnonzero(np.arange(area.shape[axis]) % pitch < rng.integers(1, max(2, pitch // 3)))
        lines = area[bars] if axis == 0 else area[:, bars]
        blended = lines + rng.uniform(0.3, 1.0) * (shade - lines)
        if axis == 0:
            area[bars] = blended
        else:
            area[:, bars] = blended


def _writing(rng: Rng, picture: Picture) -> None:
    """A few lines of small strokes, like signs, captions and licence plates."""
    size = picture.shape[0]
    ink = rng.random(3, dtype=np.float32)
    height = int(rng.integers(4, 18))
    thick = max(1, height // 6)
    y, start = int(rng.integers(0, size - height)), int(rng.integers(0, size // 2))
    end = int(rng.integers(start + height, size))
    for _ in range(int(rng.integers(1, 4))):
        for x in range(start, end, max(3, int(height * 0.8))):
            for stroke in rng.integers(0, 6, int(rng.integers(0, 4))):
                glyph = picture[y : y + height, x : x + max(2, int(height * 0.6))]
                if stroke < 3:  # a level stroke: top, middle or foot
                    level = int(stroke) * max(0, glyph.shape[0] - thick) // 2
                    glyph[level : level + thick] = ink
                else:  # an upright stroke
                    level = (int(stroke) - 3) * max(0, glyph.shape[1] - thick) // 2
                    glyph[:, level : level + thick] = ink
        y += int(height * 1.5)
        if y + height > size:
            return


def _soften(picture: Picture) -> Picture:
    """Blur once with the binomial kernel [1, 2, 1] in both directions."""
    rows = np.pad(picture, ((1, 1), (0, 0), (0, 0)), mode="edge")
    rows = 0.25 * (rows[:-2] + rows[2:]) + 0.5 * picture
    columns = np.pad(rows, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return 0.25 * (columns[:, :-2] + columns[:, 2:]) + 0.5 * rows
