"""How many programs a second the sandbox runs, beside a plain harness without isolation, in one run.

    python benchmarks/sandbox.py HumanEval.jsonl.gz [--rounds 5] [--repeat 20] [--workers N]

The plain harness starts `python -I` for each program and runs prompt, completion, test and check in it,
with as many workers. Both run the canonical solutions in alternating rounds, so that what else the machine
does falls on both; the load is printed. Then the sandbox runs the problems `--repeat` times over. What is
not timed: opening the sandbox, which is printed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from quantbench.records import Outcome
from quantbench.sandbox.pool import Sandbox, open_sandbox, usable_cores
from quantbench.sandbox.program import Program
from quantbench.tasks.problem_file import read_problems


def main() -> None:
    """Print the table."""
    options = read_options()
    programs = canonical_programs(options.data)
    print(f"{len(programs)} programs, {options.workers} workers, load {load()}")
    for mode in options.modes.split(","):
        started = time.perf_counter()
        with open_sandbox(mode=mode, workers=options.workers) as sandbox:
            print(f"\n{mode}: opened in {time.perf_counter() - started:.2f} s")
            compare(sandbox, programs, options)
            seconds = timed(lambda: run_sandbox(sandbox, programs * options.repeat))
            show(f"sandbox, {options.repeat} x", seconds, len(programs) * options.repeat)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="HumanEval.jsonl.gz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument("--plain", default="-I", help="flags of the plain interpreter; '-I -S' skips site")
    parser.add_argument("--modes", default="bubblewrap,landlock")
    return parser.parse_args()


def canonical_programs(path: Path) -> list[Program]:
    """Each problem with its own solution."""
    return [
        Program(
            task_id=problem.task_id,
            prompt=problem.prompt,
            completion=problem.canonical_solution,
            test=problem.test,
            entry_point=problem.entry_point,
        )
        for problem in read_problems(path)
    ]


def compare(sandbox: Sandbox, programs: Sequence[Program], options: argparse.Namespace) -> None:
    """Alternating rounds of both; medians and their ratio."""
    ours, plain = [], []
    for _ in range(options.rounds):
        ours.append(timed(lambda: run_sandbox(sandbox, programs)))
        plain.append(timed(lambda: run_plain(programs, options.workers, options.plain)))
    show("sandbox", statistics.median(ours), len(programs))
    show("plain subprocess", statistics.median(plain), len(programs))
    ratios = [b / a for a, b in zip(ours, plain, strict=True)]
    print(f"  ratio of each round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")
    print(f"  ratio of the medians: {statistics.median(plain) / statistics.median(ours):.2f}")


def run_sandbox(sandbox: Sandbox, programs: Sequence[Program]) -> None:
    outcomes = [execution.outcome for execution in sandbox.run(programs)]
    assert outcomes == [Outcome.PASSED] * len(programs), "a canonical solution did not pass"


def run_plain(programs: Sequence[Program], workers: int, flags: str) -> None:
    with ThreadPoolExecutor(workers) as pool:
        assert all(pool.map(passes_plainly, programs, repeat(flags))), "a canonical solution did not pass"


def passes_plainly(program: Program, flags: str) -> bool:
    """In an interpreter of its own, without isolation from the machine."""
    source = f"{program.text}\n{program.test}\ncheck({program.entry_point})\n"
    command = [sys.executable, *flags.split(), "-"]
    return subprocess.run(command, input=source.encode(), capture_output=True, timeout=60).returncode == 0


def timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def show(name: str, seconds: float, count: int) -> None:
    print(f"  {name}: {count} programs in {seconds:.2f} s, {count / seconds:.0f} a second, load {load()}")


def load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
