"""All users for nearly all of a long run: does anything grow or wear out? Give it an hour or more."""

from loadtests.shapes import Shape


class Soak(Shape):
    """Rises within a tenth of the time and stays there."""

    @staticmethod
    def curve(part: float) -> float:
        return min(1.0, part * 10)
