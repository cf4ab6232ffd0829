"""`quantbench methods`: what can run here, or of a model, and why the rest cannot."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from quantbench.output import Output
from quantbench.settings.commands import MethodsSettings


def methods(settings: MethodsSettings, out: Output, err: Console) -> int:
    """List the methods: what can run here, or of a model, and why the rest cannot.

    Example: quantbench methods --device cuda:0
    """
    from quantbench.methods import METHODS
    from quantbench.planning.resolving import resolve_device
    from quantbench.sources import open_source
    from quantbench.support import support_of

    where = resolve_device(settings.device)
    support = support_of(open_source(settings.model), "auto") if settings.model else None
    reasons = {
        name: method.unavailable(where) or (support.unsupported_reason(name) if support else None)
        for name, method in METHODS.items()
    }

    def show(console: Console) -> None:
        if support:
            console.print(f"{support.sentence}.\n", highlight=False, markup=False, soft_wrap=True)
        table = Table("Method", "Scheme", f"On {where}", "What it is", box=None, pad_edge=False)
        for name, reason in reasons.items():
            method = METHODS[name]
            runs = "yes" if reason is None else f"no: {reason}"
            cells = (name, method.scheme or "as stored", runs, method.description)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)

    listed = [listing(name, reason) for name, reason in reasons.items()]
    told = {"model": settings.model, "engine": support.engine, "summary": support.sentence} if support else {}
    out.give({"device": where, **told, "methods": listed}, show)
    return 0


def listing(name: str, reason: str | None) -> dict[str, object]:
    """A method as a value: what it is, and why it does not run."""
    from quantbench.methods import METHODS

    method = METHODS[name]
    what = {"name": name, "scheme": method.scheme, "description": method.description}
    return {**what, "runs": reason is None, "reason": reason}
