"""A tenth of the users, then all at once for a fifth of the time, then a tenth: does it recover?"""

from loadtests.shapes import Shape


class Spike(Shape):
    """Low, high, low."""

    @staticmethod
    def curve(part: float) -> float:
        return 1.0 if 0.4 <= part < 0.6 else 0.1
