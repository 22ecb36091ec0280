"""How requests for one function may be merged into batches."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from serving.servables.inputs import InputRule

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How requests may be merged.

    max_batch_size: rows in one batch; a larger request is run in slices.
    allowed_batch_sizes: ascending sizes a batch is padded up to; empty for no padding.
    max_enqueued_rows, max_enqueued_bytes: what may wait; beyond, requests are refused at once.
    rules: padding of variable axes, by input.
    merges: whether requests may be merged at all; if not, each runs alone and whole.
    has_rows: whether axis 0 is a batch, so that reports count rows even where nothing is merged.
    """

    max_batch_size: int = 64
    allowed_batch_sizes: tuple[int, ...] = ()
    max_enqueued_rows: int = 4096
    max_enqueued_bytes: int = 1 << 30
    rules: Mapping[str, InputRule] = field(default_factory=dict)
    merges: bool = True
    has_rows: bool = True

    def padded_size(self, rows: int) -> int:
        """The batch size that `rows` are run as."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)
