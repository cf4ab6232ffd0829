"""What scoring gave: the results file, figures, the table and the JSON document."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from quantbench.evaluation.figures import Figure, figures
from quantbench.evaluation.samples import SampleLine
from quantbench.records import Outcome
from quantbench.sandbox.program import Execution
from quantbench.store import write_atomically

OFFICIAL = {Outcome.PASSED: "passed", Outcome.TIMED_OUT: "timed out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Samples with their executions in the file's order; `left_out` names what the figures do not cover.

    `plus` says that HumanEval+'s inputs were tried; `ks` are the usual ones where it is None.
    """

    task: str
    data_sha256: str
    protocol: str
    sandbox: str
    test_seed: int
    plus: bool
    samples: tuple[SampleLine, ...]
    executions: tuple[Execution, ...]
    ks: tuple[int, ...] | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def status(self) -> int:
        """The command's exit status: 0 where every line and every problem is in the figures, else 1."""
        return 1 if self.left_out else 0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many samples ended how, most frequent first."""
        counts = Counter(execution.outcome.value for execution in self.executions)
        return dict(counts.most_common())


def write_results(path: Path, scored: Scored) -> None:
    """The official fields, behind whatever else the sample's line held."""
    lines = [
        json.dumps(sample.row | result_fields(execution, plus=scored.plus))
        for sample, execution in zip(scored.samples, scored.executions, strict=True)
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def result_fields(execution: Execution, *, plus: bool) -> dict[str, Any]:
    """`result` and `passed` as the official evaluator writes them; `plus_passed` for HumanEval+."""
    passed = execution.outcome == Outcome.PASSED
    fields: dict[str, Any] = {"result": result_text(execution), "passed": passed}
    return fields | ({"plus_passed": plus_passed(execution)} if plus else {})


def result_text(execution: Execution) -> str:
    """'passed', 'timed out', or 'failed: ' and why."""
    if execution.outcome in OFFICIAL:
        return OFFICIAL[execution.outcome]
    kind = "" if execution.outcome == Outcome.FAILED else f"{execution.outcome.replace('_', ' ')}: "
    return f"failed: {kind}{execution.detail}"


def plus_passed(execution: Execution) -> bool:
    """Whether base and plus checks passed; plus is tried after a passed base alone."""
    return execution.extra == (Outcome.PASSED,)


def figure_rows(scored: Scored) -> list[tuple[str, Figure]]:
    """Which tests, and the figure; HumanEval+ has two kinds of tests."""
    base = verdicts(scored.samples, [e.outcome == Outcome.PASSED for e in scored.executions])
    rows = [("base" if scored.plus else scored.task, figure) for figure in figures(base, scored.ks)]
    if scored.plus:
        strict = verdicts(scored.samples, [plus_passed(execution) for execution in scored.executions])
        rows += [("base + plus", figure) for figure in figures(strict, scored.ks)]
    return rows


def verdicts(samples: Sequence[SampleLine], passed: Sequence[bool]) -> dict[str, list[bool]]:
    """By problem, in the file's order."""
    grouped: dict[str, list[bool]] = {}
    for sample, verdict in zip(samples, passed, strict=True):
        grouped.setdefault(sample.task_id, []).append(verdict)
    return grouped


def print_scored(scored: Scored, results: Path, out: Console) -> None:
    """Figures, how the programs ended, and where the verdicts are."""
    out.print(figure_table(figure_rows(scored)))
    outcomes = ", ".join(f"{n} {outcome.replace('_', ' ')}" for outcome, n in scored.outcomes.items())
    how = f"protocol '{scored.protocol}', sandbox mode '{scored.sandbox}', test seed {scored.test_seed}"
    out.print(f"{len(scored.samples)} samples: {outcomes}; {how}", highlight=False, soft_wrap=True)
    out.print(f"\nResults: {results}", highlight=False, soft_wrap=True)


def figure_table(rows: Sequence[tuple[str, Figure]]) -> Table:
    """One row a figure, with its 95 % interval."""
    table = Table("Tests", "Figure", "Value", "95 % interval", box=None, pad_edge=False)
    for name, figure in rows:
        ends = figure.interval
        interval = f"{ends.low:.3f} to {ends.high:.3f}" if ends else "too few problems"
        table.add_row(name, f"pass@{figure.k}", f"{figure.value:.4f}", interval)
    return table


def document(scored: Scored, results: Path) -> dict[str, Any]:
    """All of it as plain values for `--json`."""
    rows = [
        {"tests": name, "k": figure.k, "value": figure.value}
        | {"low": figure.interval and figure.interval.low, "high": figure.interval and figure.interval.high}
        for name, figure in figure_rows(scored)
    ]
    return {
        "task": scored.task,
        "data_sha256": scored.data_sha256,
        "protocol": scored.protocol,
        "sandbox": scored.sandbox,
        "test_seed": scored.test_seed,
        "samples": len(scored.samples),
        "problems": len({sample.task_id for sample in scored.samples}),
        "outcomes": scored.outcomes,
        "figures": rows,
        "notes": list(scored.notes),
        "left_out": list(scored.left_out),
        "results": str(results),
    }
