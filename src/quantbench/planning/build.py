"""From settings to the Plan of one table; refuses early what cannot work.

Everything that would make all trials fail is found here, before anything is loaded: an unknown model,
method, task or device, a model that does not fit into memory, a sandbox that cannot contain programs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import UsageError
from quantbench.methods import METHODS, versions_of
from quantbench.plan import PASSES_A_ROUND, Plan, Trial
from quantbench.planning.engines import (
    Runs,
    check_room,
    resolve_engines,
    runs_of,
    runs_of_several,
    server_values,
)
from quantbench.planning.harness import resolve_harness
from quantbench.planning.models import baseline_of, engine_named, kv_named, named, reads_alike, reference_of
from quantbench.planning.protocols import resolve_protocols
from quantbench.planning.refusals import (
    check_available,
    check_machine,
    check_methods,
    check_once,
    check_own_engine,
    check_positions,
    check_readable,
    check_revision,
)
from quantbench.planning.resolving import (
    AT,
    load_of,
    resolve_baseline,
    resolve_device,
    resolve_dtype,
    resolve_tasks,
)
from quantbench.planning.trials import compared, floors_of, later_passes, speed_floor
from quantbench.planning.unused import Situation, check_unused
from quantbench.settings import Engine, Executor, RunSettings
from quantbench.sources import ModelSource, find_model, is_quantized, open_source
from quantbench.support import AUTO, DEFAULT_METHODS, STORED
from quantbench.units import listed


def plan_table(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of one table, whose methods are resolved, and its first model, opened."""
    if settings.models:
        return plan_of_several(settings)
    planned = plan_model(settings)
    own = engine_named(planned.trials)
    first = baseline_of(settings.baseline, own) if own[0].row else own[0]
    ordered = [first, *(trial for trial in own if trial is not first)]
    trials = trials_of(settings, ordered)
    return Plan(trials=trials, baseline=first.name, notes=planned.notes), planned.source


