"""One trial from start to Record: load -> speed and memory -> size -> tasks -> distance.

The record is handed out after every stage, so that a trial that dies keeps what it had measured. The
only broad `except` of the product stands here: whatever a model, a kernel or a library raises becomes
the record's failure, with its stage and its traceback.
"""

import dataclasses
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantbench
from quantbench.decoding import Decoder, TimesStages, scheme_by_phase
from quantbench.environment import describe_environment
from quantbench.errors import QuantbenchError
from quantbench.evaluation.distance import distance_of, scored_texts
from quantbench.evaluation.evaluate import evaluate, limit_task, refusals
from quantbench.evaluation.generate import EvaluationSettings, Sample
from quantbench.plan import Trial
from quantbench.progress import Progress
from quantbench.records import Failure, ModelInfo, Record
from quantbench.sources import ModelSource, eos_ids, load_tokenizer, open_source
from quantbench.store import Store
from quantbench.tasks import Task, load_task

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclasses.dataclass(slots=True, kw_only=True)
class Run:
    """A trial in progress: its record so far, and where news of it go."""

    trial: Trial
    folder: Path
    record: Record
    progress: Progress
    checkpoint: Callable[[Record], None]
    stage: str = "start"

    def keep(self, **sections: Any) -> None:
        """Add sections to the record and hand it out."""
        self.record = self.record.model_copy(update=sections)
        self.checkpoint(self.record)

    def warn(self, sentence: str) -> None:
        self.keep(warnings=(*self.record.warnings, sentence))


def run_trial(
    trial: Trial,
    *,
    folder: Path,
    progress: Progress,
    checkpoint: Callable[[Record], None],
    command: str | None = None,
    import_s: float | None = None,
) -> Record:
    """Measure everything a trial asks for; never raises for what happens inside it, save Ctrl-C."""
    run = Run(
        trial=trial,
        folder=folder,
        record=new_record(trial, command),
        progress=progress,
        checkpoint=checkpoint,
    )
    try:
        _measure(run, import_s)
    except Exception as error:
        run.keep(failure=describe_failure(run.stage, error))
    return run.record


def new_record(trial: Trial, command: str | None = None) -> Record:
    """An empty record of a trial, with the environment of this process."""
    return Record(
        trial_id=trial.id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        quantbench_version=quantbench.__version__,
        trial=trial.to_dict(),
        environment=describe_environment(device=trial.device, command=command, threads=trial.threads),
    )


def describe_failure(stage: str, error: BaseException) -> Failure:
    """An exception as a record keeps it; a user's error needs no traceback."""
    known = isinstance(error, QuantbenchError)
    lines = traceback.format_exception(error)
    return Failure(
        stage=stage,
        kind=type(error).__name__,
        message=str(error) or type(error).__name__,
        traceback=None if known else "".join(lines),
    )


def make_current(device: str) -> None:
    """Let 'cuda:N' be the device of whatever names none: libraries, streams, kernels; no-op on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.set_device(device)


def _measure(run: Run, import_s: float | None) -> None:
    trial = run.trial
    make_current(trial.device)
    if trial.threads:
        import torch

        torch.set_num_threads(trial.threads)
    from quantbench.measure import (
        MemoryMeter,
        check_predictions,
        measure_bandwidth,
        measure_size,
        measure_speed,
        warm_up,
    )
    from quantbench.methods import METHODS, LoadSettings

    run.stage = "bandwidth"
    speed_wanted = trial.role != "scale"
    bandwidth = measure_bandwidth(trial.device) if trial.role == "method" else None
    run.stage = "load"
    run.progress("loading", 0, 0)
    source = open_source(trial.model, revision=trial.revision, seed=trial.seed)
    meter = MemoryMeter(trial.device)
    method = METHODS[trial.method]
    settings = LoadSettings(
        device=trial.device,
        dtype=trial.dtype,
        engine=trial.engine,
        threads=trial.threads,
        trust_remote_code=trial.trust_remote_code,
        batch_invariant=trial.batch_invariant,
        exact_prompts=trial.exact_prompts,
    )
    loaded = method.load(source, settings)
    meter.loaded()
    decoder = loaded.decoder
    for sentence in (*source.warnings, *loaded.warnings):
        run.warn(sentence)
    startup = {"import_s": add(import_s, loaded.startup.import_s), "warmup_s": warm_up(decoder)}
    run.keep(
        model=model_info(source, decoder),
        scheme=scheme_by_phase(method.scheme, decoder.activation_bits()),
        group_size=method.group_size,
        engine=decoder.engine,
        bandwidth=bandwidth,
        startup=loaded.startup.model_copy(update=startup),
    )
    check_predictions(decoder)
    if speed_wanted:
        run.stage = "speed"
        points = measure_speed(decoder, trial, run.progress)
        run.keep(speed=points, memory=meter.finish(), kernels=dict(decoder.kernels()))
        if trial.role == "method":
            run.stage = "experiments"
            _find_bounds(run, decoder)
    run.stage = "size"
    run.keep(size=measure_size(decoder, source))
    if trial.tasks or trial.text:
        _read_text(run, source, decoder)
    run.keep(kernels=dict(decoder.kernels()))  # again: the tasks' batches may have met other kernels


def _find_bounds(run: Run, decoder: Decoder) -> None:
    """What tells why the headline's step takes as long as it does."""
    from quantbench.measure import (
        joined,
        measure_bandwidth,
        measure_experiments,
        measure_prompt_times,
    )

    trial, bandwidth = run.trial, run.record.bandwidth
    headline = next((point for point in run.record.speed if point.decode_s), None)
    if headline is None or bandwidth is None or not headline.step_weight_bytes:
        return
    run.progress("what bounds a step", 0, 0)
    size = headline.step_weight_bytes
    after = measure_bandwidth(trial.device, when="after", step_bytes=size)
    run.keep(bandwidth=joined(bandwidth, after, size))
    run.keep(experiments=measure_experiments(decoder, trial, headline, run.progress))
    run.keep(prompt_effect=measure_prompt_times(decoder, trial, headline))
    if isinstance(decoder, TimesStages):
        context = headline.prompt_tokens + headline.new_tokens // 2
        run.keep(stages=dict(decoder.stage_shares(headline.batch_size, context)))


