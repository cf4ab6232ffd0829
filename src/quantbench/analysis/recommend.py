"""Which method meets a user's limits, and why each other one falls out.

Among those that meet every limit the fastest is chosen, and of those not significantly different from it the
smallest. A limit whose figure was not measured is not met. Where an interval straddles a limit the figure
decides, and the doubt is said. Without a limit on the recovery no method with a proven loss beyond the usual
tolerance fits.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

from quantbench.analysis.comparison.losses import TOLERATED, losses_of, quality_known
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED, Lead, find_lead
from quantbench.analysis.comparison.paired import pair_scores
from quantbench.analysis.comparison.pairing import can_be_paired
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.speed_tests import NEGLIGIBLE
from quantbench.analysis.figures.scores import Score
from quantbench.analysis.formatting import ratio, significant
from quantbench.stats import Interval
from quantbench.units import listed, show_bytes, show_seconds

Show = Callable[[float], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What a method must keep; None is no limit."""

    max_memory_bytes: int | None = None  # the report's memory figure
    max_size_bytes: int | None = None  # resident weights
    max_ttft_s: float | None = None
    min_speed: float | None = None  # decode tokens/s at the headline point
    min_recovery: float | None = None  # share of the baseline's pass@1, on every task

    @property
    def any(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One limit against one method: the sentence says the figure and the limit."""

    met: bool
    sure: bool  # the figure's interval lies on one side of the limit
    text: str
    loss: bool = False  # the usual tolerance of losses, which nobody asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    label: str
    checks: tuple[Check, ...]

    @property
    def meets_all(self) -> bool:
        return all(check.met for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The chosen method (None: no method meets the limits), the reason, and every candidate."""

    label: str | None
    reason: str
    candidates: tuple[Candidate, ...]


def choose(results: Rows, limits: Requirements) -> Choice:
    """Check every row, then pick."""
    candidates = {
        row.label: Candidate(label=row.label, checks=tuple(_checks(row, results, limits)))
        for row in results.rows
        if row.measured
    }
    fitting = [row for row in results.rows if row.label in candidates and candidates[row.label].meets_all]
    label, reason = _pick(fitting, results, limits)
    if label is None:
        reason += _only_lossy(candidates.values())
    else:
        reason += _doubts(candidates[label], results)
    return Choice(label=label, reason=reason, candidates=tuple(candidates.values()))


def _doubts(chosen: Candidate, results: Rows) -> str:
    """What is met only in doubt, and that quality was not measured."""
    doubts = [check.text for check in chosen.checks if not check.sure]
    text = f"; only in doubt: {listed(doubts)}" if doubts else ""
    return text if quality_known(results) else f"{text}; what it costs in quality is not known"


def _only_lossy(candidates: Iterable[Candidate]) -> str:
    """Which methods fall out for a proven loss alone, and how to take one all the same."""
    lossy = [
        c.label for c in candidates if (m := [k for k in c.checks if not k.met]) and all(k.loss for k in m)
    ]
    if not lossy:
        return ""
    return f"; but for a proven loss {listed(lossy)} would: --min-recovery sets how much of it you accept"


def _pick(fitting: list[Row], results: Rows, limits: Requirements) -> tuple[str | None, str]:
    if not fitting:
        return None, "no measured method meets the limits"
    meets = "meets every limit" if limits.any else "no limit was given"
    if len(fitting) == 1:
        return fitting[0].label, "the only method that meets every limit" if limits.any else meets
    lead = find_lead(SPEED, results, fitting)
    if lead is None:
        smallest = min(fitting, key=lambda row: SIZE.value(row) or float("inf"))
        return smallest.label, f"{meets}; the smallest of those that fit, as no speed can be used"
    if lead.unsure:
        return lead.best.label, f"{meets}; {_not_decided(lead, results)}"
    pool = (lead.best, *lead.tied)
    best = min(pool, key=lambda row: SIZE.value(row) or float("inf"))
    speed = SPEED.show(SPEED.value(best) or 0.0)
    if len(pool) == 1:
        return best.label, f"{meets}; the fastest of those that fit ({speed})"
    rest = listed([row.label for row in pool if row is not best])
    alike = f"its speed ({speed}) differs by less than {100 * NEGLIGIBLE:.0f} % from that of {rest}"
    return best.label, f"{meets}; {alike}, and it is the smallest of them"


def _not_decided(lead: Lead, results: Rows) -> str:
    """The figure decides, and what is not known is said."""
    rest = listed([row.label for row in lead.unsure])
    why = results.compare(SPEED.key, lead.best, lead.unsure[0]).why
    return (
        f"the highest speed of those that fit ({SPEED.show(lead.value)}), not decided against {rest}: {why}"
    )


def _checks(row: Row, results: Rows, limits: Requirements) -> Iterator[Check]:
    if limits.max_memory_bytes is not None:
        yield _at_most("memory", MEMORY.value(row), limits.max_memory_bytes, _bytes)
    if limits.max_size_bytes is not None:
        yield _at_most("size", SIZE.value(row), limits.max_size_bytes, _bytes)
    speed = row.speed
    if limits.max_ttft_s is not None:
        ttft = speed.ttft_s if speed else None
        interval = ttft.range_of_another_run if ttft else None
        yield _at_most("TTFT", ttft.value if ttft else None, limits.max_ttft_s, show_seconds, interval)
    if limits.min_speed is not None:
        decode = speed.decode if speed else None
        interval = decode.range_of_another_run if decode else None
        yield _at_least("speed", decode.value if decode else None, limits.min_speed, _rate, interval)
    if limits.min_recovery is not None:
        yield from _recovery(row, results, limits.min_recovery)
    else:
        yield from _tolerance(row, results)


def _tolerance(row: Row, results: Rows) -> Iterator[Check]:
    """Losses that matter without a limit of the user's: proven ones beyond the tolerance, doubtful ones."""
    for loss in losses_of(row, results):
        if loss.refused():
            yield Check(met=False, sure=True, text=f"{loss.text}, a proven loss", loss=True)
        elif loss.proven:
            yield Check(met=True, sure=True, text=f"{loss.text}, a proven loss that is tolerated", loss=True)
        elif loss.recovery < TOLERATED:
            yield Check(met=True, sure=False, text=f"{loss.text}, a loss not proven", loss=True)


def _recovery(row: Row, results: Rows, least: float) -> Iterator[Check]:
    if not results.tasks:
        yield Check(met=False, sure=True, text="recovery not measured: no task was run")
    baseline = results.baseline
    for task in results.tasks:
        own, reference = row.score(task), baseline.score(task) if baseline else None
        name = f"recovery on {task}"
        if own is None or reference is None or not reference.pass_at_1:
            yield Check(met=False, sure=True, text=f"{name} not measured")
            continue
        share = own.pass_at_1 / reference.pass_at_1
        interval = None if row.is_baseline else _recovery_interval(own, reference)
        yield _at_least(name, share, least, _share, interval)


def _recovery_interval(own: Score, reference: Score) -> Interval | None:
    """The paired interval of the difference, as a share of the baseline's score."""
    if not can_be_paired(own, reference):
        return Interval(own.interval.low / reference.pass_at_1, own.interval.high / reference.pass_at_1)
    change = pair_scores("", own, reference).interval
    if change is None:
        return None
    return Interval(1 + change.low / reference.pass_at_1, 1 + change.high / reference.pass_at_1)


def _at_most(
    name: str, value: float | None, most: float, show: Show, interval: Interval | None = None
) -> Check:
    if value is None:
        return Check(met=False, sure=True, text=f"{name} not measured")
    met = value <= most
    sure = interval is None or not (interval.low <= most < interval.high)
    return Check(met=met, sure=sure, text=f"{name} {show(value)} {'≤' if met else '>'} {show(most)}")


def _at_least(
    name: str, value: float | None, least: float, show: Show, interval: Interval | None = None
) -> Check:
    if value is None:
        return Check(met=False, sure=True, text=f"{name} not measured")
    met = value >= least
    sure = interval is None or not (interval.low < least <= interval.high)
    return Check(met=met, sure=sure, text=f"{name} {show(value)} {'≥' if met else '<'} {show(least)}")


def _bytes(value: float) -> str:
    return show_bytes(int(value))


def _rate(value: float) -> str:
    return f"{significant(value)} tokens/s"


def _share(value: float) -> str:
    return ratio(value, 1.0).removesuffix("×")
