"""`quantbench recommend`: pick a method within limits."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from quantbench.errors import UsageError
from quantbench.output import Output, plain
from quantbench.settings.commands import RecommendSettings
from quantbench.units import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from quantbench.analysis.choose import Limits

Parsed = TypeVar("Parsed", int, float)


def recommend(settings: RecommendSettings, out: Output, err: Console) -> int:
    """Pick a method within limits from measured records, and say why each other one falls out.

    Exit status: 0 when a method meets the limits, 1 when none does.

    Example: quantbench recommend results/builtin --max-memory 2GB --min-recovery 0.97
    """
    limits = read_limits(settings)
    from quantbench import api
    from quantbench.report.decisions import print_choice

    choice = api.load(settings.folder, console=err).recommend(limits)
    out.give({"limits": limits} | plain(choice), lambda console: print_choice(choice, console))
    return 0 if choice.label is not None else 1


def read_limits(settings: RecommendSettings) -> "Limits":
    """The options as limits; UsageError for a quantity that cannot be read or be meant."""
    from quantbench.analysis.choose import Limits

    return Limits(
        max_memory_bytes=_parsed("--max-memory", settings.max_memory, parse_bytes, "2GB"),
        max_size_bytes=_parsed("--max-size", settings.max_size, parse_bytes, "500MB"),
        max_ttft_s=_parsed("--max-ttft", settings.max_ttft, parse_seconds, "200ms"),
        min_speed=settings.min_speed,
        min_recovery=settings.min_recovery,
    )


def _parsed(option: str, text: str | None, parse: Callable[[str], Parsed], example: str) -> Parsed | None:
    if text is None:
        return None
    try:
        value = parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}, as in {example}") from error
    if not value:
        raise UsageError(f"{option} must be more than nothing, as in {example}")
    return value
