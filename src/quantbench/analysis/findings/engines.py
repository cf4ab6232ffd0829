"""Engines side by side: what each server says of itself, and the same checkpoint in two engines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.distance import MethodDistance
from quantbench.analysis.comparison.metrics import MEMORY, SPEED, Metric
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.figures.step_parts import headline_point
from quantbench.analysis.formatting import ratio
from quantbench.records import Agreement, Served

NEAR_TIE = 0.5  # nats: what rounding of activations to 8 bits moves
OTHER_WEIGHTS = 0.5  # nats: more than what 4 bits change
SAME = 0.03  # of the server's own time: within it client and server agree


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTimes:
    """A served row's headline in seconds, at the client and by the server; None is not told."""

    label: str
    served: Served
    ttft_s: float | None
    tpot_s: float | None
    own_ttft_s: float | None
    own_tpot_s: float | None
    http_ttft_s: float | None  # of a server without a model
    http_token_s: float | None
    cache_used_bytes: int | None  # of the cache that it has set aside

    @property
    def surplus(self) -> float | None:
        """What the client's time per token is more than the server's own, as a share of that."""
        if self.tpot_s is None or not self.own_tpot_s:
            return None
        return self.tpot_s / self.own_tpot_s - 1

    @property
    def agrees(self) -> bool | None:
        """Whether both time a token alike; None where the server does not say."""
        return None if self.surplus is None else abs(self.surplus) <= SAME


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePair:
    """One checkpoint under one method in two engines; each field is a phrase."""

    one: str
    other: str
    speed: str
    memory: str
    distance: str | None  # None: neither is the baseline
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """What the section on engines shows."""

    servers: tuple[ServerTimes, ...]
    pairs: tuple[EnginePair, ...]


def compare_engines(results: Rows, distances: Sequence[MethodDistance]) -> Engines:
    """Every served row, and every two rows that differ in their engine alone."""
    servers = tuple(times for row in results.rows if (times := server_times(row)))
    far = {found.label: found for found in distances}
    pairs = tuple(
        pair_of(results, one, other, far.get(other.label) if one.is_baseline else None)
        for one, other in same_checkpoints(results)
    )
    return Engines(servers=servers, pairs=pairs)


def server_times(row: Row) -> ServerTimes | None:
    """A served row's times; None for an engine in the trial's own process."""
    served = row.record.served
    if served is None:
        return None
    point = headline_point(row) or next(iter(row.record.speed), None)
    steps = point.new_tokens - 1 if point else 0
    told = point is not None and steps > 0

    def middle(values: tuple[float, ...], parts: int = 1) -> float | None:
        return median(values) / parts if values else None

    return ServerTimes(
        label=row.label,
        served=served,
        ttft_s=middle(point.ttft_s) if point else None,
        tpot_s=middle(point.decode_s, steps) if point and told else None,
        own_ttft_s=middle(point.server_ttft_s) if point else None,
        own_tpot_s=middle(point.server_decode_s, steps) if point and told else None,
        http_ttft_s=middle(served.http_ttft_s),
        http_token_s=middle(served.http_token_s),
        cache_used_bytes=row.record.memory.cache_bytes if row.record.memory else None,
    )


def same_checkpoints(results: Rows) -> Iterator[tuple[Row, Row]]:
    """Rows of one model and method in unlike engines."""
    for one, other in combinations(results.rows, 2):
        first, second = one.record.trial, other.record.trial
        same = (first.model, first.revision, first.method) == (second.model, second.revision, second.method)
        if same and first.load.engine != second.load.engine:
            yield one, other


def pair_of(results: Rows, one: Row, other: Row, found: MethodDistance | None) -> EnginePair:
    """Two rows in words; what differs says only what the tests of this report show."""
    return EnginePair(
        one=one.label,
        other=other.label,
        speed=compared(results, SPEED, one, other),
        memory=compared(results, MEMORY, one, other),
        distance=distance_words(found),
        answers=tuple(answers_of(one, other)),
    )


def distance_words(found: MethodDistance | None) -> str | None:
    """The mean divergence, and the doubt that a large one raises; None where it was not measured."""
    if found is None or found.mean_kl is None:
        return None
    mean = found.mean_kl.value
    text = f"KL {mean:.2g} nats a token"
    if mean < OTHER_WEIGHTS:
        return text
    return f"{text}, more than engines of the same weights differ by: see whether both have the same model"


def compared(results: Rows, metric: Metric, one: Row, other: Row) -> str:
    """The other's figure as a multiple of the one's, and whether that difference is real."""
    first, second = metric.value(one), metric.value(other)
    if first is None or second is None:
        missing = one if first is None else other
        disturbed = metric is SPEED and missing.disturbed_speed is not None
        why = "was disturbed by other programs" if disturbed else "is missing"
        return f"not known: that of {missing.label} {why}"
    found = results.compare(metric.key, other, one)
    said = {
        Verdict.SIGNIFICANT: "a real difference",
        Verdict.NOT_SIGNIFICANT: "no difference is shown",
        Verdict.UNDECIDED: "not decided",
    }[found.verdict]
    return f"{ratio(second, first)} ({metric.show(second)} against {metric.show(first)}): {said}, {found.why}"


def answers_of(one: Row, other: Row) -> Iterator[str]:
    """How far the greedy answers agree, task by task."""
    found = [
        agreement
        for row, rival in ((one, other), (other, one))
        for agreement in row.record.agreements
        if agreement.row == rival.label
    ]
    if not found:
        yield "not compared: no greedy answers of both"
    for agreement in found:
        yield agreement_words(agreement)


def agreement_words(found: Agreement) -> str:
    """'HumanEval: 38 of 40 identical; the other 2 part from token 12 on, 1 of 2 at a near tie'."""
    text = f"{task_title(found.task)}: {found.identical} of {found.answers} identical"
    if not found.partings:
        return text
    first = min(parting.token for parting in found.partings)
    others = "one parts" if len(found.partings) == 1 else f"{len(found.partings)} part"
    text += f"; the other {others} from token {first + 1} on"
    told = [parting.margin for parting in found.partings if parting.margin is not None]
    if not told:
        return f"{text}; by what margin is not known"
    near = sum(margin < NEAR_TIE for margin in told)
    text += f", {near} of {len(told)} at a near tie (less than {NEAR_TIE:g} nats between both tokens)"
    if near < len(told):
        text += f", the clearest by {max(told):.2f} nats"
    return text
