"""What a classifier gets wrong: its hardest classes, and what it takes for what."""

import numpy as np


def hardest_classes(right: np.ndarray, labels: np.ndarray) -> list[tuple[int, float]]:
    """(class, share of right answers) of every class that has labels, the hardest first; `right` is bool [examples]."""
    shares = [(int(label), float(right[labels == label].mean())) for label in np.unique(labels)]
    return sorted(shares, key=lambda found: found[1])


def confused(predicted: np.ndarray, labels: np.ndarray, count: int = 8) -> list[tuple[int, int, int]]:
    """The commonest mistakes as (class, taken for, how often), the commonest first."""
    wrong = predicted != labels
    pairs, often = np.unique(np.stack([labels[wrong], predicted[wrong]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-often, kind="stable")[:count]
    return [(int(pairs[i, 0]), int(pairs[i, 1]), int(often[i])) for i in order]
