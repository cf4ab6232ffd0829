"""vLLM's own timings: sums and counts of its histograms, before and after a batch."""

import re
from dataclasses import dataclass

from quantbench.errors import ServerError
from quantbench.serving.dialects import Timings
from quantbench.serving.http import Server

FIRST = "vllm:time_to_first_token_seconds"
BETWEEN = ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")  # newer, older name
LINE = re.compile(r"^(vllm:\w+)_(sum|count)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Histogram name -> (sum of seconds, count)."""

    sums: dict[str, tuple[float, float]]


def read_metrics(server: Server) -> Reading | None:
    """The histograms now; None where the server has none."""
    try:
        text = server.text("/metrics").decode(errors="replace")
    except ServerError:
        return None
    found: dict[str, dict[str, float]] = {}
    for name, part, value in LINE.findall(text):
        found.setdefault(name, {}).setdefault(part, 0.0)
        found[name][part] += float(value)
    return Reading({name: (parts.get("sum", 0.0), parts.get("count", 0.0)) for name, parts in found.items()})


def timings_between(before: Reading | None, after: Reading | None, new_tokens: int) -> Timings | None:
    """Mean time to first token, and the time of the tokens behind it at the mean gap; None if not told."""
    if before is None or after is None:
        return None
    between = next((name for name in BETWEEN if name in after.sums), "")
    first, gap = mean_between(before, after, FIRST), mean_between(before, after, between)
    if first is None or gap is None:
        return None
    return Timings(ttft_s=first, decode_s=gap * (new_tokens - 1))


def mean_between(before: Reading, after: Reading, name: str) -> float | None:
    """The mean of what a histogram took in between two readings; None where that is nothing."""
    old, new = before.sums.get(name, (0.0, 0.0)), after.sums.get(name, (0.0, 0.0))
    count = new[1] - old[1]
    return (new[0] - old[0]) / count if count > 0 else None
