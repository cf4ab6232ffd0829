"""Two results folders of the same model, figure by figure: what really changed between them.

A change is real when it is beyond the noise of both runs and, for speed and memory, larger than a
tolerance. Intervals within one round do not know how a machine drifts from one run to the next: two runs
of the same code on a shared CPU were 10 to 20 % apart. Speeds of a single round get a wide tolerance. What
is missing on one side, or was measured otherwise, is said and never counted as a change.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from quantbench.analysis.metrics import MEMORY, SIZE, Metric
from quantbench.analysis.noise import SIGNIFICANT, Call, Verdict, compare_estimates
from quantbench.analysis.paired import pair_scores
from quantbench.analysis.pairing import can_be_paired
from quantbench.analysis.rows import Results, Row
from quantbench.analysis.scores import Score
from quantbench.analysis.speeds import Estimate, Speed
from quantbench.analysis.wording import chance, significant
from quantbench.stats import holm
from quantbench.units import show_seconds

TOLERANCE = 0.03  # of memory, and of speeds over several rounds
SINGLE_ROUND_CPU = 0.25  # of speeds measured in one round
SINGLE_ROUND_GPU = 0.05


class Kind(StrEnum):
    """Shown as it is."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    SAME = "no real change"
    UNKNOWN = "not comparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of one method; old and new are as they are shown."""

    label: str
    figure: str
    old: str
    new: str
    kind: Kind
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`notes` say what differs between the folders apart from the figures."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Difference, ...]:
        return tuple(entry for entry in self.differences if entry.kind is Kind.REGRESSION)


def compare_results(old: Results, new: Results, tolerance: float | None = None) -> Comparison:
    """All figures that both have; `tolerance` overrides those above. ValueError for different models."""
    if old.model_name != new.model_name:
        raise ValueError(f"the folders hold different models, {old.model_name} and {new.model_name}")
    before = {row.label: row for row in old.rows}
    both = [(before[row.label], row) for row in new.rows if row.label in before]
    differences = [entry for pair in both for entry in _figures(*pair, tolerance)]
    return Comparison(
        differences=(*differences, *_scores(both)),
        notes=(*_missing(old, new), *_circumstances(old, new), *_single_rounds(both, tolerance)),
    )


def speed_tolerance(old: Row, new: Row) -> float:
    """What two runs of the same code may be apart, by how both were measured."""
    if min(rounds_of(old), rounds_of(new)) > 1:
        return TOLERANCE
    devices = {str(row.record.trial.get("device", "")) for row in (old, new)}
    return SINGLE_ROUND_CPU if "cpu" in devices else SINGLE_ROUND_GPU


def rounds_of(row: Row) -> int:
    """The fewest rounds that any of the row's speeds were measured in."""
    return min((len(set(point.round_of)) or 1 for point in row.record.speed), default=1)


def _figures(old: Row, new: Row, asked: float | None) -> Iterator[Difference]:
    yield from _bytes(SIZE, old, new, 0.0)
    yield from _bytes(MEMORY, old, new, TOLERANCE if asked is None else asked)
    tolerance = speed_tolerance(old, new) if asked is None else asked
    points = {_place(speed): speed for speed in old.sweep}
    for speed in new.sweep:
        before = points.get(_place(speed))
        if before is None:
            continue
        yield _speed(f"decode, {speed.label}", new.label, before.decode, speed.decode, tolerance, rate=True)
        yield _speed(f"TTFT, {speed.label}", new.label, before.ttft_s, speed.ttft_s, tolerance, rate=False)


def _place(speed: Speed) -> tuple[int, int, int]:
    return speed.batch_size, speed.prompt_tokens, speed.new_tokens


def _bytes(metric: Metric, old: Row, new: Row, tolerance: float) -> Iterator[Difference]:
    before, after = metric.value(old), metric.value(new)
    if before is None or after is None:
        return
    verdict = metric.compare(new, old)
    lower = after < before
    kind = _kind(verdict, abs(after / before - 1) if before else 0.0, tolerance, lower)
    yield Difference(
        label=new.label,
        figure=metric.name.lower(),
        old=metric.show(before),
        new=metric.show(after),
        kind=kind,
        why=_reason(verdict, kind, tolerance),
    )


def _reason(verdict: Verdict, kind: Kind, tolerance: float) -> str:
    """The evidence; where a difference beyond noise is no change, the tolerance that it stays within."""
    if kind is Kind.SAME and verdict.call is Call.APART:
        return f"within the tolerance of {100 * tolerance:.0f} %"
    return verdict.why


