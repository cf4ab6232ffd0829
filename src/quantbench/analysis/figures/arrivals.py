"""A server under requests at random times: percentiles and goodput of one rate, from its raw times."""

from dataclasses import dataclass

from quantbench.analysis.figures.disturbance import STOLEN, crowded, working_threads
from quantbench.plan import Trial
from quantbench.records import ArrivalPoint, Record
from quantbench.stats import percentile

SHARES = (0.5, 0.9, 0.99)
LATE = 0.5  # of the mean time between two requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """One row at one rate; seconds."""

    label: str
    rate: float  # requests a second that arrive
    answered: float  # requests a second that are answered, over the whole duration
    output_tokens_per_s: float
    requests: int
    failed: int
    ttft_s: tuple[float, ...]  # at SHARES
    tpot_s: tuple[float, ...]
    goodput: float | None  # requests a second within the limits; None without any limit
    late_s: float  # by which a request was sent after its time, at most
    failure: str | None
    disturbed: str | None  # why the figures are not to be relied on, to stand behind 'disturbed:'


def read_arrivals(record: Record) -> tuple[Arrivals, ...]:
    """The rates that a record holds."""
    return tuple(read_point(record, point) for point in record.arrivals)


def read_point(record: Record, point: ArrivalPoint) -> Arrivals:
    """One rate's figures."""
    steps = max(1, point.new_tokens - 1)
    tpot = [seconds / steps for seconds in point.decode_s]
    count = len(point.ttft_s)
    return Arrivals(
        label=record.method,
        rate=point.rate,
        answered=count / point.duration_s,
        output_tokens_per_s=count * point.new_tokens / point.duration_s,
        requests=count + point.failed,
        failed=point.failed,
        ttft_s=tuple(percentile(point.ttft_s, share) for share in SHARES) if count else (),
        tpot_s=tuple(percentile(tpot, share) for share in SHARES) if count else (),
        goodput=goodput(record.trial, point, tpot),
        late_s=point.late_s,
        failure=point.failure,
        disturbed=why_disturbed(record, point),
    )


def why_disturbed(record: Record, point: ArrivalPoint) -> str | None:
    """What kept the server from its cores or this program from sending in time; None: no counter says so."""
    foreign, stolen = point.foreign_cores or 0.0, point.steal_share or 0.0
    if stolen > STOLEN:
        return f"the hypervisor took {100 * stolen:.0f} % of the cores' time"
    if crowded(foreign, working_threads(record), record.environment.cores):
        return f"other programs kept {foreign:.1f} cores busy"
    if point.late_s * point.rate > LATE:
        return f"a request was sent {1000 * point.late_s:.0f} ms after its time"
    return None


def goodput(trial: Trial, point: ArrivalPoint, tpot: list[float]) -> float | None:
    """Requests a second that keep every limit: vLLM's request goodput."""
    ttft_limit, tpot_limit = trial.arrivals.goodput_ttft_s, trial.arrivals.goodput_tpot_s
    if ttft_limit is None and tpot_limit is None:
        return None
    good = sum(
        (ttft_limit is None or first <= ttft_limit) and (tpot_limit is None or each <= tpot_limit)
        for first, each in zip(point.ttft_s, tpot, strict=True)
    )
    return good / point.duration_s
