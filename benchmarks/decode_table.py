"""The table of benchmarks/decode.py: printed row by row, and kept in a file on wish. Measures nothing."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

COLUMNS = {  # title: width
    "engine": 12,
    "method": 12,
    "batch": 5,
    "context": 7,
    "new": 4,
    "decode tok/s": 12,
    "end-to-end tok/s": 16,
    "mbu": 6,
    "prefill tok/s": 13,
    "peak GB": 8,
    "start-up s": 10,
    "error": 8,
    "loss": 8,
    "worst token": 11,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; None was not measured."""

    engine: str
    method: str
    batch: int
    context: int  # tokens in the middle of the decode
    new: int
    decode_tokens_per_s: float
    end_to_end_tokens_per_s: float
    mbu: float | None
    prefill_tokens_per_s: float
    peak_bytes: int | None
    startup_s: float
    error: float | None
    loss: float | None
    worst_token: float | None


@dataclass(slots=True)
class Table:
    """Prints rows as they come, and keeps them in a file on wish."""

    path: Path | None
    facts: dict[str, object]
    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        if not self.rows:
            print(" ".join(f"{title:>{width}}" for title, width in COLUMNS.items()), flush=True)
        self.rows.append(row)
        print(" ".join(f"{t:>{w}}" for t, w in zip(cells(row), COLUMNS.values(), strict=True)), flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps(self.facts | {"rows": [asdict(r) for r in self.rows]}, indent=1))


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is shown."""

    def shown(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return (
        row.engine,
        row.method,
        str(row.batch),
        str(row.context),
        str(row.new),
        f"{row.decode_tokens_per_s:,.0f}",
        f"{row.end_to_end_tokens_per_s:,.0f}",
        shown(row.mbu, ".1%"),
        f"{row.prefill_tokens_per_s:,.0f}",
        shown(None if row.peak_bytes is None else row.peak_bytes / 1e9, ".3f"),
        f"{row.startup_s:.1f}",
        shown(row.error, ".1e"),
        shown(row.loss, ".1e"),
        shown(row.worst_token, ".3f"),
    )
