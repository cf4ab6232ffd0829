"""How long the results folder takes at size: appending a record, and a glance at all of them.

    python benchmarks/store.py [--trials 10000]

Records are those of a real run, their big parts beside them. Each figure is CPU time of a process of its own
(the disk's syncs are waited for, not computed; their time is told apart), and its peak resident set.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.report_records import reference_records

from quantbench.records import Distance, ProblemDistance, Record
from quantbench.store import Store, write_atomically

TOKENS = 150  # of a problem, about those of HumanEval's prompts and solutions


def record_of(number: int) -> Record:
    """A record as of a run of 164 problems with distances; each number is another trial."""
    base = reference_records()[number % 3]
    trial = base.trial.changed(seed=number, model=f"model-{number // 6}")
    kl = tuple(0.001 * (place % 7) for place in range(TOKENS))
    problems = tuple(
        ProblemDistance(task_id=f"HumanEval/{n}", tokens=TOKENS, nll=90.0, baseline_nll=89.0, kl=kl)
        for n in range(164)
    )
    distance = Distance(text="humaneval", top_k=128, problems=problems)
    return base.model_copy(
        update={"trial_id": trial.id, "trial": trial, "distance": distance, "took_s": 60.0}
    )


def fill(folder: Path, trials: int) -> dict[str, Any]:
    """Append that many records; CPU and wall milliseconds of the first and the last hundred."""
    store = Store(folder)
    store.create()
    cpu, wall = [], []
    for number in range(trials):
        record = record_of(number)
        began, used = time.perf_counter(), time.process_time()
        store.append(record)
        cpu.append((time.process_time() - used) * 1e3)
        wall.append((time.perf_counter() - began) * 1e3)
    sizes = {"records_mb": (folder / "records.jsonl").stat().st_size / 1e6}
    for name, values in (("cpu_ms", cpu), ("wall_ms", wall)):
        sizes |= {f"first_{name}": statistics.median(values[:100])}
        sizes |= {f"last_{name}": statistics.median(values[-100:])}
    return sizes


def glance(folder: Path) -> dict[str, Any]:
    """Read every summary; CPU seconds and the process' peak resident set."""
    used = time.process_time()
    summaries, damaged = Store(folder).summaries()
    return {
        "summaries": len(summaries),
        "damaged": len(damaged),
        "cpu_s": time.process_time() - used,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    """Measure each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--glance", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.glance:
        print(json.dumps(glance(asked.glance)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(fill(Path(folder), asked.trials)))
        child = [sys.executable, __file__, "--glance", folder]
        subprocess.run(child, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        probe = [_sync_ms(Path(folder)) for _ in range(100)]
        print(json.dumps({"one_synced_file_ms": statistics.median(probe)}))


def _sync_ms(folder: Path) -> float:
    began = time.perf_counter()
    write_atomically(folder / "probe", b"x" * 6000)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
