"""What was measured as tables for other programs: names and plain values, in bytes and seconds.

`methods` and `sweep` hold figures; `repetitions`, `completions` and `distances` hold the raw values behind
them, one a row. None is not measured.
"""

from collections.abc import Callable, Iterator
from typing import Any

from quantbench.analysis import Analysis
from quantbench.report.formats.export import point_figures, row_figures

TableRow = dict[str, Any]


def methods(analysis: Analysis) -> Iterator[TableRow]:
    """The figures of each method, as results.csv has them."""
    return (row_figures(row, analysis) for row in analysis.results.rows)


def sweep(analysis: Analysis) -> Iterator[TableRow]:
    """The speed of each method at each batch size and prompt length."""
    for row in analysis.results.rows:
        for speed in (*row.sweep, *row.disturbed):
            yield {"method": row.label} | point_figures(speed)


def repetitions(analysis: Analysis) -> Iterator[TableRow]:
    """Every timed repetition, with the pass over the methods that it belongs to."""
    for row in analysis.results.rows:
        for point in row.record.speed:
            passes = point.round_of or (0,) * len(point.decode_s)
            timed = zip(passes, point.ttft_s, point.decode_s, strict=True)
            for number, (of_pass, ttft_s, decode_s) in enumerate(timed):
                yield {
                    "method": row.label,
                    "batch_size": point.batch_size,
                    "prompt_tokens": point.prompt_tokens,
                    "new_tokens": point.new_tokens,
                    "repetition": number,
                    "pass": of_pass,
                    "ttft_s": ttft_s,
                    "decode_s": decode_s,
                }


def completions(analysis: Analysis) -> Iterator[TableRow]:
    """Every answer to a problem, and how its program ended."""
    for row in analysis.results.rows:
        for task in row.record.tasks:
            for completion in task.completions:
                yield {"method": row.label, "task": task.task} | completion.model_dump(mode="json")


def distances(analysis: Analysis) -> Iterator[TableRow]:
    """The distance from the baseline over every text; `kl` is its mean in nats a token."""
    for row in analysis.results.rows:
        distance = row.record.distance
        for problem in distance.problems if distance else ():
            yield {
                "method": row.label,
                "text": problem.task_id,
                "tokens": problem.tokens,
                "nll": problem.nll,
                "baseline_nll": problem.baseline_nll,
                "kl": sum(problem.kl) / len(problem.kl) if problem.kl else None,
                "same_top": problem.same_top,
            }


TABLES: dict[str, Callable[[Analysis], Iterator[TableRow]]] = {
    "methods": methods,
    "sweep": sweep,
    "repetitions": repetitions,
    "completions": completions,
    "distances": distances,
}
