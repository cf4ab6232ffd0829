"""Parts of a report that are made by forks: their names in order, their errors, and when there are none."""

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from quantbench.errors import StoreError
from quantbench.report import together
from quantbench.report.together import made_together


def made(folder: Path, number: int) -> list[str]:
    """A part: its file says in which process it was made."""
    (folder / f"{number}.txt").write_text(str(os.getpid()))
    return [f"{number}.txt"]


def parts(folder: Path, count: int) -> list[Callable[[], list[str]]]:
    return [partial(made, folder, number) for number in range(count)]


@pytest.fixture
def forking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, and no other thread: workers of pytest have one."""
    monkeypatch.setattr(together, "cores", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("forking")
def test_forks_make_the_parts_and_their_names_come_in_order(tmp_path: Path) -> None:
    assert made_together(parts(tmp_path, 5)) == [f"{number}.txt" for number in range(5)]
    assert str(os.getpid()) not in {(tmp_path / f"{number}.txt").read_text() for number in range(5)}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("forking")
def test_what_a_part_raises_is_raised(tmp_path: Path) -> None:
    def broken() -> list[str]:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError, match="the disk is full"):
        made_together([*parts(tmp_path, 2), broken])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("forking")
def test_parts_of_a_fork_that_was_killed_are_made_here(tmp_path: Path) -> None:
    here = os.getpid()

    def heavy() -> list[str]:
        if os.getpid() != here:
            os._exit(9)
        return made(tmp_path, 7)

    assert made_together([*parts(tmp_path, 2), heavy]) == ["0.txt", "1.txt", "7.txt"]
    assert (tmp_path / "7.txt").read_text() == str(here)


def test_beside_other_threads_all_parts_are_made_here(tmp_path: Path) -> None:
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        assert made_together(parts(tmp_path, 3)) == ["0.txt", "1.txt", "2.txt"]
    finally:
        waiting.set()
        thread.join()
    assert {(tmp_path / f"{number}.txt").read_text() for number in range(3)} == {str(os.getpid())}
