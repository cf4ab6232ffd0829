"""The stages of a trial that read text: its tasks, and the distance from the baseline."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from quantbench.decoding import Decoder, LimitsRows, TellsMostLikely
from quantbench.decoding.prompt_rows import RemembersPrompts
from quantbench.evaluation.agreement import compare_answers
from quantbench.evaluation.distance import distance_of, scored_texts
from quantbench.evaluation.evaluate import OpenSandbox, evaluate_protocols, limit_task, refusals
from quantbench.evaluation.generate import Generator, Sample
from quantbench.evaluation.prompts import Chat, asked_by, read_chat
from quantbench.plan import Role
from quantbench.quiet import beside_others, disturbing
from quantbench.records import TaskResult
from quantbench.settings import GenerationSettings
from quantbench.sources import ModelSource, eos_ids, load_tokenizer
from quantbench.store import Store
from quantbench.tasks import Task, data_of, load_task
from quantbench.tasks.problem import Grading, Problem
from quantbench.tasks.problem_file import FIELDS
from quantbench.trial.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from quantbench.sandbox.early import Open
    from quantbench.sandbox.pool import Sandbox

PART = 8  # of free memory for prompts that are read twice
SPARE_CORES = 8  # from which on a GPU's host opens a box beside feeding the GPU


def read_text(run: Run, source: ModelSource, decoder: Decoder) -> None:
    """Every stage that needs a tokenizer; without one the record says so."""
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        run.warn("the model has no tokenizer, so no task was run")
        return
    asked, chat = run.trial.evaluation, read_chat(source, tokenizer)
    loaded = [load_task(name, data_of(name, asked.task_data)) for name in asked.own_tasks]
    tasks = [limit_task(task, asked.limit) for task in loaded]
    by_protocol = [asked_by(task, asked.protocols, chat) for task in tasks]
    remember(decoder, run.trial.has_distance and run.trial.distance.text is None)
    for ways in by_protocol:
        run.enter("task")
        evaluate_task(
            run, ways, chat, Generator(decoder, tokenizer, eos_ids(source), generation_of(run, decoder), ways)
        )
    if run.trial.has_distance:
        run.enter("distance")
        measure_distance(run, decoder, tokenizer, [ways[0] for ways in by_protocol])
        remember(decoder, False)
    if run.trial.likelihood.perplexity is not None and run.trial.role is Role.METHOD:
        if isinstance(decoder, TellsMostLikely):
            run.warn("the perplexity is not known: an engine behind a server hands out no logits")
            return
        run.enter("perplexity")
        keep_perplexity(run, decoder, tokenizer, Path(run.trial.likelihood.perplexity))
    if asked.harness_tasks and run.trial.role is Role.METHOD:
        from quantbench.trial.harness import keep_harness

        run.enter("lm-eval")
        keep_harness(run, source, decoder, tokenizer)


def remember(decoder: Decoder, on: bool) -> None:
    """Let a decoder keep the prompts that it answers and then scores, in a part of free memory."""
    if isinstance(decoder, RemembersPrompts):
        decoder.remember_prompts(psutil.virtual_memory().available // PART if on else 0)


def generation_of(run: Run, decoder: Decoder) -> GenerationSettings:
    """How answers are generated: at once no more of them than a server takes."""
    asked = run.trial.generation
    most = decoder.most_at_once if isinstance(decoder, LimitsRows) else asked.batch_size
    return asked.changed(batch_size=min(asked.batch_size, most))


def evaluate_task(run: Run, ways: list[Task], chat: Chat, generator: Generator) -> None:
    """Generate and score one task, asked in each way, and write its samples."""
    with sandbox_of(run, ways[0]) as sandbox:
        results = evaluate_protocols(
            ways, generator, generator.settings, sandbox=sandbox, progress=run.progress
        )
        for task, (result, samples) in zip(ways, results, strict=True):
            keep_result(run, task, result, samples, chat=chat, others=task is not ways[0])
            if task is ways[0]:
                alike = compare_answers(run.trial, task, samples, generator.decoder, run.folder)
                run.keep(agreements=(*run.record.agreements, *alike))
            if sentence := refusals(task, samples):
                run.warn(sentence)
    if generator.batch_size < generator.settings.batch_size:
        run.warn(f"{ways[0].name}: memory ran out, so answers were generated at batch {generator.batch_size}")


def keep_result(
    run: Run, task: Task, result: TaskResult, samples: list[Sample], *, chat: Chat, others: bool
) -> None:
    """Put a task's result into the record; `others` says that its protocol is not the first."""
    found = {"samples_file": write_samples(run, task, samples, others), "protocol_reason": chat.sentence}
    section = "other_protocols" if others else "tasks"
    run.keep(**{section: (*getattr(run.record, section), result.model_copy(update=found))})


