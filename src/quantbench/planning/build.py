"""From settings to a Plan; refuses early what cannot work.

Everything that would make all trials fail is found here, before anything is loaded: an unknown model,
method, task or device, a model that does not fit into memory, a sandbox that cannot contain programs.
"""

from collections.abc import Sequence

from quantbench.methods import METHODS, check_fits
from quantbench.plan import PASSES_A_ROUND, Plan, Trial
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
from quantbench.planning.resolving import resolve_baseline, resolve_device, resolve_dtype, resolve_tasks
from quantbench.planning.trials import compared, floors_of, later_passes, speed_floor
from quantbench.planning.unused import Situation, check_unused
from quantbench.settings import Engine, RunSettings
from quantbench.sources import ModelSource, find_model, open_source
from quantbench.support import AUTO, DEFAULT_METHODS, measurable, support_of
from quantbench.tasks import Task


def build_plan(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of a run and its opened model; a QuantbenchError for anything that cannot work."""
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
    methods, note = measurable(settings.methods, support)
    engines = {name: Engine(support.engine_of(name) or support.engine) for name in methods}
    check_batch_invariant(settings, engines)
    check_unused(settings, Situation(device=device, engines=engines, tasks=tasks))
    check_positions(settings, source)
    baseline = resolve_baseline(settings.baseline, methods)
    ordered = (baseline, *(m for m in dict.fromkeys(methods) if m != baseline))
    for method in ordered:
        check_fits(METHODS[method], source, device)
    protocols = resolve_protocols(settings, source, tasks)
    base = base_trial(settings.changed(device=device, dtype=dtype, protocols=protocols), source, tasks)
    trials = trials_of(settings, [base.changed(method=name, engine=engines[name]) for name in ordered])
    return Plan(trials=trials, baseline=baseline, notes=(note,) if note else ()), source


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
    )


def trials_of(settings: RunSettings, own: Sequence[Trial]) -> tuple[Trial, ...]:
    """A trial a method, the baseline's first; what shows the noise; the speed's later passes."""
    trials = compared(tuple(own))
    first, methods = trials[0], [trial.method for trial in trials]
    again: tuple[Trial, ...] = ()
    if settings.floor:
        greedy = first.reads_text and settings.generation.temperature == 0
        again = compared((first, *floors_of(first, methods)))[1:] if greedy else (speed_floor(first),)
    return trials + again + later_passes(trials, PASSES_A_ROUND * settings.rounds)
