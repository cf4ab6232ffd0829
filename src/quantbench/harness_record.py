"""What a record keeps of a task of lm-eval: its metrics, each with its value and that of every item."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from quantbench.record_base import Count, Figure, Frozen, NotNegative, Seconds, Several


class Aggregation(StrEnum):
    """How lm-eval's value of a metric follows from its items."""

    MEAN = "mean"
    PERPLEXITY = "perplexity"  # exp(-sum of log-likelihoods / sum of weights)
    BITS = "bits"  # -sum of log-likelihoods / sum of weights / ln 2
    OTHER = "other"  # not from single values: nothing can be paired


class HarnessMetric(Frozen):
    """One metric; items are in the order of `HarnessResult.items`, one value each, or there are none."""

    name: str  # as lm-eval has it: 'acc', or 'exact_match,strict-match' where a filter has a name
    value: Figure
    higher_is_better: bool | None = None
    aggregation: Aggregation = Aggregation.OTHER
    values: tuple[Figure, ...] = ()  # a score, or a log-likelihood in nats
    weights: tuple[NotNegative, ...] = ()  # words or bytes behind a log-likelihood; empty where all are 1

    @model_validator(mode="after")
    def _one_weight_a_value(self) -> Self:
        if self.weights and len(self.weights) != len(self.values):
            raise ValueError("its weights do not fit its values")
        return self


class HarnessResult(Frozen):
    """One task, group or tag of lm-eval under one method."""

    task: str  # 'lm-eval:arc_easy'
    version: str  # of lm-eval, and of the task
    data_sha256: str  # of configurations and documents
    shots: int | None = None  # examples in a prompt; None where the tasks of a group differ
    tasks: Several = 1  # of a group
    items: tuple[str, ...] = ()  # 'task/number of the document'
    metrics: tuple[HarnessMetric, ...] = Field(default=())
    limit: Count | None = None
    seconds: Seconds = 0.0
    samples_file: str | None = None  # relative to the results folder
