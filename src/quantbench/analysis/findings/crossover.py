"""From which batch size on a method begins to win or to lose against the baseline, from the speed sweeps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.speed_tests import point_key
from quantbench.analysis.figures.speeds import Speed
from quantbench.units import listed


class Side(StrEnum):
    """Shown as it is."""

    WINS = "faster"
    LOSES = "slower"
    EVEN = "no difference shown"
    UNDECIDED = "not decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """One method over the batch sizes of one prompt length, smallest first."""

    label: str
    prompt_tokens: int
    sides: tuple[tuple[int, Side], ...]  # batch size -> side

    @property
    def batch_size(self) -> int | None:
        """The first batch size that is decided otherwise than the smallest decided one; None if none is."""
        decided = [(batch, side) for batch, side in self.sides if side in (Side.WINS, Side.LOSES)]
        return next((batch for batch, side in decided if side is not decided[0][1]), None)

    @property
    def text(self) -> str:
        """`faster at batch 1 and 8, slower at batch 64`."""
        runs = [(side, [str(b) for b, _ in run]) for side, run in groupby(self.sides, lambda pair: pair[1])]
        return ", ".join(f"{side} at batch {listed(batches)}" for side, batches in runs)


def crossovers(results: Rows) -> tuple[Crossover, ...]:
    """Every method at every prompt length with at least two batch sizes that both measured."""
    baseline = results.baseline
    if baseline is None:
        return ()
    rows = [row for row in results.rows if not row.is_baseline]
    return tuple(found for row in rows for found in _of_row(row, baseline, results))


def _of_row(row: Row, baseline: Row, results: Rows) -> Iterator[Crossover]:
    prompts = dict.fromkeys(speed.prompt_tokens for speed in row.sweep)
    for prompt in prompts:
        pairs = _pairs(row.sweep, baseline.sweep, prompt)
        sides = tuple(
            (own.batch_size, _side(row, baseline, results, own, other))
            for own, other in pairs
            if own.decode and other.decode
        )
        if len(sides) > 1:
            yield Crossover(label=row.label, prompt_tokens=prompt, sides=sides)


def _pairs(own: Sequence[Speed], others: Sequence[Speed], prompt: int) -> list[tuple[Speed, Speed]]:
    reference = {(speed.batch_size, speed.prompt_tokens): speed for speed in others}
    found = [
        (speed, other)
        for speed in own
        if speed.prompt_tokens == prompt and (other := reference.get((speed.batch_size, prompt)))
    ]
    return sorted(found, key=lambda pair: pair[0].batch_size)


def _side(row: Row, baseline: Row, results: Rows, own: Speed, other: Speed) -> Side:
    key = point_key(own.batch_size, own.prompt_tokens)
    verdict = results.compare(key, row, baseline).verdict
    if verdict is Verdict.UNDECIDED or own.decode is None or other.decode is None:
        return Side.UNDECIDED
    if verdict is Verdict.NOT_SIGNIFICANT:
        return Side.EVEN
    return Side.WINS if own.decode.value > other.decode.value else Side.LOSES
