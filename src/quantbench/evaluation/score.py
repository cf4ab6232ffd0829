"""What `quantbench score` does: read samples -> programs -> sandbox -> results file and figures."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quantbench.errors import UsageError
from quantbench.evaluation.extraction import Extracted, Extractor, choose_extractor
from quantbench.evaluation.grading import Answer, grade
from quantbench.evaluation.plus import PLUS_LIMITS
from quantbench.evaluation.results import Scored, write_results
from quantbench.evaluation.samples import SampleFile, SampleLine, read_samples, some
from quantbench.progress import Progress as Told
from quantbench.sandbox.pool import DEFAULT_LIMITS, open_sandbox
from quantbench.settings.commands import ScoreSettings
from quantbench.tasks import Problem, load_task


def score_file(settings: ScoreSettings, err: Console) -> Scored:
    """Score a file and write the verdicts to its results file."""
    check_writable(settings.results)
    scored = score_samples(settings, err)
    write_results(settings.results, scored)
    return scored


def check_writable(path: Path) -> None:
    """UsageError before anything runs for a file that could not be written in the end."""
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write the verdicts to '{path}'; name another file with --output")


def score_samples(settings: ScoreSettings, err: Console) -> Scored:
    """The verdicts on all samples that can be scored; TaskError where there are none."""
    task = load_task(settings.task, settings.task_data)
    extract = choose_extractor(task, settings.protocol)
    problems = {problem.task_id: problem for problem in task.problems}
    read = read_samples(settings.samples, problems)
    check_ks(settings.k, read.samples)
    plus = any(problem.inputs is not None for problem in task.problems)
    notes = [*([task.note] if task.note and not plus else []), *read.notes]
    tell(err, [*notes, *read.warnings])
    answers = answers_of(read, problems, extract)
    limits = PLUS_LIMITS if plus else DEFAULT_LIMITS
    with (
        open_sandbox(settings.unsafe_no_sandbox, limits=limits, workers=settings.workers) as sandbox,
        bar(err) as told,
    ):
        grades = grade(answers, sandbox, told, plus=plus)
    lost = [f"{task_id} is left out: {reason}" for task_id, reason in grades.unusable.items()]
    lost += broken_sentence(grades.broken_tests)
    tell(err, lost)
    return Scored(
        task=settings.task,
        data_sha256=task.data_sha256,
        protocol=settings.protocol,
        sandbox=sandbox.mode,
        test_seed=sandbox.seed,
        plus=plus,
        samples=tuple(read.samples[index] for index in grades.graded),
        executions=grades.executions,
        ks=settings.k,
        notes=tuple(notes),
        left_out=(*read.warnings, *lost),
    )


def tell(err: Console, sentences: Sequence[str]) -> None:
    """One note a line."""
    for sentence in sentences:
        err.print(f"note: {sentence}", highlight=False, markup=False, soft_wrap=True)


def answers_of(read: SampleFile, problems: Mapping[str, Problem], extract: Extractor) -> list[Answer]:
    """Each sample as the program that its protocol makes of it."""
    answers = []
    for sample in read.samples:
        given = Extracted(text=sample.text, standalone=sample.standalone)
        problem = problems[sample.task_id]
        answers.append(Answer(problem=problem, extracted=extract(given, problem)))
    return answers


def broken_sentence(names: Sequence[str]) -> list[str]:
    """A sentence where tests could not be run, whatever the programs are: their samples count as failed."""
    if not names:
        return []
    return [f"the tests of {len(names)} problems are broken, all their samples fail: {some(list(names))}"]


def check_ks(ks: tuple[int, ...] | None, samples: Sequence[SampleLine]) -> None:
    """UsageError for a k that a problem has too few samples for."""
    counts = Counter(sample.task_id for sample in samples)
    task_id, fewest = min(counts.items(), key=lambda item: item[1])
    if ks and max(ks) > fewest:
        raise UsageError(f"pass@{max(ks)} needs as many samples of every problem; {task_id} has {fewest}")


@contextmanager
def bar(err: Console) -> Iterator[Told]:
    """A progress bar while programs run, or a line that says so."""
    columns = (TextColumn("running programs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task("", total=None)

        def told(stage: str, done: int, total: int) -> None:
            if done == 1 and not err.is_terminal:
                err.print(f"running {total} programs", highlight=False)
            bars.update(task, completed=done, total=total)

        yield told
