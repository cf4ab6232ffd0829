"""What an overview keeps of each model's own analysis: a line a method, and its effects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING

from quantbench.analysis.comparison.metrics import SPEED
from quantbench.analysis.comparison.rows import Row
from quantbench.analysis.figures.scores import task_title
from quantbench.stats import Interval

if TYPE_CHECKING:
    from quantbench.analysis import Analysis

SPEED_EFFECT = "decode speed"  # logarithm of the ratio
LOSS_EFFECT = "perplexity"  # logarithm of the ratio


def score_effect(task: str) -> str:
    """The effect on a task's pass@1, a difference of shares."""
    return f"{task_title(task)} pass@1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure and what surrounds it; None is not known."""

    value: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One method of one model; None is not measured."""

    model: str  # as it was given
    name: str  # of its folder
    method: str
    machine: str
    is_baseline: bool
    parameters: int | None
    weight_bytes: int | None
    memory_bytes: int | None
    speed: Figure | None  # tokens/s at the model's headline point, undisturbed
    point: tuple[int, int] | None  # batch size and prompt tokens of that
    scores: Mapping[str, Figure]  # pass@1 by task
    effects: Mapping[str, float] = field(default_factory=dict)  # against the model's own baseline
    verdicts: Mapping[str, str] = field(default_factory=dict)  # of pass@1 in the model's own report, by task
    failure: str | None = None

    @property
    def label(self) -> str:
        """`Qwen2.5-0.5B int4`."""
        return f"{self.name} {self.method}"


def rows_of_model(analysis: "Analysis", model: str, name: str) -> tuple[ModelRow, ...]:
    """The rows of one model's report."""
    return tuple(_row(row, analysis, model, name) for row in analysis.results.rows)


def _row(row: Row, analysis: "Analysis", model: str, name: str) -> ModelRow:
    record = row.record
    speed = row.speed
    decode = speed.decode if speed else None
    return ModelRow(
        model=model,
        name=name,
        method=row.label,
        machine=record.environment.gpu or record.environment.cpu,
        is_baseline=row.is_baseline,
        parameters=record.model.parameters if record.model else None,
        weight_bytes=row.weight_bytes,
        memory_bytes=row.memory_bytes,
        speed=Figure(value=decode.value, interval=decode.range_of_another_run) if decode else None,
        point=(speed.batch_size, speed.prompt_tokens) if speed else None,
        scores={s.task: Figure(value=s.pass_at_1, interval=s.interval) for s in row.scores},
        effects={} if row.is_baseline else effects_of(row, analysis),
        verdicts={pair.task: pair.verdict for pair in analysis.paired if pair.label == row.label},
        failure=f"{record.failure.stage}: {record.failure.message}" if record.failure else None,
    )


def effects_of(row: Row, analysis: "Analysis") -> dict[str, float]:
    """What the method changes, where it and the baseline were measured."""
    results = analysis.results
    found = {score_effect(p.task): p.difference for p in analysis.paired if p.label == row.label}
    distance = next((d for d in analysis.distances if d.label == row.label and not d.is_floor), None)
    if distance and distance.perplexity_ratio and distance.perplexity_ratio.value > 0:
        found[LOSS_EFFECT] = log(distance.perplexity_ratio.value)
    baseline = results.baseline
    if baseline is not None:
        difference = results.compare(SPEED.key, row, baseline).difference
        if difference is not None:
            found[SPEED_EFFECT] = difference
    return found
