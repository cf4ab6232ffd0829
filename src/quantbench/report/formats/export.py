"""results.json and results.csv: the figures for other programs, in bytes and seconds, None left empty."""

import csv
import io
import json
from typing import Any

from quantbench.analysis import Analysis, MedianEstimate, Row, Speed, Statement

COLUMNS = (
    "model",
    "method",
    "is_baseline",
    "completed",
    "scheme",
    "engine",
    "parameters",
    "weight_bytes",
    "checkpoint_bytes",
    "effective_bits",
    "memory_kind",
    "memory_bytes",
    "batch_size",
    "prompt_tokens",
    "new_tokens",
    "repetitions",
    "decode_tokens_per_s",
    "decode_tokens_per_s_low",
    "decode_tokens_per_s_high",
    "prefill_tokens_per_s",
    "ttft_s",
    "tpot_s",
    "mbu",
    "disturbed",
    "load_s",
)
SCORE_COLUMNS = ("pass_at_1", "passed", "completions", "problems", "pass_at_1_low", "pass_at_1_high")


def to_csv(analysis: Analysis) -> str:
    """One line a method; each task adds its columns with the task's name in front."""
    tasks = analysis.results.tasks
    metrics = dict.fromkeys(f"{score.result.task}_{score.metric.name}" for score in analysis.harness)
    header = [*COLUMNS, *(f"{task}_{name}" for task in tasks for name in SCORE_COLUMNS), *metrics]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    for row in analysis.results.rows:
        writer.writerow(row_figures(row, analysis))
    return stream.getvalue()


def to_json(analysis: Analysis) -> str:
    """Figures, statements, limits and the complete records, one a line."""
    results = analysis.results
    records = [*(row.record for row in results.rows), *results.floors]
    head = json.dumps(document(analysis), indent=1, ensure_ascii=False, allow_nan=False)
    lines = (json.dumps(r.model_dump(mode="json"), ensure_ascii=False, allow_nan=False) for r in records)
    return head.removesuffix("\n}") + ',\n "records": [\n' + ",\n".join(lines) + "\n ]\n}\n"


def document(analysis: Analysis) -> dict[str, Any]:
    """Figures, statements and limits as plain values."""
    results = analysis.results
    return {
        "model": results.model.model_dump() if results.model else {"name": results.model_name},
        "baseline": results.baseline_name,
        "alert": analysis.alert,
        "methods": [
            row_figures(row, analysis)
            | {"sweep": [point_figures(speed) for speed in (*row.sweep, *row.disturbed)]}
            for row in results.rows
        ],
        "observations": [_statement(s) for s in analysis.observations],
        "trade_offs": [_statement(s) for s in analysis.trade_offs],
        "recommendations": [_statement(s) for s in analysis.recommendations],
        "caveats": list(analysis.caveats),
        "issues": [
            {"method": issue.label, "text": issue.text, "failed": issue.failed} for issue in analysis.issues
        ],
    }


def row_figures(row: Row, analysis: Analysis) -> dict[str, Any]:
    """One method as flat names and values."""
    record = row.record
    figures: dict[str, Any] = {
        "model": record.trial.model if record.trial.row else analysis.results.model_name,
        "method": row.label,
        "is_baseline": row.is_baseline,
        "completed": record.completed,
        "scheme": record.scheme,
        "engine": record.engine.shown if record.engine else None,
        "parameters": record.model.parameters if record.model else None,
        "weight_bytes": row.weight_bytes,
        "checkpoint_bytes": record.size.checkpoint_bytes if record.size else None,
        "effective_bits": record.size.effective_bits if record.size else None,
        "memory_kind": record.memory.kind if record.memory else None,
        "memory_bytes": row.memory_bytes,
        "load_s": record.startup.load_s if record.startup else None,
    }
    if speed := row.speed or row.disturbed_speed:
        figures |= point_figures(speed)
    for score in row.scores:
        interval = score.interval
        values = (score.pass_at_1, score.passed, score.total, score.problems, interval.low, interval.high)
        figures |= {f"{score.task}_{name}": v for name, v in zip(SCORE_COLUMNS, values, strict=True)}
    for result in record.harness:
        figures |= {f"{result.task}_{metric.name}": metric.value for metric in result.metrics}
    return figures


def point_figures(speed: Speed) -> dict[str, Any]:
    """The speed at one batch size and prompt length as flat names and values."""
    interval = speed.decode.interval if speed.decode else None
    return {
        "batch_size": speed.batch_size,
        "prompt_tokens": speed.prompt_tokens,
        "new_tokens": speed.new_tokens,
        "repetitions": speed.repetitions,
        "decode_tokens_per_s": _value(speed.decode),
        "decode_tokens_per_s_low": interval.low if interval else None,
        "decode_tokens_per_s_high": interval.high if interval else None,
        "prefill_tokens_per_s": _value(speed.prefill),
        "ttft_s": _value(speed.ttft_s),
        "tpot_s": _value(speed.tpot_s),
        "mbu": speed.mbu,
        "disturbed": speed.disturbed is not None,
    }


def _value(estimate: MedianEstimate | None) -> float | None:
    return estimate.value if estimate else None


def _statement(statement: Statement) -> dict[str, Any]:
    return {
        "title": statement.title,
        "text": statement.text,
        "choice": statement.choice,
        "tied": list(statement.tied),
    }
