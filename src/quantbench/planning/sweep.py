"""Many models, each with a baseline, floor and passes of its own: models x methods x tasks x batch sizes.

A sweep's trials are those that the models' own runs would have, so that what either measured counts for both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from quantbench.errors import QuantbenchError, TaskError, UsageError, unknown
from quantbench.methods import METHODS
from quantbench.methods.names import own_names
from quantbench.plan import Group, Plan, Trial
from quantbench.planning.build import plan_model, trials_of
from quantbench.planning.models import engine_named
from quantbench.planning.refusals import check_once
from quantbench.planning.resolving import AUTO, resolve_methods
from quantbench.planning.trials import speed_only
from quantbench.settings import RunSettings
from quantbench.settings.sweep_file import Cell, SweepFile, read_sweep
from quantbench.sources import ModelSource
from quantbench.support import DEFAULT_METHODS
from quantbench.tasks import TASKS

NONE = ("none",)


@dataclass(slots=True, kw_only=True)
class Exclusion:
    """An entry of `exclude`, and whether it has excluded anything."""

    cell: Cell
    used: bool = field(default=False)

    def hits(self, model: str, method: str, *, task: str | None = None, batch: int | None = None) -> bool:
        """Whether it is about this, and about nothing narrower; noted."""
        cell = self.cell
        asked = ((cell.models, model), (cell.methods, method), (cell.tasks, task), (cell.batch_sizes, batch))
        found = all(names is None or value in names for names, value in asked)
        narrower = (task is None and cell.tasks is not None) or (
            batch is None and cell.batch_sizes is not None
        )
        wider = (task is not None and cell.tasks is None) or (batch is not None and cell.batch_sizes is None)
        hit = found and not narrower and not wider
        self.used |= hit
        return hit


def plan_sweep(settings: RunSettings) -> tuple[Plan, ModelSource]:
    """The plan of all models and the first one, opened; a QuantbenchError that names what cannot work."""
    file = read_sweep(settings.plan) if settings.plan else None
    with placed(file, "methods"):
        settings = resolve_methods(settings)
    with placed(file, "tasks"):
        check_tasks(settings.evaluation.tasks)
    include = tuple(with_methods(cell) for cell in file.include) if file else ()
    excluded = [Exclusion(cell=with_methods(cell)) for cell in (file.exclude if file else ())]
    listed = listed_models(settings)
    added = (model for cell in include for model in cell.models or ())
    models = tuple(dict.fromkeys((*listed, *added)))
    names = group_names(models)
    groups, notes, first = [], [], None
    unused: list[UsageError] = []  # what has no effect for a model has for another
    for model in models:
        cells = [cell for cell in include if model in (cell.models or ())]
        if model in listed:
            where = file.where("models", listed.index(model)) if file else f"model '{model}'"
            cells.append(Cell(where=where))
        found = plan_of_one(settings, model, cells, excluded, unused)
        if found is None:
            continue
        trials, source, note = found
        first = first or source
        baseline = trials[0].name
        groups.append(Group(model=model, name=names[model], baseline=baseline, trials=trials))
        notes += [f"{names[model]}: {note}"] if note else []
    check_used(excluded)
    if groups and len(unused) == len(groups):
        raise unused[0]
    if first is None:
        raise UsageError("everything is excluded; leave a model and a method")
    trials = tuple(trial for group in groups for trial in group.trials)
    return Plan(trials=trials, baseline=groups[0].baseline, notes=tuple(notes), groups=tuple(groups)), first


def listed_models(settings: RunSettings) -> tuple[str, ...]:
    """The models of the product; UsageError for one given twice, and for a revision of several."""
    listed = (settings.model, *settings.models) if "model" in settings.given else ()
    check_once(listed)
    if settings.revision is not None:
        raise UsageError("--revision belongs to one model, but several are given; leave it out")
    return listed


def check_used(excluded: Sequence[Exclusion]) -> None:
    """UsageError for an entry of `exclude` that has excluded nothing."""
    for exclusion in excluded:
        if not exclusion.used:
            raise UsageError(f"{exclusion.cell.where} excludes nothing that the sweep has; remove the entry")


def plan_of_one(
    settings: RunSettings,
    model: str,
    cells: Sequence[Cell],
    excluded: Sequence[Exclusion],
    unused: list[UsageError],
) -> tuple[tuple[Trial, ...], ModelSource, str | None] | None:
    """One model's trials, the baseline's first; None where all of them are excluded."""
    asked = settings.methods
    every = tuple(dict.fromkeys(name for cell in cells for name in cell.methods or asked))
    if every == AUTO and any(one.cell.methods for one in excluded):
        every = DEFAULT_METHODS
    methods = tuple(name for name in every if not any(one.hits(model, name) for one in excluded))
    if not methods:
        return None
    tasks = tuple(dict.fromkeys(t for cell in cells for t in cell.tasks or settings.evaluation.tasks))
    tasks = tuple(task for task in tasks if task != "none") or NONE
    sizes = tuple(dict.fromkeys(b for cell in cells for b in cell.batch_sizes or settings.speed.batch_sizes))
    alone = settings.changed(
        model=model, models=(), own_baselines=False, methods=methods, tasks=tasks, batch_sizes=sizes
    )
    try:
        planned = plan_model(alone, beside_others=True, unused=unused)
    except QuantbenchError as error:
        raise type(error)(f"{cells[-1].where}: {error}") from error
    own = engine_named(planned.trials)
    narrowed = [narrow(trial, settings, cells, excluded) for trial in own]
    return trials_of(alone, narrowed), planned.source, "; ".join(planned.notes) or None


def narrow(
    trial: Trial, settings: RunSettings, cells: Sequence[Cell], excluded: Sequence[Exclusion]
) -> Trial:
    """The trial with the tasks and batch sizes that some cell gives its method and nothing takes away."""
    own = [cell for cell in cells if trial.method in (cell.methods or settings.methods)]
    own = own or [cell for cell in cells if cell.methods is None]  # methods chosen for the model, as stored
    model, method, asked = trial.model, trial.method, settings.evaluation.tasks
    tasks = [
        (task, digest)
        for task, digest in zip(trial.evaluation.tasks, trial.task_digests, strict=True)
        if any(task in (cell.tasks or asked) or (cell.tasks is None and asked == AUTO) for cell in own)
        and not any(one.hits(model, method, task=task) for one in excluded)
    ]
    sizes = tuple(
        size
        for size in trial.speed.batch_sizes
        if any(size in (cell.batch_sizes or settings.speed.batch_sizes) for cell in own)
        and not any(one.hits(model, method, batch=size) for one in excluded)
    )
    if not sizes:
        raise UsageError(
            f"all batch sizes of {model} under {method} are excluded; exclude the method instead"
        )
    trial = trial.changed(batch_sizes=sizes)
    if not tasks and trial.evaluation.tasks:
        return speed_only(trial)
    return trial.changed(
        tasks=tuple(task for task, _ in tasks), task_digests=tuple(digest for _, digest in tasks)
    )


def with_methods(cell: Cell) -> Cell:
    """The cell with methods by their own names; UsageError for a method or task that there is not."""
    try:
        methods = own_names(cell.methods, METHODS) if cell.methods else cell.methods
        check_tasks(cell.tasks or ())
    except QuantbenchError as error:
        raise type(error)(f"{cell.where}: {error}") from error
    return replace(cell, methods=methods)


def check_tasks(names: Sequence[str]) -> None:
    """TaskError for a task that there is not."""
    for name in names:
        if name not in (*TASKS, "auto", "none"):
            raise TaskError(unknown("task", name, [*TASKS, "none"]))


@contextmanager
def placed(file: SweepFile | None, key: str) -> Iterator[None]:
    """Errors within the block are those of a key of the file."""
    try:
        yield
    except QuantbenchError as error:
        if file is None or (key,) not in file.lines:
            raise
        raise type(error)(f"{file.where(key)}: {error}") from error


def group_names(models: Sequence[str]) -> dict[str, str]:
    """A name for each model's folder: its last part, or all of it where several have that."""
    last = [PurePath(model).name or model for model in models]
    short = {model: model if last.count(name) > 1 else name for model, name in zip(models, last, strict=True)}
    safe = {
        model: "".join(c if c.isalnum() or c in "-._" else "-" for c in name).strip("-.") or "model"
        for model, name in short.items()
    }
    taken = list(safe.values())
    return {
        model: f"{name}-{number}" if taken.count(name) > 1 else name
        for number, (model, name) in enumerate(safe.items(), start=1)
    }
