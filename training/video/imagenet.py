"""A small 2D network whose weights were learnt on ImageNet, for the appearance of frames."""

import keras

from training.datasets.clip_store import SIDE


def mobilenet(weights: str | None = "imagenet") -> keras.Model:
    """MobileNetV3-Small without its head: pictures [batch, 112, 112, 3], 0 to 255, to features [batch, 4, 4, 576].

    The weights are downloaded by Keras once and kept in its cache. Raises OSError, saying so, where they cannot be
    had. After Howard et al., "Searching for MobileNetV3" (2019).
    """
    try:
        return keras.applications.MobileNetV3Small(
            input_shape=(SIDE, SIDE, 3), include_top=False, weights=weights, include_preprocessing=True
        )
    except Exception as error:  # Keras raises bare Exception where a download fails, ValueError where a file is broken
        raise OSError(
            f"expected to download ImageNet weights, which --imagenet needs ({error}); leave it out to train from "
            f"scratch, or put the file where Keras looks for it (~/.keras/models)"
        ) from error
