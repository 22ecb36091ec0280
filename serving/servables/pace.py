"""How many of the rows that wait are worth running at once, going by how long batches have taken."""

from serving.servables.policy import BatchPolicy

_WEIGHT = 0.2  # of the latest run in what is known of its size
# So many times in a row the smaller batch is chosen without another look at what the larger one takes by now.
_MOST_CHOICES = 64

_Lengths = tuple[int, ...]


class Pace:
    """Seconds by size, for batches of the same lengths.

    Batches are run in few sizes, for each must be compiled. Between two of them it may take less time a row to fill the
    smaller one, and leave the rest to the next batch, than to pad all up to the larger one.
    """

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._seconds: dict[tuple[_Lengths, int], float] = {}
        self._choices: dict[tuple[_Lengths, int], int] = {}

    def ran(self, lengths: _Lengths, size: int, seconds: float) -> None:
        """A batch that was padded to `size` rows took so long."""
        known = self._seconds.get((lengths, size))
        self._seconds[lengths, size] = seconds if known is None else known + _WEIGHT * (seconds - known)

    def worthwhile(self, lengths: _Lengths, rows: int) -> int:
        """How many of `rows` rows to run now: all, or as many as the next smaller size has."""
        larger = self._policy.padded_size(rows)
        smaller = max((size for size in self._policy.allowed_batch_sizes if size < rows), default=0)
        if larger == rows or not smaller:
            return rows
        of_larger, of_smaller = self._seconds.get((lengths, larger)), self._seconds.get((lengths, smaller))
        if of_larger is None or of_smaller is None or of_larger * smaller <= of_smaller * rows:
            return rows
        choices = self._choices[lengths, larger] = self._choices.get((lengths, larger), 0) + 1
        return smaller if choices % _MOST_CHOICES else rows
