"""What a method does over several models, and whether it does more to small ones: only with its certainty.

Each model gives one value a method and metric, its change against its own baseline; the models are what was
sampled. The slope is over doublings of the number of parameters. All slopes of one metric are corrected
together (Holm); what is not significant is not thereby absent, and the interval says what remains possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log2

from quantbench.analysis.comparison.comparisons import ALPHA
from quantbench.analysis.formatting import chance
from quantbench.analysis.models.figures import LOSS_EFFECT, SPEED_EFFECT, ModelRow
from quantbench.stats import FEWEST_FOR_SLOPE, Coefficient, Interval, holm, mean_over, slope_over


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodEffect:
    """One method on one metric over the models that have both it and a baseline."""

    metric: str
    method: str
    models: int
    mean: Coefficient | None  # None with fewer than two models
    slope: Coefficient | None  # a doubling of parameters; None with fewer than four models of several sizes
    slope_p: float | None  # corrected

    @property
    def is_ratio(self) -> bool:
        """Whether the effect is the logarithm of a ratio; else a difference of shares."""
        return self.metric in (SPEED_EFFECT, LOSS_EFFECT)

    @property
    def depends_on_size(self) -> bool:
        return self.slope_p is not None and self.slope_p < ALPHA

    @property
    def sentence(self) -> str:
        """What may be said of the method and the size of models."""
        if self.slope is None or self.slope_p is None:
            return f"not known: needs {FEWEST_FOR_SLOPE} models of several sizes, {self.models} have it"
        change = self.shown(self.slope.value, self.slope.interval)
        if not self.depends_on_size:
            return f"no dependence on size shown; a doubling may change it by {change}"
        better = (self.slope.value > 0) is (self.metric != LOSS_EFFECT)
        where = "worse on small models" if better else "worse on large models"
        if self.metric == SPEED_EFFECT:
            where = "gains more on large models" if better else "gains more on small models"
        return f"{where}: {change} a doubling, {chance(self.slope_p)} when corrected"

    def shown(self, value: float, interval: Interval) -> str:
        """An effect with its interval: a factor, or points of a share."""
        parts = (value, interval.low, interval.high)
        if self.is_ratio:
            middle, low, high = (f"{exp(part):.3f}" for part in parts)
            return f"x{middle} [{low}, {high}]"
        middle, low, high = (f"{100 * part:+.1f}" for part in parts)
        return f"{middle} points [{low}, {high}]"


def method_effects(rows: Sequence[ModelRow]) -> tuple[MethodEffect, ...]:
    """Every method on every metric, metrics in the order in which they first appear."""
    metrics = dict.fromkeys(metric for row in rows for metric in row.effects)
    return tuple(effect for metric in metrics for effect in effects_on(metric, rows))


def effects_on(metric: str, rows: Sequence[ModelRow]) -> list[MethodEffect]:
    """The methods that at least two models have a value of; slopes corrected together."""
    found: list[MethodEffect] = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method and metric in row.effects]
        if len(own) < 2:
            continue
        sized = [(log2(row.parameters), row.effects[metric]) for row in own if row.parameters]
        slope = slope_over([x for x, _ in sized], [y for _, y in sized])
        found.append(
            MethodEffect(
                metric=metric,
                method=method,
                models=len(own),
                mean=mean_over([row.effects[metric] for row in own]),
                slope=slope,
                slope_p=slope.p if slope else None,
            )
        )
    return corrected(found)


def corrected(effects: Sequence[MethodEffect]) -> list[MethodEffect]:
    """The effects with the p-values of their slopes corrected for how many they are."""
    tested = [effect for effect in effects if effect.slope is not None]
    adjusted = dict(
        zip((e.method for e in tested), holm([e.slope.p for e in tested if e.slope]), strict=True)
    )
    return [replace(effect, slope_p=adjusted.get(effect.method)) for effect in effects]
