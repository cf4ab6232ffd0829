"""How often an interval holds the truth, over 2,000 simulated runs of a seeded generator."""

from collections.abc import Callable

from quantbench.stats import Interval

RUNS = 2000


def coverage(simulate: Callable[[], Interval | None], truth: float, runs: int = RUNS) -> float:
    """The share of simulated intervals that contain `truth`; a missing interval counts as a miss."""
    intervals = [simulate() for _ in range(runs)]
    return sum(interval is not None and interval.contains(truth) for interval in intervals) / runs
