"""What `quantbench score` does: read samples -> programs -> sandbox -> results file and figures."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quantbench.errors import TaskError, UsageError
from quantbench.extraction import AS_IS, Extracted, Protocol, build_program, choose_protocol
from quantbench.output import Output
from quantbench.sandbox.pool import DEFAULT_LIMITS, Sandbox, open_sandbox
from quantbench.sandbox.program import Execution, Program
from quantbench.sandbox.referee import BROKEN_TEST
from quantbench.scoring.plus import PLUS_LIMITS, compute_tests, read_inputs, with_plus
from quantbench.scoring.results import Scored, document, print_scored, write_results
from quantbench.scoring.samples import Sample, SampleFile, read_samples, some
from quantbench.tasks import Problem, load_task


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
    output: Path | None = None

    @property
    def results(self) -> Path:
        """Where the verdicts go: beside the samples, as the official evaluator does, unless named."""
        return self.output or self.samples.with_name(self.samples.name + "_results.jsonl")


def score(settings: ScoreSettings, *, out: Output, err: Console) -> int:
    """Score a file, write the verdicts, print the figures; 1 where these do not cover all that was given."""
    check_writable(settings.results)
    scored = score_samples(settings, err)
    write_results(settings.results, scored)
    out.give(
        document(scored, settings.results),
        lambda console: print_scored(scored, settings.results, console),
    )
    return scored.status


def check_writable(path: Path) -> None:
    """UsageError before anything runs for a file that could not be written in the end."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write the verdicts to '{path}'; name another file with --output")


def score_samples(settings: ScoreSettings, err: Console) -> Scored:
    """The verdicts on all samples that can be scored; TaskError where there are none."""
    task = load_task(settings.task, settings.task_data)
    protocol = choose_protocol(task, settings.protocol)
    problems = {problem.task_id: problem for problem in task.problems}
    read = read_samples(settings.samples, problems)
    check_ks(settings.ks, read.samples)
    plus = any(problem.inputs is not None for problem in task.problems)
    notes = [*([task.note] if task.note and not plus else []), *read.notes]
    tell(err, [*notes, *read.warnings])
    programs = programs_of(read, problems, protocol)
    limits = PLUS_LIMITS if plus else DEFAULT_LIMITS
    with open_sandbox(settings.unsafe, limits=limits, workers=settings.workers) as sandbox:
        reasons: dict[str, str] = {}
        if plus:
            programs, reasons = plus_programs(sandbox, programs, problems)
        executions = run_with_bar(sandbox, [program for _, program in programs], err)
    unusable = [f"{task_id} is left out: {reason}" for task_id, reason in reasons.items()]
    broken = broken_tests([sample for sample, _ in programs], executions)
    tell(err, [*unusable, *broken])
    return Scored(
        task=settings.task,
        data_sha256=task.data_sha256,
        protocol=settings.protocol,
        sandbox=sandbox.mode,
        test_seed=sandbox.seed,
        plus=plus,
        samples=tuple(sample for sample, _ in programs),
        executions=tuple(executions),
        ks=settings.ks,
        notes=tuple(notes),
        left_out=(*read.warnings, *unusable, *broken),
    )


def tell(err: Console, sentences: Sequence[str]) -> None:
    """One note a line."""
    for sentence in sentences:
        err.print(f"note: {sentence}", highlight=False, markup=False, soft_wrap=True)


def programs_of(
    read: SampleFile, problems: Mapping[str, Problem], protocol: Protocol
) -> list[tuple[Sample, Program]]:
    """Each sample with its program."""
    programs = []
    for sample in read.samples:
        given = Extracted(text=sample.text, standalone=sample.standalone)
        problem = problems[sample.task_id]
        programs.append((sample, build_program(problem, protocol(given, problem))))
    return programs


def plus_programs(
    sandbox: Sandbox, programs: Sequence[tuple[Sample, Program]], problems: Mapping[str, Problem]
) -> tuple[list[tuple[Sample, Program]], dict[str, str]]:
    """The programs under tests of base and plus inputs; by task_id why a problem has none."""
    used = [problems[task_id] for task_id in dict.fromkeys(program.task_id for _, program in programs)]
    inputs, reasons = read_inputs(used)
    tests, failures = compute_tests(sandbox, [p for p in used if p.task_id in inputs], inputs)
    kept = [
        (sample, with_plus(program, tests[program.task_id]))
        for sample, program in programs
        if program.task_id in tests
    ]
    reasons |= failures
    if not kept:
        task_id, reason = next(iter(reasons.items()))
        raise TaskError(f"no problem can be scored; {task_id}: {reason}; get a fresh copy of HumanEval+")
    return kept, reasons


def broken_tests(samples: Sequence[Sample], executions: Sequence[Execution]) -> list[str]:
    """A sentence where tests could not be run, whatever the programs are: their samples count as failed."""
    names = dict.fromkeys(
        sample.task_id
        for sample, execution in zip(samples, executions, strict=True)
        if execution.detail.startswith(BROKEN_TEST)
    )
    if not names:
        return []
    return [f"the tests of {len(names)} problems are broken, all their samples fail: {some(list(names))}"]


def read_ks(text: str | None) -> tuple[int, ...] | None:
    """'1,10' as numbers; UsageError for anything else."""
    if text is None:
        return None
    try:
        ks = tuple(int(part) for part in text.split(","))
    except ValueError:
        ks = (0,)
    if len(set(ks)) < len(ks):
        raise UsageError("--k names a number twice; name it once")
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
    """Run all programs behind a progress bar, or after a line that says so."""
    if not err.is_terminal:
        err.print(f"running {len(programs)} programs", highlight=False)
    columns = (TextColumn("running programs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("", total=len(programs))
        return sandbox.run(programs, on_done=lambda index, execution: bars.advance(bar))
