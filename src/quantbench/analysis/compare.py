"""Two results folders of the same model, figure by figure: what really changed between them.

A change is real when it is beyond the noise of both runs and, for speed and memory, larger than a
tolerance, one for all. Runs on different days differ by more than their own passes show: where the machine
itself read memory faster or slower, changes of speed up to that share count as the machine's. What is missing
or failed in the new folder is lost, and fails a gate like a regression.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from quantbench.analysis.comparison.comparisons import ALPHA, Comparison, Verdict
from quantbench.analysis.comparison.exact_tests import memory_verdict, size_verdict
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, Metric
from quantbench.analysis.comparison.paired import pair_scores
from quantbench.analysis.comparison.pairing import can_be_paired
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.speed_changes import DECODE, SpeedChange, speed_changes
from quantbench.analysis.comparison.speed_tests import NEGLIGIBLE
from quantbench.analysis.figures.scores import Score
from quantbench.analysis.figures.speeds import MedianEstimate
from quantbench.analysis.formatting import chance, one_line, significant
from quantbench.settings import Engine
from quantbench.stats import holm
from quantbench.units import show_seconds

TOLERANCE = NEGLIGIBLE  # of speed and memory


class Kind(StrEnum):
    """Shown as it is."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    SAME = "no real change"
    UNDECIDED = "not decided"
    UNKNOWN = "not comparable"
    LOST = "lost"


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
class Changes:
    """`notes` say what differs between the folders apart from the figures."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    @property
    def failures(self) -> tuple[Difference, ...]:
        """What a gate fails for: real regressions, and what the new folder does not have any more."""
        return tuple(entry for entry in self.differences if entry.kind in (Kind.REGRESSION, Kind.LOST))


def compare_results(old: Rows, new: Rows, tolerance: float | None = None) -> Changes:
    """All figures that both have; `tolerance` overrides TOLERANCE. ValueError for different models."""
    if old.model_name != new.model_name:
        raise ValueError(f"the folders hold different models, {old.model_name} and {new.model_name}")
    before = {row.label: row for row in old.rows}
    both = [(before[row.label], row) for row in new.rows if row.label in before]
    share = TOLERANCE if tolerance is None else tolerance
    machine = machine_change(old, new) if tolerance is None else 0.0
    return Changes(
        differences=(
            *_lost(old, new),
            *(entry for pair in both for entry in _bytes_of(*pair, share)),
            *_speeds(both, max(share, machine)),
            *_scores(both),
        ),
        notes=(*_added(old, new), *_circumstances(old, new), *_machine(share, machine)),
    )


def machine_change(old: Rows, new: Rows) -> float:
    """How much faster or slower the machine itself read memory, as a share; 0 where it was not measured."""
    rates = [
        [row.record.bandwidth.read_bytes_per_s for row in results.rows if row.record.bandwidth]
        for results in (old, new)
    ]
    if not all(rates):
        return 0.0
    one, other = (median(found) for found in rates)
    return max(one, other) / min(one, other) - 1


def _bytes_of(old: Row, new: Row, tolerance: float) -> Iterator[Difference]:
    yield from _bytes(SIZE, old, new, size_verdict(new, old), 0.0)
    yield from _bytes(MEMORY, old, new, memory_verdict(new, old), tolerance)


def _bytes(metric: Metric, old: Row, new: Row, found: Comparison, tolerance: float) -> Iterator[Difference]:
    before, after = metric.value(old), metric.value(new)
    if before is None or after is None:
        return
    kind = _kind(found, abs(after / before - 1) if before else 0.0, tolerance, after < before)
    yield Difference(
        label=new.label,
        figure=metric.name.lower(),
        old=metric.show(before),
        new=metric.show(after),
        kind=kind,
        why=_reason(found, kind, tolerance),
    )


def _reason(found: Comparison, kind: Kind, tolerance: float) -> str:
    """The evidence; where a difference beyond noise is no change, the tolerance that it stays within."""
    if kind is Kind.SAME and found.verdict is Verdict.SIGNIFICANT:
        return f"within the tolerance of {100 * tolerance:.0f} %"
    return found.why


def _speeds(both: Sequence[tuple[Row, Row]], tolerance: float) -> Iterator[Difference]:
    for change, found in speed_changes(both, tolerance):
        one, other = change.estimates
        ratio = 0.0 if one is None or other is None else abs(other.value / one.value - 1)
        kind = _kind(found, ratio, tolerance, (found.difference or 0.0) < 0)
        yield Difference(
            label=change.label,
            figure=f"{change.figure}, {change.new.label}",
            old=_shown(one, change),
            new=_shown(other, change),
            kind=kind,
            why=_reason(found, kind, tolerance),
        )


def _shown(estimate: MedianEstimate | None, change: SpeedChange) -> str:
    if estimate is None:
        return "not measured"
    rate = change.figure == DECODE
    return f"{significant(estimate.value)} tokens/s" if rate else show_seconds(estimate.value)


def _kind(found: Comparison, change: float, tolerance: float, better: bool) -> Kind:
    if found.verdict is Verdict.UNDECIDED:
        return Kind.UNDECIDED
    if found.verdict is Verdict.NOT_SIGNIFICANT or change <= tolerance:
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
        real = p < ALPHA and pair.difference != 0
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


def _lost(old: Rows, new: Rows) -> Iterator[Difference]:
    """Methods and figures of the old folder that the new one lacks, and whatever failed in the new one."""
    after = {row.label: row for row in new.rows}
    for row in new.rows:
        if row.record.failure:
            failure = row.record.failure
            why = f"it failed while in '{failure.stage}': {failure.message}"
            yield _gone(row.label, "the trial", "failed", why)
    for row in old.rows:
        if row.label not in after:
            yield _gone(row.label, "the method", "missing", "the new folder has no record of it")
            continue
        now = _figures(after[row.label])
        for figure in _figures(row):
            if figure not in now:
                yield _gone(row.label, figure, "missing", "only the old folder has it")


def _gone(label: str, figure: str, new: str, why: str) -> Difference:
    return Difference(
        label=label, figure=figure, old="measured", new=new, kind=Kind.LOST, why=one_line(why)[:-1]
    )


def _figures(row: Row) -> list[str]:
    """What a row has a figure for, as it is named where it is lost."""
    found = [metric.name.lower() for metric in (SIZE, MEMORY) if metric.value(row) is not None]
    found += [f"speed at {speed.label}" for speed in row.sweep if speed.decode]
    return found + [f"{score.title} pass@1" for score in row.scores]


def _added(old: Rows, new: Rows) -> Iterator[str]:
    before = [row.label for row in old.rows]
    for row in new.rows:
        if row.label not in before:
            yield f"{row.label} is only in the new folder"
    for row in old.rows:
        if row.record.failure:
            yield f"{row.label} failed in the old folder: {row.record.failure.message}"


def _machine(tolerance: float, machine: float) -> Iterator[str]:
    if machine > tolerance:
        yield (
            f"the machine itself read memory at rates {100 * machine:.0f} % apart, so changes of speed up to "
            "that share count as the machine's; --tolerance sets another limit"
        )


def _circumstances(old: Rows, new: Rows) -> Iterator[str]:
    """What else differs: settings, machine, driver, libraries, commit."""
    if not old.rows or not new.rows:
        return
    for name in ("engine", "dtype", "threads", "batch_invariant", "kv"):
        before, after = (results.rows[0].record.trial.flat()[name] or "default" for results in (old, new))
        if before != after:
            told = [value.shown if isinstance(value, Engine) else value for value in (before, after)]
            yield f"{name} differs: {told[0]} then, {told[1]} now"
    one, other = old.rows[0].record.environment, new.rows[0].record.environment
    for name in ("gpu", "driver", "cuda", "cpu", "cores", "commit"):
        before, after = getattr(one, name), getattr(other, name)
        if before != after:
            yield f"{name} differs: {before} then, {after} now"
    for package in sorted(one.packages.keys() | other.packages.keys()):
        versions = [environment.packages.get(package, "none") for environment in (one, other)]
        if versions[0] != versions[1]:
            yield f"{package} differs: {versions[0]} then, {versions[1]} now"
