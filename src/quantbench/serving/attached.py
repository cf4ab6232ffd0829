"""Becomes the command that follows, which ends when its parent does. A script of its own, Linux's to fulfil.

python attached.py PARENT COMMAND ARGUMENT...
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask to be killed with the parent, then be the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):  # else it ended before this process could ask
        os.execvp(command[0], command)


if __name__ == "__main__":
    main()
