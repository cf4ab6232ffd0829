"""Perplexity of a text, and its ratio to the baseline's over the same windows."""

from dataclasses import dataclass

from quantbench.analysis.comparison.rows import Rows
from quantbench.records import Perplexity, Record
from quantbench.stats import Interval, exponential_of_ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPerplexity:
    """One method under one convention; `ratio` to the baseline with a 95 % interval over windows."""

    label: str
    measured: Perplexity
    value: float
    ratio: float | None
    interval: Interval | None


def perplexities(results: Rows) -> tuple[TextPerplexity, ...]:
    """Every method under each convention, convention by convention."""
    baseline = results.baseline
    found = []
    for row in results.rows:
        for own in row.record.perplexity:
            reference = None if baseline is None or row.is_baseline else _same(own, baseline.record)
            found.append(_compared(row.label, own, reference))
    order = list(dict.fromkeys(entry.measured.convention for entry in found))
    return tuple(sorted(found, key=lambda entry: order.index(entry.measured.convention)))


def losses(own: Perplexity) -> list[float]:
    """The weighted loss of each window, nats."""
    parts = zip(own.nll, own.counted, own.weights, strict=True)
    return [nll / counted * weight for nll, counted, weight in parts]


def _same(own: Perplexity, record: Record) -> Perplexity | None:
    """The record's perplexity over the same windows of the same text."""
    for other in record.perplexity:
        facts = [(p.convention, p.text, p.window, p.stride, p.counted) for p in (own, other)]
        if facts[0] == facts[1]:
            return other
    return None


def _compared(label: str, own: Perplexity, reference: Perplexity | None) -> TextPerplexity:
    weights = [float(weight) for weight in own.weights]
    value = exponential_of_ratio(losses(own), weights).value
    if reference is None:
        return TextPerplexity(label=label, measured=own, value=value, ratio=None, interval=None)
    differences = [a - b for a, b in zip(losses(own), losses(reference), strict=True)]
    ratio = exponential_of_ratio(differences, weights)
    return TextPerplexity(label=label, measured=own, value=value, ratio=ratio.value, interval=ratio.interval)