@contextmanager
def sandbox_of(run: Run, task: Task) -> Iterator[OpenSandbox]:
    """How the box for a task's programs is opened: while a GPU answers, where that disturbs nothing.

    It executes what no trial of this run has executed before.
    """
    from quantbench.evaluation.plus import PLUS_LIMITS
    from quantbench.sandbox.early import opened_early
    from quantbench.sandbox.pool import DEFAULT_LIMITS, open_sandbox, usable_cores
    from quantbench.sandbox.verdicts import sharing, verdicts_of

    many = task.many_inputs or task.grading is Grading.PLUS
    limits, unsafe = PLUS_LIMITS if many else DEFAULT_LIMITS, run.trial.evaluation.unsafe_no_sandbox
    shared = verdicts_of(run.folder, limits, unsafe=unsafe)
    seed = None if shared is None else shared.seed
    open_box = quietly(partial(open_sandbox, unsafe=unsafe, limits=limits, seed=seed))
    spare = run.trial.load.device != "cpu" and usable_cores() >= SPARE_CORES and not beside_others()
    with ExitStack() as stack:
        if spare and task.grading is not Grading.NUMBER:
            most = len(task.problems) * run.trial.generation.completions_per_problem
            few = shared is not None and len(shared)  # most programs are those of an earlier trial
            open_box = stack.enter_context(opened_early(open_box, 1 if few else most))
        yield open_box if shared is None else sharing(open_box, shared)


def quietly(open_box: "Open") -> "Open":
    """The sandbox, opened and held while nothing on this host is timed."""

    @contextmanager
    def opened() -> Iterator["Sandbox"]:
        with disturbing(), open_box() as box:
            yield box

    return opened


def keep_perplexity(run: Run, decoder: Decoder, tokenizer: "Tokenizer", path: Path) -> None:
    """The perplexity of a text; what is too short for a convention is told."""
    from quantbench.measure.perplexity import DOCS, LLAMA, measure_perplexity

    window = run.trial.likelihood.perplexity_window
    found = measure_perplexity(decoder, tokenizer, path, window, run.progress)
    run.keep(perplexity=found)
    if missing := [name for name in (LLAMA, DOCS) if name not in {entry.convention for entry in found}]:
        run.warn(f"'{path.name}' is too short for the perplexity as of {' and '.join(missing)}")


def measure_distance(run: Run, decoder: Decoder, tokenizer: "Tokenizer", tasks: list[Task]) -> None:
    """The distance from the baseline, and that of prompts with fewer bits from those with all."""
    distance, reason = distance_of(
        run.trial, decoder, tokenizer, tasks, folder=run.folder, progress=run.progress
    )
    run.keep(distance=distance)
    if effect := run.record.prompt_effect:
        from quantbench.measure import measure_prompt_divergence

        kl, tokens = measure_prompt_divergence(decoder, scored_texts(run.trial, tokenizer, decoder, tasks))
        run.keep(prompt_effect=effect.model_copy(update={"kl": kl, "tokens": tokens}))
    if reason is not None:
        run.warn(reason)


def write_samples(run: Run, task: Task, samples: list[Sample], others: bool) -> str:
    """Answers in the format of the official evaluators, and the problems beside them.

    A whole program stands in `solution`, which EvalPlus takes, and behind the prompt in `completion`.
    """
    store = Store(run.folder)
    suffix = "" if len(run.trial.evaluation.own_tasks) == 1 else f"-{task.name}"
    store.write_lines(f"samples/problems{suffix}.jsonl", map(problem_row, task.problems))
    suffix += f"-{task.protocol.name}" if others else ""
    return store.write_lines(f"samples/{samples_name(run, suffix)}", map(sample_row, samples))


def problem_row(problem: Problem) -> dict[str, str]:
    """One line of a file of problems: what HumanEval's format has."""
    return {field: getattr(problem, field) for field in FIELDS}


def sample_row(sample: Sample) -> dict[str, str]:
    """One line of a samples file."""
    given = sample.extracted
    row = {"task_id": sample.problem.task_id, "completion": given.text}
    if given.standalone and sample.problem.entry_point:
        row |= {"completion": f"\n{given.text}", "solution": given.text}
    return row if given.text == sample.text else row | {"answer": sample.text}


def samples_name(run: Run, suffix: str) -> str:
    """`int8.jsonl`; with the trial's id where answers under other settings have that name already."""
    name = f"{run.name}{suffix}.jsonl"
    places = (run.folder / "samples", run.folder / "samples" / "earlier")
    taken = any((place / name).exists() for place in places)
    return f"{run.name}{suffix}-{run.trial.id[:8]}.jsonl" if taken else name
