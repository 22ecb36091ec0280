"""Outputs as their highest values with their indices: Triton's classification extension.

Source: Triton's docs/protocol/extension_classification.md and src/classification.cc.
"""

import numpy as np

from serving.datatypes import data_type_of
from serving.errors import InvalidInput


def top_classes(name: str, array: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest values of each row as b"value:index", highest first; fewer where a row has fewer.

    An array with more than one axis has rows on axis 0; with one axis it is one row.
    """
    kind = data_type_of(name, array)
    if kind.dtype.kind not in "fiuV":
        raise InvalidInput(f"class result not available for output due to unsupported type '{kind.oip_name}'")
    rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
    numbers = rows.astype(np.float64) if kind.dtype.kind in "fV" else rows
    # Reversed, so that the first of equal values comes first.
    order = rows.shape[1] - 1 - np.argsort(numbers[:, ::-1], axis=1, kind="stable")[:, ::-1][:, :count]
    texts = np.empty(order.shape, dtype=object)
    for position, index in np.ndenumerate(order):
        value = numbers[position[0], index]
        texts[position] = f"{value:f}:{index}".encode() if numbers.dtype.kind == "f" else f"{value}:{index}".encode()
    return texts if array.ndim > 1 else texts[0]
