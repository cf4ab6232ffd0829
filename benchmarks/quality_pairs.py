"""Two rows of a table of quality.py side by side, window by window: which one is nearer to the model?

    python benchmarks/quality_pairs.py TABLE.json METHOD OTHER ANOTHER.json:METHOD

The difference of the mean KL with its 95 % interval over windows, of the half that choices are made by and of
the half that is reported. Windows of both rows are the same, so that what they share falls out.
"""

import json
import sys
from pathlib import Path
from typing import Any

from quality_texts import Half
from quantbench.stats.clustered import ratio_of_sums


def main() -> None:
    """Print a line a half for each method beside the first."""
    (path, *names) = sys.argv[1:]
    rows = [row_of(path, name) for name in names]
    for other in rows[1:]:
        for half in Half:
            print(f"{other['method']} - {rows[0]['method']}, {half}: {difference(rows[0], other, half)}")


def row_of(path: str, name: str) -> dict[str, Any]:
    """A method's row; SystemExit where the table has none."""
    file, _, method = name.rpartition(":")
    rows = json.loads(Path(file or path).read_text())["rows"]
    found = [row for row in rows if row["method"] == method]
    if not found:
        raise SystemExit(
            f"'{method}' is not in {file or path}; it has {', '.join(r['method'] for r in rows)}"
        )
    return found[-1]


def difference(one: dict[str, Any], other: dict[str, Any], half: Half) -> str:
    """Of the mean KL over one half, in nats a token; ValueError for tables of other windows."""
    pairs = [
        (b - a, size)
        for (where, a, size), (there, b, count) in zip(one["windows"], other["windows"], strict=True)
        if where == there == half and size == count
    ]
    found = ratio_of_sums([more for more, _ in pairs], [size for _, size in pairs])
    interval = found.interval
    shown = f" [{interval.low:+.4f}, {interval.high:+.4f}]" if interval else ""
    return f"{found.value:+.4f}{shown}"


if __name__ == "__main__":
    main()
