"""A run of test_ray's plan by a client of a cluster, in a process of its own.

python -m tests.executors.ray_client FOLDER ray://HOST:PORT
"""

import sys
from pathlib import Path

from quantbench.executors import ray_pool
from tests.executors.test_ray import run, there


def main() -> None:
    """Run it to its end and print what was recorded now."""
    ray_pool.has_predictions = there
    _, recorded = run(Path(sys.argv[1]), sys.argv[2])
    print(*recorded)


if __name__ == "__main__":
    main()