def plan_of_several(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """A plan whose rows are models and methods; methods that are named are those of unquantized models."""
    models = (settings.model, *settings.models)
    check_once(models)
    if settings.revision is not None:
        raise UsageError("--revision belongs to one model, but several are given; leave it out")
    own = tuple(task.name for task in resolve_tasks(settings))
    tasks = (*own, *settings.evaluation.harness_tasks) or ("none",)
    alone = settings.changed(models=(), baseline=None, tasks=tasks)
    planned = [plan_model(alone.changed(model=models[0]), beside_others=True)]
    if tasks != ("none",):  # all are asked alike
        alone = alone.changed(protocols=planned[0].trials[0].evaluation.protocols)
    planned += [plan_model(alone.changed(model=model), beside_others=True) for model in models[1:]]
    sources = {one.source.name: one.source for one in planned}
    trials = engine_named(kv_named(named([trial for one in planned for trial in one.trials])))
    reference = reference_of(settings.baseline, trials)
    ordered = [reference, *(trial for trial in trials if trial is not reference)]
    alike = {name for name, source in sources.items() if reads_alike(source, sources[reference.model])}
    apart = [name for name in sources if name not in alike]
    notes = [note for one in planned for note in one.notes]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One model's own trials, the baseline's first; the opened model; and what is left out, as sentences."""

    trials: list[Trial]
    source: ModelSource
    notes: tuple[str, ...]


def plan_model(
    settings: RunSettings, *, beside_others: bool = False, unused: list[UsageError] | None = None
) -> Planned:
    """One model's own trials, with each engine that was asked for.

    An option without effect is refused, or joins `unused` where a list is given.
    """
    check_machine(settings)
    names = DEFAULT_METHODS if settings.methods == AUTO else settings.methods
    check_methods(names)
    check_revision(settings)
    engines = resolve_engines(settings)
    elsewhere = runs_elsewhere(settings)
    device = settings.load.device if elsewhere else resolve_device(settings.load.device)
    if not elsewhere:
        check_available(names, device)
    named = settings.baseline if len(engines) == 1 and AT not in (settings.baseline or "") else None
    resolve_baseline(named, names)
    dtype = resolve_dtype(settings.load.dtype, device)
    find_model(settings.model, revision=settings.revision)  # a wrong one is said before anything else
    tasks, harness = resolve_tasks(settings), resolve_harness(settings)
    source = open_source(settings.model, revision=settings.revision, seed=settings.generation.seed)
    check_readable(settings, source, tasks)
    asked = beside(settings.methods, is_quantized(source)) if beside_others else settings.methods
    runs = runs_of_engines(settings, source, engines, asked)
    pairs = [pair for one in runs for pair in one.engines.items()]
    check_own_engine(settings, pairs)
    use = Situation(device=device, runs=tuple(pairs), tasks=tasks, harness=tuple(harness))
    note_unused(settings, use, unused)
    check_positions(settings, source)
    resolved = settings.changed(device=device, dtype=dtype)
    if not elsewhere and not beside_others:
        check_room(runs, source, resolved)
    protocols = resolve_protocols(settings, source, tasks)
    digests = {task.name: task.data_sha256 for task in tasks} | harness
    base = base_trial(resolved.changed(protocols=protocols), source, digests)
    baseline = resolve_baseline(named, tuple(dict.fromkeys(method for method, _ in pairs)))
    ordered = sorted(pairs, key=lambda pair: pair[0] != baseline)
    values = {engine: server_values(settings, source, tasks, protocols, engine) for _, engine in pairs}
    formats = sorted((name.kv for name in settings.load.kv), key=lambda kv: kv is not None) or [None]
    trials = [
        base.changed(
            method=name,
            quantizers=versions_of(METHODS.get(name), coded=kv is not None),
            engine=engine,
            kv=kv,
            **values[engine],
        )
        for name, engine in ordered
        for kv in formats
    ]
    trials = kv_named(trials)
    return Planned(trials=trials, source=source, notes=tuple(note for one in runs for note in one.notes))


def runs_elsewhere(settings: RunSettings) -> bool:
    """Whether trials run on GPUs of a cluster, which need not be this machine's: they look for themselves."""
    return settings.execution.executor is Executor.RAY and settings.load.device.startswith("cuda")


def note_unused(settings: RunSettings, use: Situation, unused: list[UsageError] | None) -> None:
    """Refuse an option without effect, or keep what is said of it in the list where one is given."""
    try:
        check_unused(settings, use)
    except UsageError as error:
        if unused is None:
            raise
        unused.append(error)


def runs_of_engines(
    settings: RunSettings,
    source: ModelSource,
    engines: Sequence[Engine],
    asked: tuple[str, ...],
) -> list[Runs]:
    """What each engine runs of a model."""
    if len(engines) == 1:
        return [runs_of(settings, source, engines[0], asked)]
    return runs_of_several(settings, source, engines, asked)


def beside(methods: tuple[str, ...], quantized: bool) -> tuple[str, ...]:
    """A model's own methods in a table of several: a quantized one runs as stored, no other does."""
    if quantized:
        return AUTO
    return tuple(name for name in methods if name != STORED) or methods


def base_trial(settings: RunSettings, source: ModelSource, digests: Mapping[str, str]) -> Trial:
    """The settings as a Trial of this opened model; its method and that one's engine are still to be set.

    `digests` tells the tasks' content by their names.
    """
    budget_s = settings.speed.speed_budget_s / PASSES_A_ROUND
    return Trial(
        model=settings.model,
        revision=source.revision,
        method="",
        load=load_of(settings),
        evaluation=settings.evaluation.changed(tasks=tuple(digests)),
        task_digests=tuple(digests.values()),
        text_digests=text_digests(settings),
        generation=settings.generation,
        speed=settings.speed.changed(speed_budget_s=budget_s),
        arrivals=settings.arrivals,
        distance=settings.distance,
        likelihood=settings.likelihood,
    )


def text_digests(settings: RunSettings) -> tuple[str, ...]:
    """What identifies the content of files of text: a changed file makes another trial."""
    texts = {
        "text": settings.distance.text,
        "perplexity": settings.likelihood.perplexity,
        "calibration": settings.load.calibration,
    }
    return tuple(
        f"{name} {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
        for name, path in texts.items()
        if path is not None
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
