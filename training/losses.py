"""The loss of a classifier, with its labels smoothed or not."""

from typing import Any

import keras
from keras import ops


def classification(label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Cross-entropy of logits [batch, classes] with integer labels [batch], which may be smoothed.

    Smoothing spreads that share of the probability evenly over all classes (Szegedy et al., "Rethinking the Inception
    Architecture for Computer Vision", 2016). Validation losses are smoothed alike.
    """
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class SmoothedCrossentropy(keras.losses.Loss):
    """What `classification` says; Keras smooths only labels that are one-hot."""

    def __init__(self, label_smoothing: float) -> None:
        super().__init__(name="smoothed_crossentropy")
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        exact = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        even = -ops.mean(ops.log_softmax(y_pred, axis=-1), axis=-1)
        return (1 - self.label_smoothing) * exact + self.label_smoothing * even

    def get_config(self) -> dict[str, Any]:
        return {"label_smoothing": self.label_smoothing}
