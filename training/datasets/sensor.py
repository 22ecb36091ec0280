"""What stands between a scene and its recorded pixels.

Exposure, flicker, objects that pass by, captions, noise and compression: whatever moves or changes in a clip
that is no motion of the camera.
"""

import numpy as np
from numpy.typing import NDArray

from training.datasets.textures import Picture, Rng

BLOCK = 8


def sensor(rng: Rng, scene: Picture, scenery: Picture) -> NDArray[np.uint8]:
    """Record a clip float32 [frames, side, side, 3], 0 to 1, as uint8; passers-by are cut from `scenery`."""
    if rng.random() < 0.2:
        _passer_by(rng, scene, scenery)
    if rng.random() < 0.2:
        scene = np.repeat(scene.mean(axis=3, keepdims=True), 3, axis=3)
    contrast = float(np.exp(rng.uniform(np.log(0.2), np.log(1.3))))
    scene = _expose(rng, scene, contrast)
    if rng.random() < 0.15:
        _caption(rng, scene)
    if rng.random() < 0.7:
        scene += rng.uniform(0.0, 1.5 + 8.0 * contrast) * _grain(rng, scene.shape)
    if rng.random() < 0.3:
        scene = _compress(scene, step=rng.uniform(2.0, 3.0 + 24.0 * contrast))
    return np.clip(np.rint(scene), 0, 255).astype(np.uint8)


def _expose(rng: Rng, scene: Picture, contrast: float) -> Picture:
    """Contrast, brightness and flicker; to the range 0 to 255."""
    low = rng.uniform(0.0, 1.0) * (1.0 - contrast)
    gain = 255.0 * np.ones(len(scene))
    if rng.random() < 0.3:
        gain += rng.normal(0.0, rng.uniform(0.0, 6.0), len(scene))
    return ((scene * contrast + low) * gain[:, None, None, None]).astype(np.float32)


def _passer_by(rng: Rng, scene: Picture, scenery: Picture) -> None:
    """Move a small round piece of another place through the clip on a course of its own."""
    frames, side = scene.shape[:2]
    size = int(rng.integers(12, 36))
    row, column = rng.integers(0, scenery.shape[0] - size, 2)
    thing = np.clip(scenery[row : row + size, column : column + size] + rng.normal(0.0, 0.2, 3), 0.0, 1.0)
    axis = np.linspace(-1.0, 1.0, size)
    mask = (axis[:, None] ** 2 + axis[None, :] ** 2 < 1.0)[..., None]
    start, speed = rng.uniform(0, side - size, 2), rng.normal(0.0, 2.0, 2)
    for index in range(frames):
        top, left = np.clip(np.rint(start + speed * index), 0, side - size).astype(int)
        spot = scene[index, top : top + size, left : left + size]
        spot[...] = np.where(mask, thing, spot)


def _caption(rng: Rng, scene: Picture) -> None:
    """Burn in a date-like strip or black bars, which stand while the picture moves."""
    side = scene.shape[1]
    if rng.random() < 0.5:
        height, width = int(rng.integers(4, 9)), int(rng.integers(20, 70))
        top, left = int(rng.choice([2, side - height - 2])), int(rng.integers(0, side - width))
        glyphs = rng.random((height, width // 2)).repeat(2, axis=1) < 0.5
        strip = scene[:, top : top + height, left : left + glyphs.shape[1]]
        strip[:, glyphs] = rng.choice([0.0, 255.0])
    else:
        bar = int(rng.integers(3, 16))
        if rng.random() < 0.5:
            scene[:, :bar] = scene[:, side - bar :] = 0.0
        else:
            scene[:, :, :bar] = scene[:, :, side - bar :] = 0.0


def _grain(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of deviation 1: each frame a stretch of two frames' worth, cheaper than drawing all."""
    frames, *rest = shape
    drawn = rng.standard_normal(int(np.prod(rest)) * 2, dtype=np.float32)
    starts = rng.integers(0, drawn.size // 2, frames)
    return np.stack([drawn[start : start + drawn.size // 2].reshape(rest) for start in starts])


def _compress(scene: Picture, step: float) -> Picture:
    """Quantise 8x8 blocks of cosines, high frequencies more coarsely, as JPEG and video codecs do."""
    frames, height, width, channels = scene.shape
    index = np.arange(BLOCK)
    basis = np.cos(np.pi * (index[None, :] + 0.5) * index[:, None] / BLOCK) * np.sqrt(2.0 / BLOCK)
    basis[0] /= np.sqrt(2.0)
    basis = basis.astype(np.float32)
    table = (step * (1.0 + 0.5 * (index[:, None] + index[None, :]))).astype(np.float32)[:, None, :, None]
    blocks = scene.reshape(frames * height // BLOCK, BLOCK, width // BLOCK, BLOCK, channels)
    waves = np.einsum("ua,nawbc,vb->nuwvc", basis, blocks, basis, optimize=True)
    waves = np.rint(waves / table) * table
    return np.einsum("ua,nuwvc,vb->nawbc", basis, waves, basis, optimize=True).reshape(scene.shape)
