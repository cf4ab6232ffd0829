"""Speeds of two methods: paired by pass over the methods, on the noise between processes that the run shows.

All speeds of a report are one family: every two methods at every point of the sweep, and their response
times. Two speeds are told to be alike only where the run shows that they differ by less than NEGLIGIBLE;
anything else that is not significant is undecided.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log1p

from quantbench.analysis.comparison.comparisons import (
    ALPHA,
    Comparison,
    Comparisons,
    Family,
    Pair,
    Verdict,
    pairs_of,
)
from quantbench.analysis.comparison.processes import ProcessTimes, decode_times, response_times
from quantbench.analysis.figures.row import Row
from quantbench.analysis.formatting import chance, factors
from quantbench.plan import PASSES_A_ROUND
from quantbench.records import SpeedPoint
from quantbench.stats import (
    Contrast,
    Interval,
    Noise,
    RoundModel,
    difference_margin,
    difference_p,
)

SPEED, RESPONSE = "speed", "response"  # keys of the metrics at the headline point
NEGLIGIBLE = 0.05  # speeds that are surely closer than this are alike
MOST_ROUNDS = 20  # that anyone would be asked to run


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedTest:
    """Two methods on one point: the difference of the logarithms, its noise and the p-value by itself."""

    contrast: Contrast
    noise: Noise
    p: float
    methods: int
    passes: int  # in which both were measured


def point_key(batch_size: int, prompt_tokens: int) -> str:
    """The key under which a point of the sweep is compared."""
    return f"{SPEED}:{batch_size}x{prompt_tokens}"


def compare_speeds(rows: Sequence[Row], reruns: Sequence[Row] = ()) -> Comparisons:
    """Every two rows at every point, and their response times; the headline under its own key as well.

    `reruns` are further runs of the baseline, which show how processes of the same work differ.
    """
    tests: dict[Pair, SpeedTest] = {}
    untested: dict[Pair, Comparison] = {}
    for metric, times in _asked(rows, reruns):
        model = times.model()
        for pair in pairs_of(times.labels, metric):
            test = _test(times, model, pair)
            if isinstance(test, SpeedTest):
                tests[pair] = test
            else:
                untested[pair] = test
    family = Family({pair: test.p for pair, test in tests.items()})
    adjusted = family.adjusted()
    found = {pair: _compared(pair, test, adjusted[pair], family.level) for pair, test in tests.items()}
    levels = {pair.metric: family.level for pair in tests}
    return _with_headline(rows, Comparisons(untested | found, levels))


def _asked(rows: Sequence[Row], reruns: Sequence[Row]) -> Iterator[tuple[str, ProcessTimes]]:
    points: dict[tuple[int, int, int], SpeedPoint] = {}
    for row in rows:
        for point in row.points:
            points.setdefault((point.batch_size, point.prompt_tokens, point.new_tokens), point)
    for point in points.values():
        times = decode_times(rows, reruns, point)
        if times.processes:
            yield point_key(point.batch_size, point.prompt_tokens), times
    if (headline := _headline(rows)) and headline in [(b, p) for b, p, _ in points]:
        point = next(point for (b, p, _), point in points.items() if (b, p) == headline)
        times = response_times(rows, reruns, point)
        if times.processes:
            yield RESPONSE, times


def _headline(rows: Sequence[Row]) -> tuple[int, int] | None:
    return next(((row.speed.batch_size, row.speed.prompt_tokens) for row in rows if row.speed), None)


def _with_headline(rows: Sequence[Row], found: Comparisons) -> Comparisons:
    """The headline point's comparisons under the key of the speed metric, too."""
    headline = _headline(rows)
    if headline is None:
        return found
    key = point_key(*headline)
    same = {Pair(SPEED, p.one, p.other): c for p, c in found.found.items() if p.metric == key}
    levels = {SPEED: found.levels[key]} if key in found.levels else {}
    return Comparisons({**found.found, **same}, {**found.levels, **levels})


def _test(times: ProcessTimes, model: RoundModel, pair: Pair) -> SpeedTest | Comparison:
    """The test, or why there is none."""
    contrast = model.contrast(pair.one, pair.other)
    if contrast is None:
        return _undecided("they were not measured in one pass")
    noise = times.noise(model, pair.one, pair.other)
    p = difference_p(contrast.difference, contrast.weight, noise)
    if p is None:
        return _undecided("one repetition of one process each says nothing about noise")
    if pair.metric != RESPONSE:
        contrast = Contrast(difference=-contrast.difference, weight=contrast.weight)  # rates, not times
    passes = times.passes(pair.one, pair.other)
    return SpeedTest(contrast=contrast, noise=noise, p=p, methods=len(times.labels), passes=passes)


def _undecided(why: str) -> Comparison:
    return Comparison(verdict=Verdict.UNDECIDED, why=why)


def _compared(pair: Pair, test: SpeedTest, adjusted: float, level: float) -> Comparison:
    margin = difference_margin(test.contrast.weight, test.noise, level)
    gap = test.contrast.difference
    interval = None if margin is None else Interval(gap - margin, gap + margin)
    alike = interval is not None and max(-interval.low, interval.high) < log1p(NEGLIGIBLE)
    verdict = Verdict.NOT_SIGNIFICANT if alike else Verdict.UNDECIDED
    if adjusted < ALPHA:
        verdict = Verdict.SIGNIFICANT
    needed = rounds_needed(test, level) if verdict is Verdict.UNDECIDED else None
    return Comparison(
        verdict=verdict,
        why=_why(pair, test, verdict, adjusted, interval, needed),
        difference=gap,
        interval=interval,
        p=test.p,
        adjusted_p=adjusted,
        rounds_needed=needed,
    )


def _why(
    pair: Pair,
    test: SpeedTest,
    verdict: Verdict,
    adjusted: float,
    interval: Interval | None,
    needed: int | None,
) -> str:
    over = "over 1 pass" if test.passes == 1 else f"over {test.passes} passes"
    if test.passes < 2 and test.noise.observed is not None:
        over += ", with the noise that other rows' passes show"
    if verdict is Verdict.SIGNIFICANT:
        return f"paired {over}, {chance(adjusted)} when corrected for all comparisons of speed"
    if verdict is Verdict.NOT_SIGNIFICANT or interval is None:
        return f"they differ by less than {100 * NEGLIGIBLE:.0f} %, paired {over}"
    verb, rate = ("take", "long") if pair.metric == RESPONSE else ("be", "fast")
    text = f"{pair.one} may {verb} {factors(interval)} times as {rate} as {pair.other}"
    if test.noise.observed is None:
        return f"{text}, as one process each hides how processes differ; a new run has two a round"
    if needed is None:
        return f"{text}; {MOST_ROUNDS} rounds would not decide so small a difference"
    return f"{text}; about --rounds {needed} would decide a difference of this size"


def rounds_needed(test: SpeedTest, level: float) -> int | None:
    """Rounds in all after which a difference as large as the one found would be significant; None: too many.

    The noise is taken as the run showed it, so the number is as rough as that estimate.
    """
    if test.noise.observed is None:
        return None
    for rounds in range(1, MOST_ROUNDS + 1):
        passes = PASSES_A_ROUND * rounds
        if passes <= test.passes:
            continue
        degrees = (test.methods - 1) * (passes - 1)
        noise = Noise(deviation=test.noise.observed, degrees=degrees, repeat_error=test.noise.repeat_error)
        margin = difference_margin(2 / passes, noise, level)
        if margin is not None and abs(test.contrast.difference) > margin:
            return rounds
    return None
