"""What methods lose of a task over several protocols together, from records that are there.

    python benchmarks/paired_scores.py RESULTS [RESULTS ...] [--baseline fp16] [--mean int4,int4-hq]

A line a method: what it solves under each protocol, what it wins and loses against the baseline of its own
folder, and the difference of the rates over all protocols with its 95 % interval and p (a paired t test over
problems: the answers to one problem are one cluster). Nothing is corrected for the number of methods. --mean
adds a line for the mean of some methods, which asks what they have in common.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from quantbench.plan import Role
from quantbench.stats.clustered import ratio_of_sums, ratio_t_test
from quantbench.store.store import Store

Solved = dict[str, tuple[bool, ...]]  # by protocol


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--baseline", default="fp16")
    parser.add_argument("--mean", default="", help="methods, separated by commas")
    arguments = parser.parse_args()
    changes: dict[str, list[int]] = {}
    for folder in arguments.results:
        rows = read(folder)
        for name, solved in rows.items():
            if name != arguments.baseline:
                changes[name] = changed(rows[arguments.baseline], solved)
            print(line(name, rows[arguments.baseline], solved))
            answers = len(solved)
    if arguments.mean:
        of = [changes[name] for name in arguments.mean.split(",")]
        mean = together([sum(one) for one in zip(*of, strict=True)], len(of) * answers)
        print(f"mean of {arguments.mean}: {mean}")


def read(folder: Path) -> dict[str, Solved]:
    """Method -> which problems it solves, of the newest records of methods."""
    records, _ = Store(folder).read()
    return {
        record.trial.method: {
            task.protocol: tuple(one.outcome == "passed" for one in task.completions)
            for task in (*record.tasks, *record.other_protocols)
        }
        for record in records
        if record.trial.role is Role.METHOD
    }


def changed(baseline: Solved, solved: Solved) -> list[int]:
    """By problem: protocols under which the method alone solves it, less those of the baseline alone."""
    each = [
        [int(mine) - int(other) for mine, other in zip(solved[protocol], baseline[protocol], strict=True)]
        for protocol in baseline
    ]
    return [sum(problem) for problem in zip(*each, strict=True)]


def line(name: str, baseline: Solved, solved: Solved) -> str:
    """A method's row."""
    parts = []
    for protocol, mine in solved.items():
        pairs = list(zip(mine, baseline[protocol], strict=True))
        won, lost = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
        parts.append(f"{protocol} {sum(mine)} (+{won} -{lost})")
    return f"{name}: {', '.join(parts)}; {together(changed(baseline, solved), len(solved))}"


def together(by_problem: Sequence[int], answers: int) -> str:
    """The mean difference in points with interval and p, of so many answers a problem."""
    sizes = [float(answers)] * len(by_problem)
    found = ratio_of_sums(by_problem, sizes)
    interval, p = found.interval, ratio_t_test(by_problem, sizes)
    shown = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
    return f"{100 * found.value:+.1f} points{shown}" + ("" if p is None else f", p = {p:.3f}")


if __name__ == "__main__":
    main()
