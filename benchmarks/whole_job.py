"""Where the seconds of a whole `quantbench run` go, with cold caches and with warm ones.

    python benchmarks/whole_job.py [MODEL] [--runs cold,warm] [--caches FOLDER] [options of quantbench run]

Runs the command on the built-in model or MODEL, first with every cache empty (our compiled kernels,
Triton's, CUDA's, matplotlib's fonts), then again with what the first run has left, each into a folder of its
own. Prints seconds by trial and stage, wall clock and CPU, what lies outside of trials: planning and
importing, and the report, which is rendered once more to time it; and when each stage of each trial began.
On a busy machine only the CPU seconds are to be compared.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quantbench.records import Phase, Record
from quantbench.store import Store

CACHES = {  # variable that moves a cache -> its folder
    "XDG_CACHE_HOME": "own",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "MPLCONFIGDIR": "matplotlib",
}
WARM_UP, ANSWERS, PROGRAMS = "warm-up", "answers", "programs"
WIDTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One command: what it took, and what its trials recorded."""

    began: float  # seconds since 1970
    taken: Phase
    report: Phase
    records: list[Record]


def timed(arguments: list[str], environment: dict[str, str]) -> Phase:
    """Wall and CPU seconds of a quantbench command, which must succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "quantbench", *arguments]
    subprocess.run(command, env=os.environ | environment, stdout=subprocess.DEVNULL, check=True)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Phase(wall_s=wall, cpu_s=cpu)


def run(asked: list[str], caches: Path, folder: Path) -> Job:
    """The command with these caches, its results in `folder`."""
    environment = {name: str(caches / place) for name, place in CACHES.items()}
    began = time.time()
    taken = timed(["run", *asked, "-o", str(folder)], environment)
    report = timed(["report", str(folder)], environment)
    return Job(began=began, taken=taken, report=report, records=Store(folder).read()[0])


def stages_of(record: Record) -> dict[str, float]:
    """Wall seconds of a trial by stage; parts that are known by themselves apart from the rest of theirs."""
    found = {name: phase.wall_s for name, phase in record.phases.items()}
    startup = record.startup
    parts = [("load", WARM_UP, (startup and startup.warmup_s) or 0.0)]
    parts += [("task", ANSWERS, sum(task.generate_s for task in record.tasks))]
    parts += [("task", PROGRAMS, sum(task.execute_s for task in record.tasks))]
    for whole, part, seconds in parts:
        if seconds and whole in found:
            found[whole] = max(0.0, found[whole] - seconds)
            found[part] = found.get(part, 0.0) + seconds
    found["process"] = (record.took_s or 0.0) - sum(phase.wall_s for phase in record.phases.values())
    return found


def show(name: str, job: Job) -> None:
    """The table of one job."""
    rows = [(record.trial.label, stages_of(record)) for record in job.records]
    stages = list(dict.fromkeys(stage for _, found in rows for stage in found if stage != "end"))
    print(f"\n{name}: {job.taken.wall_s:.1f} s, {job.taken.cpu_s:.1f} CPU-seconds")
    print("".join(title.rjust(WIDTH + 1) for title in ("trial".ljust(WIDTH + 4), *stages, "all", "CPU")))
    for record, (label, found) in zip(job.records, rows, strict=True):
        cpu = sum(phase.cpu_s for phase in record.phases.values())
        line(label, [found.get(stage) for stage in stages], record.took_s, cpu)
    totals = [sum(found.get(stage, 0.0) for _, found in rows) for stage in stages]
    trials_s = sum(record.took_s or 0.0 for record in job.records)
    line("all trials", list(totals), trials_s, None)
    rest = job.taken.wall_s - trials_s - job.report.wall_s
    print(
        f"report once more, with its own start: {job.report.wall_s:.1f} s, {job.report.cpu_s:.1f} CPU-seconds"
    )
    print(f"the rest, starting and planning: {rest:.1f} s")
    print("when stages began, seconds after the command:")
    for record in job.records:
        print(record.trial.label.ljust(WIDTH + 4), " ".join(begins(record, job.began)))


def begins(record: Record, since: float) -> Iterator[str]:
    """When each stage of a trial began, in the order in which they were first entered."""
    for name, phase in record.phases.items():
        if phase.began_unix_s is not None:
            yield f"{name} {phase.began_unix_s - since:.2f}"


def line(label: str, seconds: list[float | None], whole: float | None, cpu: float | None) -> None:
    """One row; a dash for what there was not."""
    cells = ["-" if value is None else f"{value:.2f}" for value in (*seconds, whole, cpu)]
    print(label.ljust(WIDTH + 5) + "".join(cell.rjust(WIDTH + 1) for cell in cells))


def main() -> None:
    """Both runs and their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", default="cold,warm", help="names of runs, which share their caches")
    parser.add_argument("--caches", type=Path, help="folder of the caches, to be used again")
    own, asked = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in own.runs.split(","):
            show(name, run(asked, own.caches or Path(folder, "caches"), Path(folder, name)))


if __name__ == "__main__":
    main()
