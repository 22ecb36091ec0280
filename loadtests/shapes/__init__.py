"""Load over time. Give one of these files to Locust beside the users, or its name to `python -m loadtests --shape`.

Each scales with --users and --run-time. The curves are plain functions of time, so that they can be looked at alone.
"""

from abc import abstractmethod

from locust import LoadTestShape


class Shape(LoadTestShape):
    """Follows a curve from the options that a run without a shape takes too."""

    abstract = True
    use_common_options = True

    @staticmethod
    @abstractmethod
    def curve(part: float) -> float:
        """The share of all users, 0 to 1, when this part of the run, 0 to 1, has passed."""

    def tick(self) -> tuple[int, float] | None:
        """The users wanted now and how fast to get there; None ends the run."""
        options = self.runner.environment.parsed_options
        duration = options.run_time
        passed = self.get_run_time()
        if passed >= duration:
            return None
        users = max(1, round(options.num_users * self.curve(passed / duration)))
        return users, max(1.0, options.num_users / 2)
