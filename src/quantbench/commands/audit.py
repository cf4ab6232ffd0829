"""`quantbench audit`: how every matrix is held and multiplied, of a results folder or of a model."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from quantbench.output import Output
from quantbench.settings.commands import AuditSettings

if TYPE_CHECKING:
    from quantbench.analysis import MemoryPart
    from quantbench.records import HeldKind, HeldPlace

Held = list[tuple[str, tuple["HeldKind", ...]]]  # method -> its matrices by kind
Parts = list[tuple[str, tuple["MemoryPart", ...]]]  # method -> its memory
Places = list[tuple[str, tuple["HeldPlace", ...]]]  # method -> its devices, where they are several


def audit(settings: AuditSettings, out: Output, err: Console) -> int:
    """Show how every matrix is held, what multiplies it and where memory goes, of records or of a model.

    Example: quantbench audit model.gguf
    """
    from quantbench.report.formats.console import print_table
    from quantbench.report.sections.setup import kernel_table, memory_table, place_table, storage_table
    from quantbench.selection import is_results

    measured = is_results(Path(settings.subject))
    held, memory, places = held_of_records(settings, err) if measured else held_of_model(settings, err)
    document = {label: [kind.model_dump() for kind in kinds] for label, kinds in held}
    parts = {label: [asdict(part) for part in parts] for label, parts in memory}
    spread = {label: [place.model_dump() for place in own] for label, own in places}

    def show(console: Console) -> None:
        print_table("What is held how", storage_table(held), console)
        print_table("What multiplies it", kernel_table(held), console)
        if places:
            print_table("Which device holds what", place_table(places), console)
        if memory:
            print_table("Where the memory went", memory_table(memory), console)

    out.give({"held": document, "memory": parts, "places": spread}, show)
    return 0


def held_of_records(settings: AuditSettings, err: Console) -> tuple[Held, Parts, Places]:
    """Each method's own account in a results folder; StoreError where no record has one."""
    from quantbench import api
    from quantbench.errors import StoreError, UsageError
    from quantbench.report.sections.setup import memory_of, places_in

    for option, given in (("--method", settings.method), ("--device", settings.device)):
        if given not in (None, "auto"):
            raise UsageError(f"{option} has no effect here: a results folder holds its own; leave it out")
    rows = api.load(settings.subject, console=err).analysis.results.rows
    held = [(row.label, row.record.storage) for row in rows if row.record.storage]
    if not held:
        raise StoreError(
            f"no record in '{settings.subject}' says how its matrices are held; run `quantbench run` again"
        )
    return held, memory_of(rows), places_in(rows)


def held_of_model(settings: AuditSettings, err: Console) -> tuple[Held, Parts, Places]:
    """A model loaded under one method, after its first run; its memory is that of this run."""
    from quantbench.analysis import memory_parts
    from quantbench.measure import MemoryMeter, measure_size, warm_up
    from quantbench.measure import audit as account
    from quantbench.methods import METHODS, check_fits
    from quantbench.methods.names import own_name
    from quantbench.planning.refusals import check_available
    from quantbench.planning.resolving import resolve_device, resolve_dtype
    from quantbench.settings import Engine, LoadSettings, SpeedSettings
    from quantbench.sources import open_source
    from quantbench.support import AUTO, measurable, support_of

    device = resolve_device(settings.device)
    asked = AUTO if settings.method is None else (own_name(settings.method, METHODS),)
    if settings.method is not None:
        check_available(asked, device)
    source = open_source(settings.subject)
    support = support_of(source, "auto")
    method = measurable(asked, support)[0][0]
    load = LoadSettings(
        device=device,
        dtype=resolve_dtype("auto", device),
        engine=Engine(support.engine_of(method) or support.engine),
    )
    check_fits(method, source, load, SpeedSettings(prompt_tokens=(4,), new_tokens=2))  # the first run's
    meter = MemoryMeter(device)
    loaded = METHODS[method].load(source, load)
    for sentence in (*source.warnings, *loaded.warnings):
        err.print(f"note: {sentence}", highlight=False, markup=False, soft_wrap=True)
    decoder = loaded.decoder
    meter.loaded()
    warm_up(decoder)
    memory = memory_parts(meter.finish(decoder), measure_size(decoder, source).weight_bytes)
    return [(method, account(decoder, source))], [(method, memory)], []
