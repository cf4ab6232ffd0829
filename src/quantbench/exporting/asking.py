"""From what a user asked for to what is written where; refuses early what cannot work."""

from pathlib import Path

from quantbench.errors import UsageError
from quantbench.exporting.fitting import fitting_methods, makes_weights
from quantbench.exporting.write import Asked
from quantbench.methods import METHODS
from quantbench.methods.names import own_name
from quantbench.planning.refusals import check_revision
from quantbench.planning.resolving import resolve_device
from quantbench.selection import default_folder
from quantbench.settings.commands import ExportFormat, ExportSettings
from quantbench.sources import ModelSource, is_quantized, open_source

STORED = "stored"
EXPORTS = Path("exports")  # where folders go that are not named


def read_asked(settings: ExportSettings) -> Asked:
    """The opened model and everything that was left open, decided; a QuantbenchError for what cannot work."""
    if settings.format is None:
        raise UsageError(f"no layout is named; add --format {', '.join(ExportFormat)}")
    device = resolve_device(settings.device)
    named = None if settings.method is None else own_name(settings.method, METHODS)
    check_revision(settings)
    source = open_source(settings.model, revision=settings.revision)
    method = method_of(named, settings.format, source)
    if makes_weights(method) and METHODS[method].unavailable(device) is None and method != STORED:
        where = device
    else:
        where = "cpu"
    name = f"{default_folder(settings.model).name}-{method}-{settings.format}"
    return Asked(
        source=source,
        method=method,
        format=settings.format,
        folder=settings.output_dir or EXPORTS / name,
        device=where,
    )


def method_of(method: str | None, form: ExportFormat, source: ModelSource) -> str:
    """The named method, or what the files hold; UsageError where that is not quantized."""
    if method not in (None, STORED):
        if not makes_weights(method):
            raise UsageError(
                f"the weights of '{method}' are not exported; {form} holds "
                f"{', '.join(fitting_methods(form))} exactly"
            )
        return method
    if not is_quantized(source):
        raise UsageError(
            f"'{source.name}' is not quantized yet; name a --method: {form} holds "
            f"{', '.join(fitting_methods(form))} exactly"
        )
    return STORED
