"""Many simulated runs at once: the p-values of the speed tests for thousands of reports, in numpy.

The product's model and tests, written down a second time; a test in `test_simulated_speeds` holds the two
together. Response times are decode times times a constant here, so a report's family has each p-value twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtr

from quantbench.analysis.comparison.comparisons import ALPHA
from quantbench.plan import PASSES_A_ROUND
from quantbench.stats.drift import CERTAIN, DRIFT_BOUND, T_SHARE
from tests.analysis.simulated_runs import JITTER, PASS_DRIFT, REPETITIONS, World

Values = NDArray[np.float64]
MEDIAN_LOSS = 1.2533


@dataclass(frozen=True, slots=True)
class Runs:
    """Logarithms of times [reports, processes, repetitions], with each process's method and pass."""

    logs: Values
    method: NDArray[np.int64]
    number: NDArray[np.int64]

    @property
    def methods(self) -> int:
        return int(self.method.max()) + 1


def simulate_many(world: World, count: int, seed: int) -> Runs:
    """`count` runs of a world; processes in the order of `simulate`, the baseline's second one last."""
    draw = np.random.default_rng(seed)
    passes, methods = PASSES_A_ROUND * world.rounds, len(world.speeds)
    number = np.append(np.repeat(np.arange(passes), methods), 0)
    method = np.append(np.tile(np.arange(methods), passes), 0)
    levels = draw.normal(0, PASS_DRIFT, (count, passes))[:, number]
    own = draw.normal(0, world.drift, (count, len(method)))
    jitter = draw.normal(0, JITTER, (count, len(method), REPETITIONS))
    slower = -np.log(np.asarray(world.speeds))[method]
    return Runs((levels + own + slower)[:, :, None] + jitter, method, number)


def pairs(methods: int) -> list[tuple[int, int]]:
    return [(one, other) for one in range(methods) for other in range(one + 1, methods)]


def p_values(runs: Runs) -> Values:
    """Uncorrected p-values [reports, pairs], pairs in the order of `pairs`."""
    values = np.median(runs.logs, axis=2)
    errors = MEDIAN_LOSS * runs.logs.std(axis=2, ddof=1) / sqrt(runs.logs.shape[2])
    design = _design(runs)
    inverse = np.linalg.pinv(design.T @ design)
    estimates = values @ (inverse @ design.T).T
    residuals = values - estimates @ design.T
    degrees = values.shape[1] - int(np.linalg.matrix_rank(design))
    noise = np.sqrt((residuals**2).sum(axis=1) / degrees)
    found = []
    for (one, other), own in zip(pairs(runs.methods), _pair_noise(runs, values), strict=True):
        vector = np.zeros(design.shape[1])
        vector[one], vector[other] = 1.0, -1.0
        scale = sqrt(float(vector @ inverse @ vector))
        repeat = errors[:, np.isin(runs.method, (one, other))].max(axis=1)
        observed = np.maximum(np.maximum(noise, own), repeat)
        found.append(_p(estimates @ vector, scale, degrees, observed, repeat))
    return np.stack(found, axis=1)


def _design(runs: Runs) -> Values:
    passes = int(runs.number.max()) + 1
    rows = np.arange(len(runs.method))
    design = np.zeros((len(rows), runs.methods + passes))
    design[rows, runs.method] = design[rows, runs.methods + runs.number] = 1.0
    return design


def _pair_noise(runs: Runs, values: Values) -> Iterator[Values]:
    """Of each pair, from the passes of both."""
    passes = int(runs.number.max()) + 1
    cells = np.stack(
        [
            [values[:, (runs.method == m) & (runs.number == n)].mean(axis=1) for n in range(passes)]
            for m in range(runs.methods)
        ]
    )  # [methods, passes, reports]
    for one, other in pairs(runs.methods):
        yield (cells[one] - cells[other]).std(axis=0, ddof=1) / sqrt(2)


def false_share(world: World, count: int, seed: int = 1) -> float:
    """How many reports claim any difference: the smallest p-value times how many there are."""
    p = p_values(simulate_many(world, count, seed))
    return float((p.min(axis=1) * 2 * p.shape[1] < ALPHA).mean())


def found_share(world: World, count: int, seed: int = 1) -> float:
    """How often the first and the last method are found to differ, by Holm's first step alone."""
    p = p_values(simulate_many(world, count, seed))
    asked = p[:, pairs(len(world.speeds)).index((0, len(world.speeds) - 1))]
    return float((asked * 2 * p.shape[1] < ALPHA).mean())


def gate_p_values(old: Runs, new: Runs) -> tuple[Values, Values]:
    """Uncorrected p-values and differences [reports, methods] of two runs with the same design.

    Reruns of the baseline are no part of a comparison of two runs.
    """
    groups = [(_own_passes(old, m), _own_passes(new, m)) for m in range(old.methods)]
    squares = [sum(run.values.var(axis=1) * run.values.shape[1] for run in pair) for pair in groups]
    passes = groups[0][0].values.shape[1]
    degrees = 2 * passes - 2
    pooled = np.sqrt(sum(squares) / (degrees * len(groups)))
    found, gaps = [], []
    for (one, other), square in zip(groups, squares, strict=True):
        repeat = np.maximum(one.errors.max(axis=1), other.errors.max(axis=1))
        observed = np.maximum(np.maximum(np.sqrt(square / degrees), pooled), repeat)
        gaps.append(other.values.mean(axis=1) - one.values.mean(axis=1))
        found.append(_p(gaps[-1], sqrt(2 / passes), degrees, observed, repeat))
    return np.stack(found, axis=1), np.stack(gaps, axis=1)


def gate_share(world: World, count: int, seed: int = 1) -> float:
    """How many pairs of runs of the same code are told to be slower; each method has decode and TTFT."""
    p, gaps = gate_p_values(simulate_many(world, count, seed), simulate_many(world, count, seed + 1))
    return float(((p * 2 * p.shape[1] < ALPHA) & (gaps > 0)).any(axis=1).mean())


@dataclass(frozen=True, slots=True)
class _Passes:
    """One method's processes, one a pass: logarithms and their standard errors [reports, passes]."""

    values: Values
    errors: Values


def _own_passes(runs: Runs, method: int) -> _Passes:
    own = runs.logs[:, :-1][:, runs.method[:-1] == method]  # without the rerun, which is last
    errors = MEDIAN_LOSS * own.std(axis=2, ddof=1) / sqrt(own.shape[2])
    return _Passes(np.median(own, axis=2), errors)


def _p(gap: Values, scale: float, degrees: int, observed: Values, repeat: Values) -> Values:
    """As `difference_p`, for many reports."""
    gap = np.abs(gap)
    t = 2 * stdtr(degrees, -gap / np.maximum(scale * observed, CERTAIN)) / T_SHARE
    bound = 2 * ndtr(-gap / (scale * np.hypot(DRIFT_BOUND, repeat))) / (1 - T_SHARE)
    return np.minimum(1.0, np.minimum(t, np.where(observed > DRIFT_BOUND, np.inf, bound)))
