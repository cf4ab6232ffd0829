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
    from quantbench.settings import Engine
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
            cells = (name, method.scheme or "by matrix", runs, method.description)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)
        console.print(Text("\n" + option_lines()), soft_wrap=True)

    listed = [listing(name, reason) for name, reason in reasons.items()]
    told = {}
    if support:
        engine = Engine(support.engine).shown
        told = {"model": settings.model, "engine": engine, "summary": support.sentence}
    out.give({"device": where, **told, "methods": listed}, show)
    return 0


def option_lines() -> str:
    """What methods take behind a colon, a line each."""
    from quantbench.methods.names import OPTIONS

    lines = ["Options stand behind a colon, as in int4:g=32,head=16:"]
    for method, options in OPTIONS.items():
        taken = "; ".join(f"{option.usage} {option.what}" for option in options)
        lines.append(f"  {method}  {taken}")
    return "\n".join(lines)


def listing(name: str, reason: str | None) -> dict[str, object]:
    """A method as a value: what it is, and why it does not run."""
    from quantbench.methods import METHODS
    from quantbench.methods.names import OPTIONS

    method = METHODS[name]
    options = {option.key: list(option.parts) for option in OPTIONS.get(name, ())}
    what = {"name": name, "scheme": method.scheme, "description": method.description, "options": options}
    return {**what, "runs": reason is None, "reason": reason}
