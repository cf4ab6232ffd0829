"""The overview for other programs: names and plain values, in bytes and tokens a second; None left empty."""

import csv
import io
import json
from typing import Any

from quantbench.analysis import ModelRow, Overview
from quantbench.output import plain


def document(overview: Overview) -> dict[str, Any]:
    """Rows, front, effects and what is absent."""
    return {
        "models": list(overview.models),
        "rows": [figures(row) for row in overview.rows],
        "front": plain(overview.front),
        "effects": [
            plain(effect) | {"depends_on_size": effect.depends_on_size, "sentence": effect.sentence}
            for effect in overview.effects
        ],
        "absent": plain(overview.absent),
    }


def figures(row: ModelRow) -> dict[str, Any]:
    """One row, its scores and effects by name."""
    interval = row.speed.interval if row.speed else None
    return {
        "model": row.model,
        "name": row.name,
        "method": row.method,
        "is_baseline": row.is_baseline,
        "machine": row.machine,
        "parameters": row.parameters,
        "weight_bytes": row.weight_bytes,
        "memory_bytes": row.memory_bytes,
        "decode_tokens_per_s": row.speed.value if row.speed else None,
        "decode_tokens_per_s_low": interval.low if interval else None,
        "decode_tokens_per_s_high": interval.high if interval else None,
        "failure": row.failure,
        **{f"{task}_pass_at_1": score.value for task, score in row.scores.items()},
        **{f"effect on {metric}": value for metric, value in row.effects.items()},
    }


def to_json(overview: Overview) -> str:
    """The document as text."""
    return json.dumps(document(overview), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(overview: Overview) -> str:
    """One line a row; columns in the order in which they first appear."""
    rows = [figures(row) for row in overview.rows]
    stream = io.StringIO()
    header = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