def _speed(
    figure: str, label: str, old: Estimate | None, new: Estimate | None, tolerance: float, *, rate: bool
) -> Difference:
    verdict = compare_estimates(new, old)
    change, better = 0.0, False
    if old is not None and new is not None:
        change = abs(new.value / old.value - 1)
        better = (new.value > old.value) is rate
    kind = _kind(verdict, change, tolerance, better)
    return Difference(
        label=label,
        figure=figure,
        old=_shown(old, rate),
        new=_shown(new, rate),
        kind=kind,
        why=_reason(verdict, kind, tolerance),
    )


def _shown(estimate: Estimate | None, rate: bool) -> str:
    if estimate is None:
        return "not measured"
    return f"{significant(estimate.value)} tokens/s" if rate else show_seconds(estimate.value)


def _kind(verdict: Verdict, change: float, tolerance: float, better: bool) -> Kind:
    if verdict.call is Call.UNKNOWN:
        return Kind.UNKNOWN
    if verdict.call is Call.TOGETHER or change <= tolerance:
        return Kind.SAME
    return Kind.IMPROVEMENT if better else Kind.REGRESSION


def _scores(both: Iterable[tuple[Row, Row]]) -> list[Difference]:
    """pass@1, paired problem by problem; Holm over all of them."""
    pairs = [
        (new.label, old_score, score)
        for old, new in both
        for score in new.scores
        if (old_score := old.score(score.task)) is not None
    ]
    same = [
        (label, old, new) for label, old, new in pairs if can_be_paired(new, old) and _same_task(old, new)
    ]
    found = [pair_scores(label, new, old) for label, old, new in same]
    adjusted = holm([pair.p for pair in found])
    differences = []
    for (label, old, new), pair, p in zip(same, found, adjusted, strict=True):
        better = pair.difference > 0
        real = p < SIGNIFICANT and pair.difference != 0
        kind = Kind.SAME if not real else Kind.IMPROVEMENT if better else Kind.REGRESSION
        why = f"{pair.gained} problems won, {pair.lost} lost, {pair.test} after Holm {chance(p)}"
        differences.append(_score(label, old.pass_at_1, new.pass_at_1, new.title, kind, why))
    for label, old, new in pairs:
        if (label, old, new) not in same:
            why = "other problems, prompt protocol or temperature"
            differences.append(_score(label, old.pass_at_1, new.pass_at_1, new.title, Kind.UNKNOWN, why))
    return differences


def _same_task(old: Score, new: Score) -> bool:
    one, other = old.result, new.result
    return (one.data_sha256, one.protocol, one.temperature) == (
        other.data_sha256,
        other.protocol,
        other.temperature,
    )


def _score(label: str, old: float, new: float, title: str, kind: Kind, why: str) -> Difference:
    return Difference(
        label=label, figure=f"{title} pass@1", old=f"{old:.3f}", new=f"{new:.3f}", kind=kind, why=why
    )


def _missing(old: Results, new: Results) -> Iterator[str]:
    before, after = ([row.label for row in results.rows] for results in (old, new))
    for label in before:
        if label not in after:
            yield f"{label} is only in the old folder"
    for label in after:
        if label not in before:
            yield f"{label} is only in the new folder"
    for name, results in (("old", old), ("new", new)):
        for row in results.rows:
            if row.record.failure:
                yield f"{row.label} failed in the {name} folder: {row.record.failure.message}"


def _single_rounds(both: Iterable[tuple[Row, Row]], asked: float | None) -> Iterator[str]:
    wide = [speed_tolerance(old, new) for old, new in both if old.speed and new.speed]
    if asked is None and wide and max(wide) > TOLERANCE:
        yield (
            f"speeds were measured in one round, so changes up to {100 * max(wide):.0f} % count as drift; "
            "run both with --rounds 3 to see smaller ones"
        )


def _circumstances(old: Results, new: Results) -> Iterator[str]:
    """What else differs: settings, machine, driver, libraries, commit."""
    if not old.rows or not new.rows:
        return
    for name in ("engine", "dtype", "threads", "batch_invariant"):
        before, after = (results.rows[0].record.trial.get(name) or "default" for results in (old, new))
        if before != after:
            yield f"{name} differs: {before} then, {after} now"
    one, other = old.rows[0].record.environment, new.rows[0].record.environment
    for name in ("gpu", "driver", "cuda", "cpu", "cores", "commit"):
        before, after = getattr(one, name), getattr(other, name)
        if before != after:
            yield f"{name} differs: {before} then, {after} now"
    for package in sorted(one.packages.keys() | other.packages.keys()):
        versions = [environment.packages.get(package, "none") for environment in (one, other)]
        if versions[0] != versions[1]:
            yield f"{package} differs: {versions[0]} then, {versions[1]} now"
