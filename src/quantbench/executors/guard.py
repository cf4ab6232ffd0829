"""Ends a trial's processes when the run that started them is gone, and removes their temporary folder.

A script of its own: `local.py` starts it beside each trial, in a session of its own; it imports nothing of
the package and sleeps on a pipe whose other end is the run's. The run writes the trial's process group, then
'done'; a pipe that ends without 'done' means that the run was killed.
"""

import contextlib
import os
import shutil
import signal
import sys
import time

ATTEMPTS, PAUSE_S = 10, 0.05  # processes that are ending may still write into the folder
DONE = b"done\n"


def main() -> None:
    """Wait for the run's end; `argv` holds the temporary folder."""
    lines = sys.stdin.buffer.readlines()
    if DONE in lines:
        return
    for group in lines:
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.killpg(int(group), signal.SIGKILL)
    for _ in range(ATTEMPTS):
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        if not os.path.exists(sys.argv[1]):  # noqa: PTH110 (pathlib is slow to import)
            return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
