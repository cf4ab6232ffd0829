"""A sandbox that opens beside other work: who waits for it, who closes it, who hears of what went wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from quantbench.errors import SandboxError
from quantbench.sandbox.early import opened_early


class Box:
    """In place of a Sandbox: notes what is done to it, and by which thread it was opened."""

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.lanes = 0
        self.closed = False

    def start_lanes(self, programs: int) -> int:
        self.lanes = programs
        return programs


def opening(boxes: list[Box]) -> Any:
    @contextmanager
    def open_box() -> Iterator[Box]:
        boxes.append(Box())
        yield boxes[-1]
        boxes[-1].closed = True

    return open_box


@contextmanager
def refused() -> Iterator[Any]:
    raise SandboxError("no way to contain programs")
    yield


def test_one_box_serves_all_who_take_it_and_is_closed_with_the_block() -> None:
    boxes: list[Box] = []
    with opened_early(opening(boxes), 12) as take:
        with take() as first, take() as second:
            assert first is second is boxes[0]
        assert not boxes[0].closed and boxes[0].lanes == 12
    assert boxes[0].closed and len(boxes) == 1


def test_the_thread_that_opened_the_box_lives_as_long_as_it() -> None:
    boxes: list[Box] = []
    with opened_early(opening(boxes), 1) as take, take():
        assert boxes[0].thread is not threading.current_thread() and boxes[0].thread.is_alive()
    assert not boxes[0].thread.is_alive()


def test_why_no_box_opened_is_told_to_whoever_takes_it() -> None:
    with opened_early(refused, 1) as take, pytest.raises(SandboxError, match="no way to contain"), take():
        pass


def test_a_box_that_nobody_takes_troubles_nobody() -> None:
    with opened_early(refused, 1) as take:
        assert callable(take)


def test_a_box_is_closed_when_the_work_beside_it_fails() -> None:
    boxes: list[Box] = []
    with pytest.raises(RuntimeError, match="no memory"), opened_early(opening(boxes), 1) as take:
        with take():
            pass
        raise RuntimeError("no memory")
    assert boxes[0].closed
