"""From one user to all of them, evenly: where does it begin to hurt?"""

from loadtests.shapes import Shape


class Ramp(Shape):
    """Rises all the time."""

    @staticmethod
    def curve(part: float) -> float:
        return part
