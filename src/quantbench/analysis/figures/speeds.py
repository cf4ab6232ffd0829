"""Rates and latencies of one measured point, computed from its raw times. Compares nothing.

Decoding is counted without the first token: a run of `new_tokens` has `new_tokens - 1` decode steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import median

from quantbench.records import Bandwidth, SpeedPoint
from quantbench.stats import DRIFT_BOUND, Interval, median_interval, median_over_rounds, normal_quantile

ENOUGH_PASSES = 6  # for a 95 % interval of their median


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianEstimate:
    """A median of repetitions with what surrounds it, in the unit of the figure."""

    value: float
    repetitions: int  # or passes, where there are several
    passes: int = 1  # processes of their own whose medians these are
    interval: Interval | None  # None after a single repetition
    ranged: bool = False  # the interval is the whole range: too few repetitions for 95 %

    @property
    def range_of_another_run(self) -> Interval:
        """Where the figure would lie if processes differ by no more than the stated bound, 95 %.

        The interval itself where enough passes show how processes differ.
        """
        if self.interval is not None and self.passes >= ENOUGH_PASSES:
            return self.interval
        factor = exp(normal_quantile(0.95) * DRIFT_BOUND / sqrt(self.passes))
        return Interval(self.value / factor, self.value * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one batch size and prompt length gave; None is not measured."""

    batch_size: int
    prompt_tokens: int
    new_tokens: int
    repetitions: int
    decode: MedianEstimate | None = None  # tokens/s of the whole batch
    prefill: MedianEstimate | None = None  # prompt tokens/s of the whole batch
    ttft_s: MedianEstimate | None = None
    tpot_s: MedianEstimate | None = None
    response_s: MedianEstimate | None = None  # prompt to last token
    mbu: float | None = None  # share of the bandwidth measured at a step's size that decoding used
    failure: str | None = None
    disturbed: str | None = None  # why nothing may be concluded from the figures, to stand behind 'because'
    left_out: int = 0  # disturbed repetitions that are in none of the figures

    @property
    def label(self) -> str:
        """`batch 1, prompt 128`."""
        return f"batch {self.batch_size}, prompt {self.prompt_tokens}"


def estimate(values: Sequence[float], rounds: Sequence[int] = ()) -> MedianEstimate | None:
    """Median and 95 % interval of repetitions; the range where they are too few; None without any.

    With several passes their medians are what is repeated: repetitions of one process do not know another.
    """
    if not values:
        return None
    if len(rounds) == len(values) and len(set(rounds)) > 1:
        over = median_over_rounds(values, rounds)
        ranged = over.interval is not None and over.confidence < 0.95
        return MedianEstimate(
            value=over.value,
            repetitions=over.rounds,
            passes=over.rounds,
            interval=over.interval,
            ranged=ranged,
        )
    interval = median_interval(values)
    ranged = interval is None and len(values) > 1
    if ranged:
        interval = Interval(min(values), max(values))
    return MedianEstimate(value=median(values), repetitions=len(values), interval=interval, ranged=ranged)


def read_speed(point: SpeedPoint, bandwidth: Bandwidth | None = None) -> Speed:
    """The figures of one point; a point that failed keeps its reason and has no figures."""
    steps = point.new_tokens - 1
    decode = [] if steps < 1 else [s for s in point.decode_s if s > 0]
    ttft = [s for s in point.ttft_s if s > 0]
    paired = len(ttft) == len(decode)
    rounds = point.round_of
    tpot_s = estimate([s / steps for s in decode], rounds)
    return Speed(
        batch_size=point.batch_size,
        prompt_tokens=point.prompt_tokens,
        new_tokens=point.new_tokens,
        repetitions=max(len(decode), len(ttft)),
        decode=estimate([point.batch_size * steps / s for s in decode], rounds),
        prefill=estimate([point.batch_size * point.prompt_tokens / s for s in ttft], rounds),
        ttft_s=estimate(ttft, rounds),
        tpot_s=tpot_s,
        response_s=estimate([a + b for a, b in zip(ttft, decode, strict=True)], rounds) if paired else None,
        mbu=_bandwidth_share(point, tpot_s, bandwidth),
        failure=point.failure,
    )


def _bandwidth_share(
    point: SpeedPoint, tpot_s: MedianEstimate | None, bandwidth: Bandwidth | None
) -> float | None:
    """Bytes that a step must read, per second of a step, over the best rate of reading as many."""
    if bandwidth is None or tpot_s is None or point.step_weight_bytes is None:
        return None
    limit = max(bandwidth.step_bytes_per_s or 0.0, bandwidth.read_bytes_per_s)
    return (point.step_weight_bytes + (point.kv_bytes or 0)) / tpot_s.value / limit
