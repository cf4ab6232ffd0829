"""The commands that decide: `recommend` picks a method within limits, `compare` gates on real changes."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from quantbench.analysis import Results
from quantbench.analysis.choose import Limits, choose
from quantbench.analysis.compare import compare_results
from quantbench.analysis.rows import read_results
from quantbench.commands import load_records
from quantbench.errors import UsageError, unknown
from quantbench.output import Output, plain
from quantbench.units import parse_bytes, parse_seconds

FAIL_ON = ("regression", "never")
Parsed = TypeVar("Parsed", int, float)
MOST_RECOVERY = 2.0  # twice the baseline's pass@1: more is a percentage


def recommend(folder: Path, limits: Limits, *, out: Output, err: Console) -> int:
    """`quantbench recommend`: 0 when a method meets the limits, 1 when none does."""
    from quantbench.report.decisions import print_choice

    choice = choose(load_results(folder, err), limits)
    out.give({"limits": limits} | plain(choice), lambda console: print_choice(choice, console))
    return 0 if choice.label is not None else 1


def compare(old: Path, new: Path, *, fail_on: str, tolerance: float | None, out: Output, err: Console) -> int:
    """`quantbench compare`: 1 when a figure got worse or was lost and `fail_on` is 'regression', else 0."""
    from quantbench.report.decisions import print_comparison

    if fail_on not in FAIL_ON:
        raise UsageError(unknown("value of --fail-on", fail_on, FAIL_ON))
    if tolerance is not None and not 0 <= tolerance < 1:
        raise UsageError("--tolerance is a share from 0 to 1; 0.03 is three per cent")
    try:
        comparison = compare_results(load_results(old, err), load_results(new, err), tolerance)
    except ValueError as error:
        raise UsageError(f"{error}; compare runs of one model") from error
    status = 1 if fail_on == "regression" and comparison.failures else 0
    document = plain(comparison) | {"failed": bool(status)}
    out.give(document, lambda console: print_comparison(comparison, console))
    return status


def read_limits(
    max_memory: str | None,
    max_size: str | None,
    max_ttft: str | None,
    min_speed: float | None,
    min_recovery: float | None,
) -> Limits:
    """The options of `recommend` as limits; UsageError for a quantity that cannot be read or be meant."""
    if min_speed is not None and not 0 < min_speed < inf:
        raise UsageError("--min-speed must be a positive number of tokens per second, as in 20")
    if min_recovery is not None and not 0 < min_recovery <= MOST_RECOVERY:
        raise UsageError("--min-recovery is a share of the baseline's pass@1: 0.97 is 97 per cent")
    return Limits(
        max_memory_bytes=_parsed("--max-memory", max_memory, parse_bytes, "2GB"),
        max_size_bytes=_parsed("--max-size", max_size, parse_bytes, "500MB"),
        max_ttft_s=_parsed("--max-ttft", max_ttft, parse_seconds, "200ms"),
        min_speed=min_speed,
        min_recovery=min_recovery,
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


def load_results(folder: Path, err: Console) -> Results:
    """The rows of a results folder's last run; StoreError says what is wrong with it."""
    return read_results(*load_records(folder, err))
