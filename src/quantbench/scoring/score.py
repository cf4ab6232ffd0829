"""What `quantbench score` does: read samples -> programs -> sandbox -> results file and figures."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from quantbench.errors import UsageError
from quantbench.records import Outcome
from quantbench.sandbox.pool import DEFAULT_LIMITS, Sandbox, open_sandbox
from quantbench.sandbox.program import Execution, Program
from quantbench.scoring.extraction import AS_IS, build_program, choose_protocol
from quantbench.scoring.figures import Figure, figures
from quantbench.scoring.plus import PLUS_LIMITS, compute_tests, read_plus_inputs, with_plus
from quantbench.scoring.samples import Sample, read_samples
from quantbench.store import write_atomically
from quantbench.tasks import load_task

OFFICIAL = {Outcome.PASSED: "passed", Outcome.TIMED_OUT: "timed out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """What the command line said; `ks` are the usual ones where it said nothing."""

    samples: Path
    task: str = "humaneval"
    task_data: str | None = None
    protocol: str = AS_IS
    ks: tuple[int, ...] | None = None
    workers: int | None = None
    unsafe: bool = False


def score(settings: ScoreSettings, *, out: Console, err: Console) -> int:
    """Score a file, write the results beside it and print the figures; 0, whatever passed."""
    task = load_task(settings.task, settings.task_data)
    plus = read_plus_inputs(Path(settings.task_data) if settings.task_data else None)
    protocol = choose_protocol(task, settings.protocol)
    problems = {problem.task_id: problem for problem in task.problems}
    read = read_samples(settings.samples, problems)
    check_ks(settings.ks, read.samples)
    for warning in [*([task.note] if task.note and not plus else []), *read.warnings]:
        err.print(f"note: {warning}", highlight=False, markup=False, soft_wrap=True)
    programs = [build_program(sample, problems[sample.task_id], protocol) for sample in read.samples]
    limits = PLUS_LIMITS if plus else DEFAULT_LIMITS
    with open_sandbox(settings.unsafe, limits=limits, workers=settings.workers) as sandbox:
        if plus:
            used = [problems[task_id] for task_id in dict.fromkeys(p.task_id for p in programs)]
            tests = compute_tests(sandbox, used, plus)
            programs = [with_plus(program, tests[program.task_id]) for program in programs]
        executions = run_with_bar(sandbox, programs, err)
    results = settings.samples.with_name(settings.samples.name + "_results.jsonl")
    write_results(results, read.samples, executions, plus=bool(plus))
    out.print(figure_table(figure_rows(settings, read.samples, executions, plus=bool(plus))))
    out.print(summary(settings, executions, sandbox.mode), highlight=False, soft_wrap=True)
    out.print(f"\nResults: {results}", highlight=False, soft_wrap=True)
    return 0


def read_ks(text: str | None) -> tuple[int, ...] | None:
    """'1,10' as numbers; UsageError for anything else."""
    if text is None:
        return None
    try:
        ks = tuple(int(part) for part in text.split(","))
    except ValueError:
        ks = (0,)
    if min(ks) < 1:
        raise UsageError("--k takes whole numbers from 1 on, separated by commas, as in 1,10")
    return ks


def check_ks(ks: tuple[int, ...] | None, samples: Sequence[Sample]) -> None:
    """UsageError for a k that a problem has too few samples for."""
    counts = Counter(sample.task_id for sample in samples)
    task_id, fewest = min(counts.items(), key=lambda item: item[1])
    if ks and max(ks) > fewest:
        raise UsageError(f"pass@{max(ks)} needs as many samples of every problem; {task_id} has {fewest}")


def run_with_bar(sandbox: Sandbox, programs: Sequence[Program], err: Console) -> list[Execution]:
    """Run all programs behind a progress bar."""
    columns = (TextColumn("running programs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("", total=len(programs))
        return sandbox.run(programs, on_done=lambda index, execution: bars.advance(bar))


def write_results(
    path: Path, samples: Sequence[Sample], executions: Sequence[Execution], *, plus: bool
) -> None:
    """The official fields, behind whatever else the sample's line held."""
    lines = [
        json.dumps(sample.row | result_fields(execution, plus=plus))
        for sample, execution in zip(samples, executions, strict=True)
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


def figure_rows(
    settings: ScoreSettings, samples: Sequence[Sample], executions: Sequence[Execution], *, plus: bool
) -> list[tuple[str, Figure]]:
    """Which tests, and the figure; HumanEval+ has two kinds of tests."""
    base = verdicts(samples, [execution.outcome == Outcome.PASSED for execution in executions])
    rows = [("base" if plus else settings.task, figure) for figure in figures(base, settings.ks)]
    if plus:
        strict = verdicts(samples, [plus_passed(execution) for execution in executions])
        rows += [("base + plus", figure) for figure in figures(strict, settings.ks)]
    return rows


def summary(settings: ScoreSettings, executions: Sequence[Execution], mode: str) -> str:
    """How the programs ended and how they were run."""
    counts = Counter(execution.outcome for execution in executions)
    outcomes = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.most_common())
    return f"{len(executions)} samples: {outcomes}; protocol '{settings.protocol}', sandbox mode '{mode}'"


def verdicts(samples: Sequence[Sample], passed: Sequence[bool]) -> dict[str, list[bool]]:
    """By problem, in the file's order."""
    grouped: dict[str, list[bool]] = {}
    for sample, verdict in zip(samples, passed, strict=True):
        grouped.setdefault(sample.task_id, []).append(verdict)
    return grouped


def figure_table(rows: Sequence[tuple[str, Figure]]) -> Table:
    """One row a figure, with its 95 % interval."""
    table = Table("Tests", "Figure", "Value", "95 % interval", box=None, pad_edge=False)
    for name, figure in rows:
        ends = figure.interval
        interval = f"{ends.low:.3f} to {ends.high:.3f}" if ends else "too few problems"
        table.add_row(name, f"pass@{figure.k}", f"{figure.value:.4f}", interval)
    return table
