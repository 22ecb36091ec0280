"""How often a classifier is right, and how sure one can be of that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers with its 95 % interval (Wilson, JASA 1927)."""

    share: float
    low: float
    high: float

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> "Accuracy":
        """Count right answers, bool [examples]."""
        count, share, z = len(right), float(np.mean(right)), 1.96
        middle = (share + z * z / (2 * count)) / (1 + z * z / count)
        reach = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
        return cls(share, float(middle - reach), float(middle + reach))

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def hits(probabilities: NDArray[np.floating], labels: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    """Whether each label is among the k most probable classes, bool [examples]."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]  # of equals the first, as in top_k
    return (best == labels[:, None]).any(axis=1)
