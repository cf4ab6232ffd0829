"""A task of lm-eval on a decoder, and what lm-eval says of it as a record keeps it."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from quantbench.evaluation.harness.loading import HarnessTask, plain, seeded
from quantbench.harness_record import Aggregation, HarnessMetric, HarnessResult

CLOSE = 1e-9  # between lm-eval's value and ours of the same items, relative
NO_FILTER = "none"
Row = dict[str, Any]


def evaluate_harness(
    task: HarnessTask,
    model: Any,
    *,
    limit: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[HarnessResult, list[Row]]:
    """lm-eval's evaluation of a loaded task, with every item; and its samples as lines to be written."""
    from lm_eval.evaluator import evaluate

    start = clock()
    with seeded():
        found = evaluate(
            lm=model,
            task_dict=task.loaded,
            limit=limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=task.name.chat,
            fewshot_as_multiturn=task.name.chat,
        )
    result = result_of(task, found, limit).model_copy(update={"seconds": clock() - start})
    return result, list(sample_rows(found["samples"]))


def result_of(task: HarnessTask, found: Mapping[str, Any], limit: int | None) -> HarnessResult:
    """What lm-eval returned, as a record keeps it."""
    samples = found["samples"]
    shots = {found["n-shot"].get(name) for name in samples}
    items = item_names(samples)
    return HarnessResult(
        task=task.name.label,
        version=version_of(task, found),
        data_sha256=task.sha256,
        shots=shots.pop() if len(shots) == 1 else None,
        tasks=len(samples),
        items=items,
        metrics=tuple(metrics_of(values_of(task, found), samples, found, items)),
        limit=limit,
    )


def version_of(task: HarnessTask, found: Mapping[str, Any]) -> str:
    """'lm-eval 0.4.13, task version 1.0'."""
    from importlib.metadata import version

    of_tasks = {str(value) for value in (found.get("versions") or {}).values()}
    tasks = f", task version {of_tasks.pop()}" if len(of_tasks) == 1 else ""
    return f"lm-eval {version('lm_eval')}{tasks}"


def values_of(task: HarnessTask, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """lm-eval's own figures: the task's, or those of a group. A tag has none where it holds several tasks."""
    name = task.name.task
    for section in ("groups", "results"):
        if values := (found.get(section) or {}).get(name):
            return values  # type: ignore[no-any-return]
    results = found["results"]
    return next(iter(results.values())) if len(results) == 1 else {}


def item_names(samples: Mapping[str, Sequence[Row]]) -> tuple[str, ...]:
    """Every document once, in lm-eval's order."""
    names = [f"{task}/{row['doc_id']}" for task, rows in samples.items() for row in rows]
    return tuple(dict.fromkeys(names))


def metrics_of(
    values: Mapping[str, Any],
    samples: Mapping[str, Sequence[Row]],
    found: Mapping[str, Any],
    items: Sequence[str],
) -> Iterator[HarnessMetric]:
    """Each metric; for several tasks without a figure of their own the mean of all items."""
    for metric, filter_name in metric_keys(samples):
        scores = item_scores(samples, metric, filter_name)
        own = values.get(f"{metric},{filter_name}")
        if not isinstance(own, int | float) or not math.isfinite(own):
            if values or not scores or any(weight != 1 for _, weight in scores.values()):
                continue
            own = sum(value for value, _ in scores.values()) / len(scores)
        ways = {found["higher_is_better"].get(task, {}).get(metric) for task in samples}
        yield metric_of(
            metric if filter_name == NO_FILTER else f"{metric},{filter_name}",
            float(own),
            [scores[item] for item in items] if scores.keys() == set(items) else [],
            ways.pop() if len(ways) == 1 else None,
        )


def metric_keys(samples: Mapping[str, Sequence[Row]]) -> list[tuple[str, str]]:
    """(metric, filter) of every sample, in order of appearance."""
    keys = [(name, row["filter"]) for rows in samples.values() for row in rows for name in row["metrics"]]
    return list(dict.fromkeys(keys))


def item_scores(
    samples: Mapping[str, Sequence[Row]], metric: str, filter_name: str
) -> dict[str, tuple[float, float]]:
    """Value and weight by item; items whose value is no number, or number and weight, are left out."""
    scores = {}
    for task, rows in samples.items():
        for row in rows:
            if row["filter"] == filter_name and (score := score_of(row.get(metric))) is not None:
                scores[f"{task}/{row['doc_id']}"] = score
    return scores


def score_of(value: Any) -> tuple[float, float] | None:
    """A number counts once; (log-likelihood, words or bytes) has a weight. None for what is neither."""
    if isinstance(value, tuple | list) and len(value) == 2:
        total, weight = (number_of(part) for part in value)
        return None if total is None or weight is None or weight < 0 else (total, weight)
    number = number_of(value)
    return None if number is None else (number, 1.0)


def number_of(value: Any) -> float | None:
    """A finite number, numpy's included; None for what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, str) else None


def metric_of(
    name: str, value: float, scores: Sequence[tuple[float, float]], higher: bool | None
) -> HarnessMetric:
    """The metric; items are kept where lm-eval's value follows from them, so that they can be paired."""
    kind = aggregation_of(value, scores)
    weighted = any(weight != 1 for _, weight in scores)
    kept = kind is not Aggregation.OTHER
    return HarnessMetric(
        name=name,
        value=value,
        higher_is_better=higher,
        aggregation=kind,
        values=tuple(score for score, _ in scores) if kept else (),
        weights=tuple(weight for _, weight in scores) if kept and weighted else (),
    )


def aggregation_of(value: float, scores: Sequence[tuple[float, float]]) -> Aggregation:
    """The way in which the value follows from the items; OTHER where it follows in none."""
    total, weight = sum(score for score, _ in scores), sum(weight for _, weight in scores)
    if not scores or not weight:
        return Aggregation.OTHER
    mean = total / weight
    ways = {Aggregation.MEAN: mean, Aggregation.BITS: -mean / math.log(2)}
    if -mean < math.log(1e15):
        ways[Aggregation.PERPLEXITY] = math.exp(-mean)
    close = (kind for kind, own in ways.items() if math.isclose(own, value, rel_tol=CLOSE, abs_tol=CLOSE))
    return next(close, Aggregation.OTHER)


def sample_rows(samples: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """lm-eval's samples as JSON has them, a document and filter a line."""
    for task, rows in samples.items():
        for row in rows:
            yield json.loads(json.dumps({"task": task} | row, default=plain))
