"""Drawings as small pictures, made in the graph from the features of their points."""

from typing import Any

from keras import layers, ops

from training.sketchrnn.features import Shape

CHANNELS = 6
SHORTEST = 0.05  # in half-sides of the box: a dot leaves as much ink as a dash of this length
MARGIN = 1.0  # pixels free around a drawing


class Raster(layers.Layer):
    """Features and mask of `Features` to pictures [batch, size, size, 6 or 1], anti-aliased.

    A drawing is sampled at `samples` points evenly spaced along its ink, and each leaves its share of ink on the four
    pixels around it. Columns and rows are weighted apart, so the picture is one product of matrices and no array has
    more than samples x size x channels numbers a drawing. Channels are the ink from 0 to 1 and, where `coloured`,
    these as means over the ink of a pixel, times the ink: when it was drawn (-1 to 1), the pen's direction (x, y), and
    that of the line whichever way it was drawn (cosine and sine of twice the angle).

    A drawing without ink is empty; one without extent is a dot in the middle. Padding adds nothing.
    """

    def __init__(self, size: int, *, coloured: bool = True, samples: int = 256, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.coloured, self.samples = size, coloured, samples

    def call(self, features: Any, present: Any) -> Any:
        place, time, direction, amount = self._walk(features, present)
        scale = (self.size - 1) / 2
        pixels = (place + 1.0) * (scale - MARGIN) + MARGIN  # [batch, samples, 2]
        grid = ops.arange(self.size, dtype="float32")
        columns, rows = (ops.relu(1.0 - ops.abs(grid - pixels[..., i : i + 1])) for i in (0, 1))
        rows = rows * (amount * (scale - MARGIN))[..., None]
        colours = [ops.ones_like(time)]
        if self.coloured:
            x, y = direction[..., :1], direction[..., 1:]
            colours += [2.0 * time - 1.0, x, y, x * x - y * y, 2.0 * x * y]
        painted = ops.concatenate([columns * colour for colour in colours], axis=-1)
        picture = ops.matmul(ops.swapaxes(rows, 1, 2), painted)
        picture = ops.reshape(picture, (-1, self.size, len(colours), self.size))
        picture = ops.transpose(picture, (0, 1, 3, 2))
        ink = picture[..., :1]
        return picture * ((1.0 - ops.exp(-1.5 * ink)) / ops.maximum(ink, 1e-6))  # crossings are no darker than lines

    def _walk(self, features: Any, present: Any) -> tuple[Any, Any, Any, Any]:
        """Position [batch, samples, 2], time from 0 to 1 [.., 1], direction [.., 2], ink a sample [batch, 1]."""
        position, drew = features[..., :2], features[..., 4] * ops.cast(present, "float32")
        step = (position[:, 1:] - position[:, :-1]) * ops.cast(present[:, 1:], "float32")[..., None]
        length = ops.sqrt(ops.sum(ops.square(step), axis=-1))
        ink = ops.maximum(length, SHORTEST) * drew[:, 1:]
        end = ops.cumsum(ink, axis=1)
        total = end[:, -1:]
        time = (ops.arange(self.samples, dtype="float32") + 0.5) / self.samples
        since = (time * total)[..., None] - (end - ink)[:, None, :]  # [batch, samples, steps]
        share = ops.clip(since / ops.maximum(ink, 1e-9)[:, None, :], 0.0, 1.0)  # of each step done at each sample
        place = position[:, :1] + ops.matmul(share, step)
        doing = ops.cast(ops.logical_and(share > 0.0, share < 1.0), "float32")
        direction = ops.matmul(doing, step / ops.maximum(length, 1e-9)[..., None])
        return place, ops.ones_like(total)[..., None] * time[None, :, None], direction, total / self.samples

    def compute_output_shape(self, features_shape: Shape, present_shape: Shape) -> Shape:  # noqa: ARG002
        return (features_shape[0], self.size, self.size, CHANNELS if self.coloured else 1)
