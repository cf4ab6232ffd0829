"""Where trials run: one after another, side by side on this machine's devices, or on a Ray cluster.

`open_pool` gives the runner's Pool for what was asked, or what runs one trial at a time; `Job` is what all of
them need to know of a run.
"""

from quantbench.executors.job import Job
from quantbench.executors.pools import open_pool

__all__ = ["Job", "open_pool"]
