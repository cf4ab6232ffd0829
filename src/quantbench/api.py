"""The Python API: measure a model, or open a results folder; the command line is a thin user of it.

import quantbench

results = quantbench.run("builtin", methods="fp16,int8", tasks="quickeval")
results = quantbench.load("results/builtin")
quantbench.export("./my-model", method="int4-sym-head16", format="compressed-tensors")
"""

import os
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from quantbench.errors import QuantbenchError, StoreError, UsageError
from quantbench.leftovers import remove_old_report, set_aside_samples
from quantbench.plan import Plan
from quantbench.results import Results
from quantbench.selection import default_folder, load_selection, write_plan
from quantbench.settings import Format, RunSettings, merge_files, options_text, read_settings
from quantbench.settings.commands import ExportSettings
from quantbench.store import DamagedLine, Store, clear_running, has_records
from quantbench.sweep import Sweep, is_sweep

if TYPE_CHECKING:
    from quantbench.executors.processes import ForkServer

__all__ = [
    "QuantbenchError",
    "Results",
    "Sweep",
    "export",
    "export_as",
    "load",
    "load_sweep",
    "measure",
    "run",
    "sweep",
]


def run(model: str = "builtin", *, console: Console | None = None, **options: Any) -> Results:
    """Measure a model under each method, write the report, and return what was measured.

    `options` are those of `quantbench run`, by the same names (docs/api.md lists them): `methods="fp16,int8"`
    or `methods=["fp16", "int8"]`. Progress goes to `console`, by default to the terminal's standard error.
    What was measured before is not measured again. A trial that failed is in the results with its reason.

    Raises a QuantbenchError, one sentence that names the fix, for what cannot work.
    """
    settings = read_settings(RunSettings, merge_files(RunSettings, {"model": model, **options}))
    if settings.own_baselines:
        raise UsageError("run() measures one table; sweep() measures many models with their own baselines")
    named = ", ".join([repr(model), *(f"{name}={value!r}" for name, value in options.items())])
    with signals_kept():
        results = measure(settings, command=f"quantbench.run({named})", console=console)
    assert isinstance(results, Results)
    return results


def sweep(*, console: Console | None = None, **options: Any) -> Sweep:
    """Measure many models, each with its own baseline, and write a report each and one over all.

    `options` are those of `run`: `plan="sweep.yaml"`, or `model=..., models=[...], methods=[...]`.
    """
    given = {**options, "own_baselines": True}
    settings = read_settings(RunSettings, merge_files(RunSettings, given))
    named = ", ".join(f"{name}={value!r}" for name, value in options.items())
    with signals_kept():
        results = measure(settings, command=f"quantbench.sweep({named})", console=console)
    assert isinstance(results, Sweep)
    return results


run.__doc__ = f"{run.__doc__}\n    Options:\n{options_text(RunSettings)}"


def load(folder: str | Path, *, console: Console | None = None) -> Results:
    """The results of a folder's last run; StoreError says what is wrong with the folder.

    Of a sweep, `load_sweep` gives all models, and this one of them: `load("results/sweep/models/NAME")`.

    Damaged lines, and trials that were planned and have no record, are said on `console`.
    """
    err = console or Console(stderr=True)
    selected, damaged = load_selection(Path(folder))
    warn_damaged(damaged, err)
    for label in selected.missing:
        warn(
            f"{label} was planned and has no readable record in '{folder}'; `quantbench run` measures it", err
        )
    return Results.of(selected, Path(folder), tell=lambda sentence: warn(sentence, err))


def export(model: str, *, console: Console | None = None, **options: Any) -> Path:
    """Write a model under a method as a checkpoint that transformers, vLLM or llama.cpp load; its folder.

    `options` are those of `quantbench export`: `method="int8-head16", format="compressed-tensors"`. Every
    weight has exactly the value that the method gives it. Raises a QuantbenchError, one sentence that names
    the fix, where a format cannot say it; then nothing is left behind.
    """
    return export_as(read_settings(ExportSettings, {"model": model, **options}), console=console)


export.__doc__ = f"{export.__doc__}\n    Options:\n{options_text(ExportSettings)}"


def export_as(settings: ExportSettings, *, console: Console | None = None) -> Path:
    """`export` with settings that are read already; notes go to `console`."""
    from quantbench.exporting import export_model, find_measured, read_asked

    asked = read_asked(settings)
    measured = None
    if settings.results is not None:
        found = load(settings.results, console=console)
        measured = find_measured(found.analysis, asked.made, settings.results)
    return export_model(asked, measured)


