"""Tasks of lm-eval: each metric with its interval over items, and paired with the baseline's item by item.

Metrics of 0 and 1 are compared by McNemar's exact test, others by a paired t test over items; log-likelihoods
by their sums over words or bytes. All comparisons of a report's lm-eval tasks are corrected together (Holm).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import exp, log

from quantbench.analysis.comparison.comparisons import ALPHA
from quantbench.analysis.comparison.pairing import MCNEMAR
from quantbench.analysis.comparison.rows import Rows
from quantbench.harness_record import Aggregation, HarnessMetric, HarnessResult
from quantbench.stats import (
    Interval,
    exponential_of_ratio,
    holm,
    mcnemar_exact,
    paired_difference_interval,
    ratio_of_sums,
    ratio_t_test,
    wilson_interval,
)

PAIRED_T = "paired t"


class HarnessVerdict(StrEnum):
    """What the pairs allow to be said; shown as it is."""

    BETTER = "better"
    WORSE = "worse"
    DIFFERENT = "different"  # lm-eval does not say which way is better
    UNDECIDED = "not significantly different"
    UNPAIRED = "not compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessPair:
    """A method against the baseline; a perplexity's `change` is a ratio, every other's a difference."""

    change: float
    interval: Interval | None  # of the change, 95 %
    won: int | None  # items whose value is greater; None where values are log-likelihoods
    lost: int | None
    test: str
    p: float | None  # None with too few items
    adjusted_p: float | None  # corrected for all comparisons of lm-eval's tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessScore:
    """One method's value of one metric; `pair` is None for the baseline and where items do not match."""

    label: str
    result: HarnessResult
    metric: HarnessMetric
    interval: Interval | None  # over items, 95 %
    is_baseline: bool
    pair: HarnessPair | None = None

    @property
    def is_ratio(self) -> bool:
        """Whether changes of it are told as ratios."""
        return self.metric.aggregation is Aggregation.PERPLEXITY

    @property
    def verdict(self) -> HarnessVerdict:
        pair = self.pair
        if pair is None or pair.adjusted_p is None:
            return HarnessVerdict.UNPAIRED
        if pair.adjusted_p >= ALPHA:
            return HarnessVerdict.UNDECIDED
        if self.metric.higher_is_better is None:
            return HarnessVerdict.DIFFERENT
        greater = pair.change > (1 if self.is_ratio else 0)
        return HarnessVerdict.BETTER if greater == self.metric.higher_is_better else HarnessVerdict.WORSE


def harness_scores(results: Rows) -> tuple[HarnessScore, ...]:
    """Every metric of every lm-eval task: task by task, method by method."""
    found = []
    for row in results.rows:
        for result in row.record.harness:
            for metric in result.metrics:
                score = HarnessScore(
                    label=row.label,
                    result=result,
                    metric=metric,
                    interval=metric_interval(metric),
                    is_baseline=row.is_baseline,
                )
                found.append(replace(score, pair=pair_of(score, results)))
    tasks = list(dict.fromkeys(score.result.task for score in found))
    return corrected(sorted(found, key=lambda score: tasks.index(score.result.task)))


def corrected(scores: Sequence[HarnessScore]) -> tuple[HarnessScore, ...]:
    """The same with Holm's correction over all p-values."""
    known = [score.pair.p for score in scores if score.pair and score.pair.p is not None]
    adjusted = iter(holm(known))
    return tuple(
        replace(score, pair=replace(score.pair, adjusted_p=next(adjusted)))
        if score.pair and score.pair.p is not None
        else score
        for score in scores
    )


def pair_of(score: HarnessScore, results: Rows) -> HarnessPair | None:
    """The comparison with the baseline; None where there is none, or its items are others."""
    baseline = results.baseline
    if baseline is None or score.is_baseline:
        return None
    for result in baseline.record.harness:
        same = result.task == score.result.task and result.items == score.result.items
        if same and result.data_sha256 == score.result.data_sha256:
            for metric in result.metrics:
                if metric.name == score.metric.name:
                    return compared(score.metric, metric)
    return None


def compared(own: HarnessMetric, reference: HarnessMetric) -> HarnessPair | None:
    """Two methods' values of one metric over the same items; None where they do not pair."""
    known = own.values and len(own.values) == len(reference.values) and own.weights == reference.weights
    if not known or own.aggregation is not reference.aggregation:
        return None
    if is_binary(own) and is_binary(reference):
        return compare_binary(own.values, reference.values)
    differences = [a - b for a, b in zip(own.values, reference.values, strict=True)]
    mean, p = ratio_of_sums(differences, weights_of(own)), ratio_t_test(differences, weights_of(own))
    plain = own.aggregation is Aggregation.MEAN
    return HarnessPair(
        change=shown(mean.value, own.aggregation),
        interval=shown_interval(mean.interval, own.aggregation),
        won=sum(difference > 0 for difference in differences) if plain else None,
        lost=sum(difference < 0 for difference in differences) if plain else None,
        test=PAIRED_T,
        p=p,
        adjusted_p=p,
    )


def compare_binary(own: Sequence[float], reference: Sequence[float]) -> HarnessPair:
    """McNemar's test, and Tango's interval of the difference."""
    won = sum(a > b for a, b in zip(own, reference, strict=True))
    lost = sum(a < b for a, b in zip(own, reference, strict=True))
    p = mcnemar_exact(won, lost)
    return HarnessPair(
        change=(won - lost) / len(own),
        interval=paired_difference_interval(won, lost, len(own)),
        won=won,
        lost=lost,
        test=MCNEMAR,
        p=p,
        adjusted_p=p,
    )


def metric_interval(metric: HarnessMetric) -> Interval | None:
    """95 % over items: Wilson's for 0 and 1, Student's t otherwise; None without items."""
    if not metric.values:
        return None
    if is_binary(metric):
        return wilson_interval(round(sum(metric.values)), len(metric.values))
    if metric.aggregation is Aggregation.PERPLEXITY:
        return exponential_of_ratio([-value for value in metric.values], weights_of(metric)).interval
    mean = ratio_of_sums(metric.values, weights_of(metric)).interval
    return shown_interval(mean, metric.aggregation)


def is_binary(metric: HarnessMetric) -> bool:
    """Whether every item is right or wrong."""
    return metric.aggregation is Aggregation.MEAN and set(metric.values) <= {0.0, 1.0}


def weights_of(metric: HarnessMetric) -> list[float]:
    """Words or bytes by item, 1 where an item counts once."""
    return list(metric.weights) or [1.0] * len(metric.values)


def shown(mean: float, kind: Aggregation) -> float:
    """A mean of log-likelihoods, or of their differences, as the metric shows it."""
    if kind is Aggregation.PERPLEXITY:
        return exp(-mean)
    return -mean / log(2) if kind is Aggregation.BITS else mean


def shown_interval(interval: Interval | None, kind: Aggregation) -> Interval | None:
    """Its ends likewise, in order."""
    if interval is None:
        return None
    ends = sorted((shown(interval.low, kind), shown(interval.high, kind)))
    return Interval(ends[0], ends[1])
