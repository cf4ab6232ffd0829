"""Throughput against latency: a row's figures under more and more load, one point a load.

Two kinds of load: so many requests at once, all sent together (a batch sweep), and so many a second, at
random times (a load test). Percentiles are over requests; an engine in the trial's own process times whole
batches, whose rows all count as the slowest one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from quantbench.analysis.figures.arrivals import why_disturbed
from quantbench.analysis.figures.row import Row
from quantbench.records import ArrivalPoint, SpeedPoint
from quantbench.stats import percentile

SHARES = (0.5, 0.99)


class Load(StrEnum):
    """What grows from point to point; shown as it is."""

    CONCURRENCY = "requests at once"
    RATE = "requests a second"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPoint:
    """One load of one row; seconds at SHARES."""

    load: float
    tokens_per_s: float  # new tokens of all requests over the whole time
    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...]
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCurve:
    """One row under one kind of load, the smallest first."""

    label: str
    kind: Load
    points: tuple[LoadPoint, ...]


def load_curves(rows: Sequence[Row]) -> tuple[LoadCurve, ...]:
    """Curves of both kinds; nothing of a kind under which no served row has two points."""
    found = [curve for row in rows for curve in curves_of(row)]
    served = {row.label for row in rows if row.record.served}
    drawn = {curve.kind for curve in found if len(curve.points) > 1 and curve.label in served}
    return tuple(curve for curve in found if curve.kind in drawn)


def curves_of(row: Row) -> Iterator[LoadCurve]:
    """What a row was measured under, at the headline's prompt length."""
    prompt = row.record.trial.speed.prompt_tokens[0]
    swept = [batch_point(p) for p in row.points if p.prompt_tokens == prompt and p.decode_s]
    arrived = [
        arrival_point(point)
        for point in row.record.arrivals
        if point.ttft_s and why_disturbed(row.record, point) is None
    ]
    for kind, points in ((Load.CONCURRENCY, swept), (Load.RATE, arrived)):
        if points:
            ordered = tuple(sorted(points, key=lambda point: point.load))
            yield LoadCurve(label=row.label, kind=kind, points=ordered)


def batch_point(point: SpeedPoint) -> LoadPoint:
    """So many requests at once; the throughput is that of the median repetition."""
    firsts = [s for repetition in point.request_ttft_s for s in repetition] or list(point.ttft_s)
    rests = [s for repetition in point.request_decode_s for s in repetition] or list(point.decode_s)
    tokens = point.batch_size * point.new_tokens
    rates = [tokens / (a + b) for a, b in zip(point.ttft_s, point.decode_s, strict=True)]
    return loaded(point.batch_size, median(rates), firsts, rests, point.new_tokens)


def arrival_point(point: ArrivalPoint) -> LoadPoint:
    """So many requests a second."""
    tokens_per_s = len(point.ttft_s) * point.new_tokens / point.duration_s
    return loaded(point.rate, tokens_per_s, point.ttft_s, point.decode_s, point.new_tokens)


def loaded(
    load: float, tokens_per_s: float, firsts: Sequence[float], rests: Sequence[float], new_tokens: int
) -> LoadPoint:
    """A point from seconds to the first token and from there to the last, an entry a request."""
    steps = max(1, new_tokens - 1)
    return LoadPoint(
        load=load,
        tokens_per_s=tokens_per_s,
        ttft_s=tuple(percentile(firsts, share) for share in SHARES),
        tpot_s=tuple(percentile(rests, share) / steps for share in SHARES),
        requests=len(firsts),
    )