def load_sweep(folder: str | Path, *, console: Console | None = None) -> Sweep:
    """The models of a folder's last sweep; StoreError says what is wrong with the folder."""
    err = console or Console(stderr=True)
    if not is_sweep(Path(folder)):
        raise StoreError(f"'{folder}' holds no sweep; load() opens the results of one run")
    return Sweep.load(Path(folder), tell=lambda sentence: warn(sentence, err))


def measure(settings: RunSettings, *, command: str, console: Console | None = None) -> Results | Sweep:
    """`run` with settings that are read already; `command` is what the records say was typed."""
    from quantbench.executors.processes import ForkServer
    from quantbench.planning import place

    if settings.dry_run:
        raise UsageError("run() measures; `quantbench run --dry-run` prints the plan alone")
    err = console or Console(stderr=True)
    store = Store(settings.output.output_dir or output_folder(settings))
    with ForkServer() as server:
        if settings.execution.alone and not has_records(store.folder):  # let trials' imports begin
            server.start()
        else:
            server.close()
        settings = place(settings)
        plan = make_plan(settings, err)
        if settings.execution.alone:
            import_report(settings.output.format)
        store.create()
        with store.locked():
            write_plan(plan, store.folder)
            execute(plan, store, settings, command, err, server)
            return reported(store.folder, settings.output.format, err)


def import_report(formats: Collection[Format]) -> None:
    """Import what the report will be drawn with while trials' imports run: later it would cost a second.

    What its statistics import, too, where a core is left over for it.
    """
    if (os.cpu_count() or 1) > 2:
        import scipy.special  # noqa: F401
    if Format.MD in formats:
        import quantbench.report.charts.bars
        import quantbench.report.charts.heatmap
    if Format.HTML in formats:
        import quantbench.report.formats.page  # noqa: F401


def output_folder(settings: RunSettings) -> Path:
    """results/MODEL, of a sweep results/PLAN or results/sweep."""
    if not settings.own_baselines:
        return default_folder(settings.model)
    return default_folder(settings.plan.stem if settings.plan else "sweep")


def reported(folder: Path, formats: Collection[Format], err: Console) -> Results | Sweep:
    """The results of a run that has ended, with its report written and old answers set aside."""
    found: Results | Sweep
    if is_sweep(folder):
        found = load_sweep(folder, console=err)
        found.write(formats)
        set_aside_samples(folder, (record for own in found.each() for record in own.records))
    else:
        found = load(folder, console=err)
        set_aside_samples(folder, found.records)
        found.write(formats)
    remove_old_report(folder, found.written, tuple(Format))
    return found


def make_plan(settings: RunSettings, err: Console) -> Plan:
    """The plan of a run; what is left out is said."""
    from quantbench.planning import build_plan

    plan, _ = build_plan(settings)
    for note in plan.notes:
        err.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
    return plan


def execute(
    plan: Plan, store: Store, settings: RunSettings, command: str, err: Console, server: "ForkServer"
) -> None:
    """Run the plan's missing trials where the settings say, shown on the terminal."""
    from quantbench.executors import Job, open_pool
    from quantbench.executors.interruption import Interruption
    from quantbench.runner import OneByOne, walk_plan
    from quantbench.sandbox.verdicts import verdicts_kept
    from quantbench.terminal import RunDisplay

    names = {trial.id: plan.name_of(trial) for trial in plan.trials}
    clear_running(store.folder)
    with Interruption() as interruption, RunDisplay(err, names, store.folder) as display:
        job = Job(
            folder=store.folder,
            command=command,
            names=names,
            models=frozenset(trial.model for trial in plan.trials),
            display=display,
            interruption=interruption,
            server=server,
        )
        with verdicts_kept(store.folder), open_pool(settings.execution, job) as pool:
            several = OneByOne(pool) if callable(pool) else pool
            walk_plan(plan, store, several, display)


@contextmanager
def signals_kept() -> Iterator[None]:
    """Whatever a run does with signals, a session that goes on after it has its own handlers again."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def warn_damaged(damaged: Sequence[DamagedLine], err: Console) -> None:
    """One line for each line of the store that was skipped."""
    for line in damaged:
        warn(f"records.jsonl line {line.number} is damaged and was skipped: {line.reason}", err)


def warn(sentence: str, err: Console) -> None:
    """A sentence in yellow."""
    err.print(sentence, style="yellow", highlight=False, markup=False, soft_wrap=True)
