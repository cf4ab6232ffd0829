"""Nothing scores while anything is timed: the rule between processes, without starving either side."""

import multiprocessing
import time
from pathlib import Path

import pytest

from quantbench.quiet import LOCKS, disturbing, timed

FORK = multiprocessing.get_context("fork")


def hold(kind: str, log: Path, for_s: float, after_s: float = 0.0) -> "multiprocessing.process.BaseProcess":
    """A process that holds a lock for a while and notes when."""

    def act() -> None:
        time.sleep(after_s)
        with timed() if kind == "timed" else disturbing():
            began = time.monotonic()
            time.sleep(for_s)
            with log.open("a") as file:
                file.write(f"{kind} {began} {time.monotonic()}\n")

    process = FORK.Process(target=act)
    process.start()
    return process


def spans(log: Path) -> list[tuple[str, float, float]]:
    found = (line.split() for line in log.read_text().splitlines())
    return [(kind, float(began), float(ended)) for kind, began, ended in found]


def overlap(one: tuple[str, float, float], other: tuple[str, float, float]) -> bool:
    return one[1] < other[2] and other[1] < one[2]


@pytest.fixture(autouse=True)
def _locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCKS, str(tmp_path / "locks"))


def test_scoring_never_overlaps_timing_and_timing_may_overlap_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    kinds = ["timed", "timed", "scoring", "timed", "scoring"]
    processes = [hold(kind, log, 0.1, 0.02 * place) for place, kind in enumerate(kinds)]
    for process in processes:
        process.join(20)
    found = spans(log)
    assert len(found) == len(kinds)
    for place, one in enumerate(found):
        for other in found[place + 1 :]:
            if "scoring" in (one[0], other[0]):
                assert not overlap(one, other)


def test_scoring_gets_its_turn_between_timed_stages_that_never_cease(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [hold("timed", log, 0.15, 0.1 * place) for place in range(8)]
    processes.append(hold("scoring", log, 0.01, 0.12))
    for process in processes:
        process.join(20)
    order = [kind for kind, began, _ in sorted(spans(log), key=lambda span: span[1])]
    assert order.index("scoring") < 6


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    process = hold("timed", tmp_path / "log", 60)
    time.sleep(0.1)
    process.kill()
    process.join()
    with disturbing():
        pass


def test_without_a_folder_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOCKS)
    with timed(), disturbing():
        pass