def model_info(source: ModelSource, decoder: Decoder) -> ModelInfo:
    """What the record says of the model itself."""
    from quantbench.measure import count_parameters

    config = source.config
    architectures = config.get("architectures") or [config.get("model_type") or "unknown"]
    return ModelInfo(
        name=source.name,
        revision=source.revision,
        architecture=str(architectures[0]),
        parameters=count_parameters(decoder, source),
        layers=config.get("num_hidden_layers"),
        hidden_size=config.get("hidden_size"),
        vocab_size=config.get("vocab_size"),
        note=source.note,
    )


def add(first: float | None, second: float | None) -> float | None:
    """The sum of what was measured; None where neither was."""
    known = [value for value in (first, second) if value is not None]
    return sum(known) if known else None


def _read_text(run: Run, source: ModelSource, decoder: Decoder) -> None:
    """The stages that need a tokenizer."""
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        run.warn("the model has no tokenizer, so no task was run")
        return
    if run.trial.tasks:
        run.stage = "task"
        _evaluate_tasks(run, source, decoder, tokenizer)
    run.stage = "distance"
    _measure_distance(run, decoder, tokenizer)


def _measure_distance(run: Run, decoder: Decoder, tokenizer: "Tokenizer") -> None:
    distance, reason = distance_of(run.trial, decoder, tokenizer, folder=run.folder, progress=run.progress)
    run.keep(distance=distance)
    if effect := run.record.prompt_effect:
        from quantbench.measure import measure_prompt_divergence

        kl, tokens = measure_prompt_divergence(decoder, scored_texts(run.trial, tokenizer, decoder))
        run.keep(prompt_effect=effect.model_copy(update={"kl": kl, "tokens": tokens}))
    if reason is not None:
        run.warn(reason)


def _evaluate_tasks(run: Run, source: ModelSource, decoder: Decoder, tokenizer: "Tokenizer") -> None:
    from quantbench.sandbox.pool import open_sandbox

    trial = run.trial
    settings = EvaluationSettings(
        batch_size=trial.batch_size,
        max_new_tokens=trial.max_new_tokens,
        completions_per_problem=trial.completions_per_problem,
        temperature=trial.temperature,
        top_p=trial.top_p,
        seed=trial.seed,
    )
    for name in trial.tasks:
        task = limit_task(load_task(name, trial.task_data), trial.limit)
        result, samples = evaluate(
            task,
            decoder,
            tokenizer,
            eos_ids(source),
            settings,
            sandbox=partial(open_sandbox, unsafe=trial.unsafe_no_sandbox),
            progress=run.progress,
        )
        file = write_samples(run, task, samples)
        run.keep(tasks=(*run.record.tasks, result.model_copy(update={"samples_file": file})))
        if sentence := refusals(task, samples):
            run.warn(sentence)


def write_samples(run: Run, task: Task, samples: list[Sample]) -> str:
    """Completions in the format of the official evaluators, and the problems beside them."""
    store = Store(run.folder)
    suffix = "" if len(run.trial.tasks) == 1 else f"-{task.name}"
    store.write_lines(f"samples/problems{suffix}.jsonl", map(dataclasses.asdict, task.problems))
    rows = ({"task_id": s.problem.task_id, "completion": s.text} for s in samples)
    return store.write_lines(f"samples/{samples_name(run, suffix)}", rows)


def samples_name(run: Run, suffix: str) -> str:
    """`int8.jsonl`; with the trial's id where answers under other settings have that name already."""
    name = f"{run.trial.label}{suffix}.jsonl"
    places = (run.folder / "samples", run.folder / "samples" / "earlier")
    taken = any((place / name).exists() for place in places)
    return f"{run.trial.label}{suffix}-{run.trial.id[:8]}.jsonl" if taken else name
