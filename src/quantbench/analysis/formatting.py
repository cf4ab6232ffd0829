"""Figures and lists of names as sentences hold them. Decides nothing."""

from collections.abc import Sequence
from math import exp, floor, log, log10

from quantbench.stats import Interval

MISSING = "—"
FARTHEST = 10.0  # how many times as much is told as a number


def significant(value: float, digits: int = 3) -> str:
    """`digits` significant figures without an exponent: `0.348`, `40.0`, `1,234`."""
    if value == 0:
        return "0"
    places = digits - 1 - floor(log10(abs(value)))
    return f"{value:,.{max(0, places)}f}"


def ratio(value: float, reference: float) -> str:
    """`0.50×`; a third place where two would hide a difference from 1."""
    share = value / reference
    short = f"{share:.2f}"
    return f"{share:.3f}×" if short == "1.00" and share != 1 else f"{short}×"


def signed(value: float) -> str:
    """One decimal with its sign: `+1.2`, `−3.0`."""
    return f"{value:+.1f}".replace("-", "−")


def share_interval(interval: Interval) -> str:
    """A range of shares: `0.279 to 0.423`."""
    return f"{interval.low:.3f} to {interval.high:.3f}"


def factors(logarithms: Interval) -> str:
    """A range of factors by their logarithms: `0.93 to 1.20`; beyond FARTHEST times no number is told."""
    low, high = logarithms.low, logarithms.high
    first = f"{exp(low):.2f}" if low >= -log(FARTHEST) else f"less than {1 / FARTHEST:g}"
    last = f"{exp(high):.2f}" if high <= log(FARTHEST) else f"more than {FARTHEST:g}"
    return f"{first} to {last}"


def differ(rows: Sequence[object]) -> str:
    """The verb for one row or several."""
    return "differs" if len(rows) == 1 else "differ"


def lower_first(name: str) -> str:
    """A metric's name inside a sentence; names such as HumanEval keep their capitals."""
    return name if any(letter.isupper() for letter in name[1:]) else name[0].lower() + name[1:]


def one_line(text: str) -> str:
    """A message as one sentence on one line."""
    line = " ".join(text.split())
    return line if line.endswith((".", "!", "?")) else f"{line}."


def counted(count: int, noun: str) -> str:
    """`1 problem`, `2 problems`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def chance(p: float) -> str:
    """A p-value: `p = 0.03`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {significant(p, 2)}"
