"""What a server's processes use is the server's own, also where its threads wait for each other."""

from types import SimpleNamespace
from typing import Any

from quantbench.measure.load import LoadReading, load_between
from quantbench.measure.served import cpu_s, read_server_load


def process(user: float, system: float) -> Any:
    return SimpleNamespace(pid=1, cpu_times=lambda: SimpleNamespace(user=user, system=system))


def test_processor_time_is_that_of_all_processes_of_the_server() -> None:
    assert cpu_s([process(1.0, 0.5), process(2.0, 0.25)]) == 3.75


def test_what_a_server_computes_is_no_other_programs_work() -> None:
    before = LoadReading(queued=None, stolen=0.0, busy=10.0, own=read_server_load([process(1, 0)]).own)
    later = read_server_load([process(3, 0)])
    found = load_between(before, LoadReading(queued=None, stolen=0.0, busy=12.0, own=later.own), 1.0, 2)
    assert found.foreign_cores is not None and found.foreign_cores <= 0.5


def test_a_server_that_waits_for_its_own_threads_is_not_taken_for_disturbed() -> None:
    assert read_server_load([process(1, 0)]).queued is None
