"""The process that trials are forked from: it has imported the libraries, and does nothing else itself.

Started by `executors.processes` once a run; not a command for users. It computes nothing, asks for no
device and opens no file, so that a fork of it is what a fresh process would be after its imports. A request
is a temporary folder's name on the socket, with the trial's input, output and log as descriptors beside it;
it is answered by the process's id, and when that ends by its status. Where forking is not safe (not Linux)
this very process serves the first request, and its end is the answer.
"""

import ctypes
import gc
import os
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from quantbench.executors.residency import map_again, resident_file_pages

FORKS = sys.platform == "linux"
STANDARD = 3  # descriptors of a request: input, output, log
NAME_BYTES = 1 << 12  # of a folder's path at most
ANSWER = struct.Struct("=i")
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import what a trial needs and serve the run."""
    serve(imported)


def imported() -> Callable[[], None]:
    """What runs a trial, once everything that each trial imports is here; nothing of it asks for a device."""
    key = Thread(target=hash_triton)
    if find_spec("triton"):
        import triton.runtime.cache  # noqa: F401

        key.start()
    import tokenizers  # noqa: F401
    import torch  # noqa: F401

    import quantbench.engine.decoder
    import quantbench.evaluation.plus
    import quantbench.measure
    import quantbench.sandbox.early
    import quantbench.trial  # noqa: F401
    from quantbench.environment import look_up
    from quantbench.executors.child import run_job

    look_up()
    if key.ident is not None:
        import_triton()
        key.join()  # no thread may run where processes are forked
    import_s = age_s()
    return lambda: run_job(import_s)


def age_s() -> float:
    """Seconds since this process began, by a clock that nobody sets where the system has one."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])  # ticks since boot
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        import psutil

        return max(0.0, time.time() - psutil.Process().create_time())


def import_triton() -> None:
    """Our kernels, and what compiling, also from the cache, imports in some versions of Triton."""
    with suppress(ImportError):
        import_module("triton.experimental.gluon.nvidia.hopper")
    import quantbench.engine.cuda.decoder  # noqa: F401


def hash_triton() -> None:
    """The digest of itself that Triton wants before it takes a kernel from its cache.

    Half a second of hashing, which keeps no other thread from importing.
    """
    import triton.runtime.cache

    with suppress(Exception):  # whoever needs it next meets what is wrong
        getattr(triton.runtime.cache, "triton_key", lambda: None)()


def serve(prepare: Callable[[], Callable[[], None]]) -> None:
    """Answer requests by what `prepare` returns until the run ends; `argv`: the socket, the run's process."""
    die_with(int(sys.argv[2]))
    keep_to_cores()
    server = os.getpid()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        run = prepare()
        pages = resident_file_pages()
        gc.collect()
        gc.freeze()  # so that a collection in a fork need not touch, and thereby copy, what is here already
        while True:
            folder, descriptors, _, _ = socket.recv_fds(connection, NAME_BYTES, STANDARD)
            if not folder:
                return
            child = os.fork() if FORKS else 0
            if child:
                follow(connection, child, descriptors)
                continue
            begin(connection, os.fsdecode(folder), descriptors, server)
            map_again(pages)
            end_with(run)


def keep_to_cores() -> None:
    """Stay on the cores that the run gave this server's lane, if it did; trials inherit that."""
    if cores := os.environ.get("QUANTBENCH_CORES"):
        os.sched_setaffinity(0, map(int, cores.split(",")))


def follow(connection: socket.socket, child: int, descriptors: list[int]) -> None:
    """Answer the id and the status of a trial's process."""
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(ANSWER.pack(child))
    _, status = os.waitpid(child, 0)
    connection.sendall(ANSWER.pack(os.waitstatus_to_exitcode(status)))


def begin(connection: socket.socket, folder: str, descriptors: list[int], server: int) -> None:
    """Make this process the trial's: its session, input, output, log and temporary folder."""
    if FORKS:
        os.setsid()
        die_with(server)
    else:
        connection.sendall(ANSWER.pack(server))
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = None


def end_with(run: Callable[[], None]) -> None:
    """Run it and end this process at once, without taking an interpreter down; never returns."""
    status = 0
    try:
        run()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the socket's end or the guard does."""
    if FORKS:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this process could ask to end with it
        os._exit(0)


if __name__ == "__main__":
    main()
