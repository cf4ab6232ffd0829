"""From settings to the Plan of one table; refuses early what cannot work.

Everything that would make all trials fail is found here, before anything is loaded: an unknown model,
method, task or device, a model that does not fit into memory, a sandbox that cannot contain programs.
"""

from collections.abc import Sequence

from quantbench.errors import UsageError
from quantbench.methods import METHODS, check_fits
from quantbench.plan import PASSES_A_ROUND, Plan, Trial
from quantbench.planning.models import named, reads_alike, reference_of
from quantbench.planning.protocols import resolve_protocols
from quantbench.planning.refusals import (
    check_available,
    check_batch_invariant,
    check_machine,
    check_methods,
    check_positions,
    check_readable,
    check_revision,
)
from quantbench.planning.resolving import (
    resolve_baseline,
    resolve_device,
    resolve_dtype,
    resolve_tasks,
)
from quantbench.planning.trials import compared, floors_of, later_passes, speed_floor
from quantbench.planning.unused import Situation, check_unused
from quantbench.settings import Engine, RunSettings
from quantbench.sources import ModelSource, find_model, open_source
from quantbench.support import AUTO, DEFAULT_METHODS, STORED, Support, measurable, support_of
from quantbench.tasks import Task
from quantbench.units import listed


def plan_table(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of one table, whose methods are resolved, and its first model, opened."""
    if settings.models:
        return plan_of_several(settings)
    own, source, note = plan_model(settings)
    trials = trials_of(settings, own)
    return Plan(trials=trials, baseline=own[0].method, notes=(note,) if note else ()), source


def plan_of_several(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """A plan whose rows are models and methods; methods that are named are those of unquantized models."""
    models = (settings.model, *settings.models)
    if len(set(models)) < len(models):
        raise UsageError(f"'{max(models, key=models.count)}' is given twice; name each model once")
    if settings.revision is not None:
        raise UsageError("--revision belongs to one model, but several are given; leave it out")
    tasks = tuple(task.name for task in resolve_tasks(settings)) or ("none",)
    alone = settings.changed(models=(), baseline=None, tasks=tasks)
    planned = [plan_model(alone.changed(model=models[0]), beside_others=True)]
    if tasks != ("none",):  # all are asked alike
        alone = alone.changed(protocols=planned[0][0][0].evaluation.protocols)
    planned += [plan_model(alone.changed(model=model), beside_others=True) for model in models[1:]]
    sources = {source.name: source for _, source, _ in planned}
    trials = named([trial for own, _, _ in planned for trial in own])
    reference = reference_of(settings.baseline, trials)
    ordered = [reference, *(trial for trial in trials if trial is not reference)]
    alike = {name for name, source in sources.items() if reads_alike(source, sources[reference.model])}
    apart = [name for name in sources if name not in alike]
    notes = [note for _, _, note in planned if note]
    if apart and reference.reads_text:
        notes.append(
            f"{listed(apart)} read{'s' * (len(apart) == 1)} text as other tokens than {reference.model}, so "
            "no distance between them is measured"
        )
    made = tuple(
        trial if trial.model in alike else trial.changed(reference=None)
        for trial in trials_of(settings, ordered)
    )
    return Plan(trials=made, baseline=reference.name, notes=tuple(notes)), sources[settings.model]


def plan_model(
    settings: RunSettings, *, beside_others: bool = False, unused: list[UsageError] | None = None
) -> tuple[list[Trial], ModelSource, str | None]:
    """One model's own trials, the baseline's first; the opened model; and what is left out, as a sentence.

    An option without effect is refused, or joins `unused` where a list is given.
    """
    check_machine(settings)
    names = DEFAULT_METHODS if settings.methods == AUTO else settings.methods
    check_methods(names)
    check_revision(settings)
    device = resolve_device(settings.load.device)
    check_available(names, device)
    resolve_baseline(settings.baseline, names)
    dtype = resolve_dtype(settings.load.dtype, device)
    find_model(settings.model, revision=settings.revision)  # a wrong one is said before anything else
    tasks = resolve_tasks(settings)
    source = open_source(settings.model, revision=settings.revision, seed=settings.generation.seed)
    check_readable(settings, source, tasks)
    support = support_of(source, settings.load.engine, trust_remote_code=settings.load.trust_remote_code)
    asked = beside(settings.methods, support) if beside_others else settings.methods
    methods, note = measurable(asked, support)
    engines = {name: Engine(support.engine_of(name) or support.engine) for name in methods}
    check_batch_invariant(settings, engines)
    try:
        check_unused(settings, Situation(device=device, engines=engines, tasks=tasks))
    except UsageError as error:
        if unused is None:
            raise
        unused.append(error)
    check_positions(settings, source)
    baseline = resolve_baseline(settings.baseline, methods)
    ordered = (baseline, *(m for m in dict.fromkeys(methods) if m != baseline))
    for method in ordered:
        check_fits(METHODS[method], source, device)
    protocols = resolve_protocols(settings, source, tasks)
    base = base_trial(settings.changed(device=device, dtype=dtype, protocols=protocols), source, tasks)
    return [base.changed(method=name, engine=engines[name]) for name in ordered], source, note


def beside(methods: tuple[str, ...], support: Support) -> tuple[str, ...]:
    """A model's own methods in a table of several: a quantized one runs as stored, no other does."""
    if support.quantized:
        return AUTO
    return tuple(name for name in methods if name != STORED) or methods


def base_trial(settings: RunSettings, source: ModelSource, tasks: tuple[Task, ...]) -> Trial:
    """The settings as a Trial of this opened model; its method and that one's engine are still to be set."""
    budget_s = settings.speed.speed_budget_s / PASSES_A_ROUND
    return Trial(
        model=settings.model,
        revision=source.revision,
        method="",
        load=settings.load.changed(engine=Engine.NATIVE),
        evaluation=settings.evaluation.changed(tasks=tuple(task.name for task in tasks)),
        task_digests=tuple(task.data_sha256 for task in tasks),
        generation=settings.generation,
        speed=settings.speed.changed(speed_budget_s=budget_s),
        distance=settings.distance,
        likelihood=settings.likelihood,
    )


def trials_of(settings: RunSettings, own: Sequence[Trial]) -> tuple[Trial, ...]:
    """A trial a method, the baseline's first; what shows the noise; the speed's later passes."""
    trials = compared(tuple(own))
    first, methods = trials[0], [trial.method for trial in trials if trial.model == trials[0].model]
    again: tuple[Trial, ...] = ()
    if settings.floor:
        greedy = first.has_distance and settings.generation.temperature == 0
        again = compared((first, *floors_of(first, methods)))[1:] if greedy else (speed_floor(first),)
    return trials + again + later_passes(trials, PASSES_A_ROUND * settings.rounds)
