"""Where the run itself saturates: ten thousand trials that take no time, through the runner into one folder.

    python benchmarks/many_trials.py [--trials 10000]

Prints CPU milliseconds a trial of the first and the last thousand, and the resident set of the process after
each tenth; then what a second run takes that finds everything measured.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from tests.report_records import reference_records

from quantbench.plan import Plan, Trial
from quantbench.records import Record
from quantbench.runner import OneByOne, walk_plan
from quantbench.store import Store

BASE = reference_records()


class Meter:
    """A watcher that notes the process's CPU time at each record, and its memory now and then."""

    def __init__(self, trials: int) -> None:
        self.cpu = [time.process_time()]
        self.resident_mb: list[float] = []
        self._every = max(1, trials // 10)

    def on_skip(self, trial: Trial) -> None: ...

    def on_start(self, trial: Trial, number: int, count: int) -> None: ...

    def on_record(self, trial: Trial, record: Record) -> None:
        self.cpu.append(time.process_time())
        if len(self.cpu) % self._every == 0:
            self.resident_mb.append(psutil.Process().memory_info().rss / 1e6)

    def milliseconds(self) -> list[float]:
        """CPU time of each trial."""
        pairs = zip(self.cpu, self.cpu[1:], strict=False)
        return [(after - before) * 1e3 for before, after in pairs]


def plan_of(trials: int) -> Plan:
    """Models of six trials each, a baseline and five that are compared with it."""
    made: list[Trial] = []
    for number in range(trials):
        trial = BASE[number % 3].trial.changed(model=f"model-{number // 6}", seed=number)
        made.append(trial.changed(reference=made[-(number % 6)].id) if number % 6 else trial)
    return Plan(trials=tuple(made), baseline="fp16")


def fake(trial: Trial) -> Record:
    """A record of a real run's size, at once; it claims a distance, so that nothing runs twice."""
    record = BASE[0]
    return record.model_copy(update={"trial_id": trial.id, "trial": trial.changed(reference=None)})


def main() -> None:
    """One run of all, one that finds them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    trials = parser.parse_args().trials
    plan = plan_of(trials)
    with tempfile.TemporaryDirectory() as folder:
        store, meter = Store(Path(folder)), Meter(trials)
        began = time.perf_counter()
        walk_plan(plan, store, OneByOne(fake), meter)
        took = meter.milliseconds()
        size = min(1000, trials)
        print(
            json.dumps(
                {
                    "trials": trials,
                    "wall_s": time.perf_counter() - began,
                    "first_cpu_ms": statistics.mean(took[:size]),
                    "last_cpu_ms": statistics.mean(took[-size:]),
                    "resident_mb": meter.resident_mb,
                }
            )
        )
        used = time.process_time()
        walk_plan(plan, store, OneByOne(fake), Meter(trials))
        print(json.dumps({"second_run_cpu_s": time.process_time() - used}))


if __name__ == "__main__":
    main()
