"""What a decode step's time consists of, from the same step with more rows and at a longer context.

A step of B rows at context c is taken as fixed + B * (row + c * position): more rows show the second term, a
longer context the third. Reading the weights is part of what is fixed; what it takes follows from the rate at
which a buffer of their size was read. Each part has an interval, from those of the times that it comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.analysis.figures.row import Row, read_point
from quantbench.analysis.figures.speeds import Speed, estimate
from quantbench.records import Bandwidth, SpeedPoint
from quantbench.stats import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """One measured step: seconds with their interval, rows, and the context at the middle of the decode."""

    seconds: float
    interval: Interval
    rows: int
    context: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Seconds of a step with their interval; None where the experiment is missing."""

    seconds: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A step's time in parts, seconds. `reading_s` is what its weights take at the best rate measured."""

    step: Timed
    reading_s: float
    weight_bytes: int
    rate: float  # bytes a second of that reading
    from_cache: bool  # that rate is well above the memory's
    rows: Part | None  # grows with the rows and not with the context
    context: Part | None  # grows with the context

    @property
    def outrun(self) -> bool:
        """Whether the step read its weights faster than any probe."""
        return self.reading_s > self.step.seconds

    @property
    def rest(self) -> Part | None:
        """Neither reading nor rows nor context; None where an experiment is missing."""
        if self.rows is None or self.context is None:
            return None
        step, parts = self.step, (self.rows, self.context)
        value = step.seconds - self.reading_s - sum(part.seconds for part in parts)
        low = step.interval.low - self.reading_s - sum(part.interval.high for part in parts)
        high = step.interval.high - self.reading_s - sum(part.interval.low for part in parts)
        return Part(seconds=max(0.0, value), interval=Interval(max(0.0, low), max(0.0, high)))


CACHED = 1.3  # times the memory's rate: above it a cache held what was read


def parts_of(row: Row) -> Parts | None:
    """The parts of the headline's step; None where its time, its bytes or the bandwidth are missing."""
    point, bandwidth = headline_point(row), row.record.bandwidth
    step = timed(point) if point else None
    if point is None or step is None or bandwidth is None or not point.step_weight_bytes:
        return None
    experiments = (read_point(other, row.record) for other in row.record.experiments)
    clean = [other for speed, other in experiments if speed.disturbed is None]
    others = [found for other in (*row.points, *clean) if (found := timed(other))]
    context = context_part(step, others)
    rate = step_rate(bandwidth)
    return Parts(
        step=step,
        reading_s=point.step_weight_bytes / rate,
        weight_bytes=point.step_weight_bytes,
        rate=rate,
        from_cache=rate > CACHED * bandwidth.read_bytes_per_s,
        rows=row_part(step, context, others),
        context=context,
    )


def headline_point(row: Row) -> SpeedPoint | None:
    """The raw times behind the row's headline speed, without disturbed repetitions."""
    speed: Speed | None = row.speed
    if speed is None:
        return None
    wanted = (speed.batch_size, speed.prompt_tokens)
    points = [p for p in row.points if (p.batch_size, p.prompt_tokens) == wanted and p.decode_s]
    return points[0] if points else None


def step_rate(bandwidth: Bandwidth) -> float:
    """Bytes a second at which as many bytes as a step's weights were read; else those of the memory."""
    return max(bandwidth.step_bytes_per_s or 0.0, bandwidth.read_bytes_per_s)


def timed(point: SpeedPoint) -> Timed | None:
    """A point's step; None without a time."""
    steps = point.new_tokens - 1
    found = estimate([s / steps for s in point.decode_s if s > 0], point.round_of) if steps > 0 else None
    if found is None:
        return None
    return Timed(
        seconds=found.value,
        interval=found.interval or Interval(found.value, found.value),
        rows=point.batch_size,
        context=point.prompt_tokens + point.new_tokens / 2,
    )


def context_part(step: Timed, others: Sequence[Timed]) -> Part | None:
    """From the same rows at the longest context that is at least half as long again."""
    longer = [other for other in others if other.rows == step.rows and other.context > 1.5 * step.context]
    if not longer:
        return None
    other = max(longer, key=lambda found: found.context)
    return _scaled(step, other, step.context / (other.context - step.context))


def row_part(step: Timed, context: Part | None, others: Sequence[Timed]) -> Part | None:
    """From the fewest further rows at about the same context, without what the context of a row costs."""
    near = [o for o in others if o.rows > step.rows and abs(o.context - step.context) < 0.5 * step.context]
    if not near:
        return None
    found = _scaled(step, min(near, key=lambda o: o.rows), step.rows)
    if context is None:
        return found
    return Part(
        seconds=max(0.0, found.seconds - context.seconds),
        interval=Interval(
            max(0.0, found.interval.low - context.interval.high),
            max(0.0, found.interval.high - context.interval.low),
        ),
    )


def _scaled(step: Timed, other: Timed, factor: float) -> Part:
    """What the step has of the difference to another one; `factor` rows or tokens over those between them."""
    if other.rows != step.rows:
        factor /= other.rows - step.rows
    value = factor * (other.seconds - step.seconds)
    low = factor * (other.interval.low - step.interval.high)
    high = factor * (other.interval.high - step.interval.low)
    return Part(seconds=max(0.0, value), interval=Interval(max(0.0, low), max(0.0, high)))
