"""A sandbox that opens while something else is done, in a thread that lives as long as the box.

The system ends a process with the thread that started it, so the one that opens may not return before.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager

from quantbench.sandbox.pool import Sandbox

Open = Callable[[], AbstractContextManager[Sandbox]]


@contextmanager
def opened_early(open_box: Open, programs: int) -> Iterator[Open]:
    """Within the block a box for so many programs opens; what is given waits for it, as often as asked.

    It raises there what opening it raised. The box is closed with the block.
    """
    opened: Future[Sandbox] = Future()
    done = threading.Event()

    def hold() -> None:
        try:
            with open_box() as box:
                box.start_lanes(programs)
                opened.set_result(box)
                done.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    @contextmanager
    def taken() -> Iterator[Sandbox]:
        yield opened.result()

    thread = threading.Thread(target=hold, name="sandbox", daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()
