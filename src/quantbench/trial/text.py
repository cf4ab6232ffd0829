"""The stages of a trial that read text: its tasks, and the distance from the baseline."""

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.evaluation.distance import distance_of, scored_texts
from quantbench.evaluation.evaluate import evaluate, limit_task, refusals
from quantbench.evaluation.generate import Sample
from quantbench.sources import ModelSource, eos_ids, load_tokenizer
from quantbench.store import Store
from quantbench.tasks import Task, load_task
from quantbench.trial.run import Run

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def read_text(run: Run, source: ModelSource, decoder: Decoder) -> None:
    """Every stage that needs a tokenizer; without one the record says so."""
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        run.warn("the model has no tokenizer, so no task was run")
        return
    if run.trial.evaluation.tasks:
        run.stage = "task"
        evaluate_tasks(run, source, decoder, tokenizer)
    run.stage = "distance"
    measure_distance(run, decoder, tokenizer)


def evaluate_tasks(run: Run, source: ModelSource, decoder: Decoder, tokenizer: "Tokenizer") -> None:
    """Generate and score each task, write its samples."""
    from quantbench.sandbox.pool import open_sandbox

    asked = run.trial.evaluation
    for name in asked.tasks:
        task = limit_task(load_task(name, asked.task_data), asked.limit)
        result, samples = evaluate(
            task,
            decoder,
            tokenizer,
            eos_ids(source),
            run.trial.generation,
            sandbox=partial(open_sandbox, unsafe=asked.unsafe_no_sandbox),
            progress=run.progress,
        )
        file = write_samples(run, task, samples)
        run.keep(tasks=(*run.record.tasks, result.model_copy(update={"samples_file": file})))
        if sentence := refusals(task, samples):
            run.warn(sentence)


def measure_distance(run: Run, decoder: Decoder, tokenizer: "Tokenizer") -> None:
    """The distance from the baseline, and that of prompts with fewer bits from those with all."""
    distance, reason = distance_of(run.trial, decoder, tokenizer, folder=run.folder, progress=run.progress)
    run.keep(distance=distance)
    if effect := run.record.prompt_effect:
        from quantbench.measure import measure_prompt_divergence

        kl, tokens = measure_prompt_divergence(decoder, scored_texts(run.trial, tokenizer, decoder))
        run.keep(prompt_effect=effect.model_copy(update={"kl": kl, "tokens": tokens}))
    if reason is not None:
        run.warn(reason)


def write_samples(run: Run, task: Task, samples: list[Sample]) -> str:
    """Completions in the format of the official evaluators, and the problems beside them."""
    store = Store(run.folder)
    suffix = "" if len(run.trial.evaluation.tasks) == 1 else f"-{task.name}"
    store.write_lines(f"samples/problems{suffix}.jsonl", map(asdict, task.problems))
    rows = ({"task_id": s.problem.task_id, "completion": s.text} for s in samples)
    return store.write_lines(f"samples/{samples_name(run, suffix)}", rows)


def samples_name(run: Run, suffix: str) -> str:
    """`int8.jsonl`; with the trial's id where answers under other settings have that name already."""
    name = f"{run.trial.label}{suffix}.jsonl"
    places = (run.folder / "samples", run.folder / "samples" / "earlier")
    taken = any((place / name).exists() for place in places)
    return f"{run.trial.label}{suffix}-{run.trial.id[:8]}.jsonl" if taken else name
