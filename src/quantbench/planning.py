"""From what the user asked to a Plan; refuses early what cannot work.

Everything that would make all trials fail is found here, before anything is loaded: an unknown model,
method, task or device, a model that does not fit into memory, a sandbox that cannot contain programs.
"""

from collections.abc import Collection
from dataclasses import replace

from quantbench.errors import UsageError
from quantbench.methods import METHODS, check_fits
from quantbench.plan import PASSES_A_ROUND, Plan, Trial
from quantbench.resolving import (
    check_available,
    check_batch_invariant,
    check_engine_name,
    check_methods,
    resolve_baseline,
    resolve_device,
    resolve_dtype,
    resolve_tasks,
)
from quantbench.settings import RunSettings, check_values
from quantbench.sources import ModelSource, find_model, load_tokenizer, open_source
from quantbench.support import AUTO, DEFAULT_METHODS, measurable, support_of
from quantbench.tasks import Task
from quantbench.unused_options import check_positions, check_revision, check_unused


def build_plan(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of a run and its opened model; a QuantbenchError for anything that cannot work."""
    check_values(settings)
    names = DEFAULT_METHODS if settings.methods == AUTO else settings.methods
    check_methods(names)
    check_engine_name(settings.engine)
    check_revision(settings)
    device = resolve_device(settings.device)
    check_available(names, device)
    resolve_baseline(settings.baseline, names)
    dtype = resolve_dtype(settings.dtype, device)
    find_model(settings.model, revision=settings.revision)  # a wrong one is said before anything else
    tasks = resolve_tasks(settings)
    source = open_source(settings.model, revision=settings.revision, seed=settings.seed)
    check_readable(settings, source, tasks)
    support = support_of(source, settings.engine, trust_remote_code=settings.trust_remote_code)
    methods, note = measurable(settings.methods, support)
    settings = replace(settings, methods=methods)
    engines = {name: support.engine_of(name) or support.engine for name in methods}
    check_batch_invariant(settings, engines)
    check_unused(settings, tasks, engines=engines, device=device)
    check_positions(settings, source)
    baseline = resolve_baseline(settings.baseline, methods)
    ordered = (baseline, *(m for m in dict.fromkeys(methods) if m != baseline))
    for method in ordered:
        check_fits(METHODS[method], source, device)
    base = replace(trial_of(settings, source, tasks), device=device, dtype=dtype)
    trials = compared(tuple(replace(base, method=name, engine=engines[name]) for name in ordered))
    first = trials[0]
    if settings.floor:
        reads = (tasks or settings.text) and settings.temperature == 0
        trials += (
            compared((trials[0], *floors_of(trials[0], ordered)))[1:] if reads else (speed_floor(first),)
        )
    trials += later_passes(trials[: len(ordered)], PASSES_A_ROUND * settings.rounds)
    return Plan(trials=trials, baseline=baseline, notes=(note,) if note else ()), source


def check_readable(settings: RunSettings, source: ModelSource, tasks: tuple[Task, ...]) -> None:
    """UsageError when there is text to read and the model has no tokenizer."""
    if (tasks or settings.text) and load_tokenizer(source) is None:
        text = ", ".join(task.name for task in tasks) or settings.text
        raise UsageError(
            f"'{settings.model}' has no tokenizer, so it cannot read {text}; use --tasks none without --text"
        )


def trial_of(settings: RunSettings, source: ModelSource, tasks: tuple[Task, ...]) -> Trial:
    """The settings as a Trial of this opened model; method, device, dtype and engine are still to be set."""
    return Trial(
        model=settings.model,
        method="",
        device="",
        revision=source.revision,
        trust_remote_code=settings.trust_remote_code,
        batch_invariant=settings.batch_invariant,
        exact_prompts=settings.exact_prompts,
        seed=settings.seed,
        threads=settings.threads,
        tasks=tuple(task.name for task in tasks),
        task_data=settings.task_data,
        task_digests=tuple(task.data_sha256 for task in tasks),
        limit=settings.limit,
        batch_size=settings.batch_size,
        max_new_tokens=settings.max_new_tokens,
        completions_per_problem=settings.completions_per_problem,
        temperature=settings.temperature,
        top_p=settings.top_p,
        unsafe_no_sandbox=settings.unsafe_no_sandbox,
        text=settings.text,
        batch_sizes=settings.batch_sizes,
        prompt_tokens=settings.prompt_tokens,
        new_tokens=settings.new_tokens,
        speed_budget_s=settings.speed_budget_s / PASSES_A_ROUND,
    )


def compared(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """The same trials, the first one as the reference whose predictions the others are compared with."""
    first, *others = trials
    if not first.tasks and first.text is None:
        return trials
    return (first, *(replace(trial, reference=first.id) for trial in others))


def floor_of(baseline: Trial) -> Trial:
    """The baseline once more in another batch shape: what changes without any change of method."""
    return replace(baseline, role="floor", batch_size=max(1, baseline.batch_size // 2 - 1))


def speed_floor(baseline: Trial) -> Trial:
    """The baseline once more for its speed alone: how far two processes of the same work lie apart."""
    return replace(speed_only(baseline), role="floor")


def floors_of(baseline: Trial, methods: Collection[str]) -> tuple[Trial, ...]:
    """The baseline's rerun that shows the noise, and beside fp16 its other number format, bf16, for scale.

    bf16 is not scored twice where it is one of the `methods`.
    """
    other_shape = floor_of(baseline)
    if baseline.method != "fp16" or "bf16" in methods:
        return (other_shape,)
    return (other_shape, replace(baseline, method="bf16", role="scale"))


def speed_only(trial: Trial) -> Trial:
    """The same trial without anything that reads text."""
    return replace(trial, tasks=(), text=None, task_data=None, task_digests=(), reference=None)


def later_passes(trials: tuple[Trial, ...], passes: int) -> tuple[Trial, ...]:
    """Speed trials of the passes after the first, every other pass backwards: A B C, C B A, A B C.

    What grows steadily over a round (heat, other programs) so falls on all methods alike.
    """
    found: list[Trial] = []
    for number in range(1, passes):
        order = trials[::-1] if number % 2 else trials
        found += [replace(speed_only(trial), role="round", round=number) for trial in order]
    return tuple(found)
