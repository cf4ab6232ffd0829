"""`quantbench audit`: how every matrix is held and multiplied, of a results folder or of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from quantbench.output import Output
from quantbench.settings.commands import AuditSettings

if TYPE_CHECKING:
    from quantbench.records import HeldKind

Held = list[tuple[str, tuple["HeldKind", ...]]]  # method -> its matrices by kind


def audit(settings: AuditSettings, out: Output, err: Console) -> int:
    """Show how every matrix is held and what multiplies it, of measured records or of a model.

    Example: quantbench audit model.gguf
    """
    from quantbench.report.formats.console import print_table
    from quantbench.report.sections.setup import kernel_table, storage_table
    from quantbench.selection import is_results

    held = held_of_records(settings, err) if is_results(Path(settings.subject)) else held_of_model(settings)
    document = {label: [kind.model_dump() for kind in kinds] for label, kinds in held}

    def show(console: Console) -> None:
        print_table("What is held how", storage_table(held), console)
        print_table("What multiplies it", kernel_table(held), console)

    out.give({"held": document}, show)
    return 0


def held_of_records(settings: AuditSettings, err: Console) -> Held:
    """Each method's own account in a results folder; StoreError where no record has one."""
    from quantbench import api
    from quantbench.errors import StoreError, UsageError

    if settings.method is not None:
        raise UsageError("--method has no effect here: a results folder holds its own methods; leave it out")
    rows = api.load(settings.subject, console=err).analysis.results.rows
    held = [(row.label, row.record.storage) for row in rows if row.record.storage]
    if not held:
        raise StoreError(
            f"no record in '{settings.subject}' says how its matrices are held; run `quantbench run` again"
        )
    return held


def held_of_model(settings: AuditSettings) -> Held:
    """A model loaded under one method, after its first run."""
    from quantbench.measure import audit as account
    from quantbench.methods import METHODS, check_fits
    from quantbench.methods.names import own_name
    from quantbench.planning.refusals import check_available
    from quantbench.planning.resolving import resolve_device, resolve_dtype
    from quantbench.settings import Engine, LoadSettings
    from quantbench.sources import open_source
    from quantbench.support import AUTO, measurable, support_of

    device = resolve_device(settings.device)
    asked = AUTO if settings.method is None else (own_name(settings.method, METHODS),)
    if settings.method is not None:
        check_available(asked, device)
    source = open_source(settings.subject)
    support = support_of(source, "auto")
    method = measurable(asked, support)[0][0]
    check_fits(METHODS[method], source, device)
    load = LoadSettings(
        device=device,
        dtype=resolve_dtype("auto", device),
        engine=Engine(support.engine_of(method) or support.engine),
    )
    decoder = METHODS[method].load(source, load).decoder
    list(decoder.score([(0, 1)]))
    return [(method, account(decoder, source))]
