"""What vLLM and sglang tell of themselves at /metrics: sums of their timings, and the use of their cache."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from quantbench.errors import ServerError
from quantbench.serving.dialects import Timings
from quantbench.serving.http import Server

FIRST = ("time_to_first_token_seconds",)
BETWEEN = ("inter_token_latency_seconds", "time_per_output_token_seconds")  # newer, older name
LINE = re.compile(r"^(?:vllm|sglang):(\w+)_(sum|count)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)
SHARE = re.compile(
    r"^(?:vllm:(?:kv|gpu)_cache_usage_perc|sglang:token_usage)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE
)
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Reading:
    """Histogram name -> (sum of seconds, count)."""

    sums: dict[str, tuple[float, float]]


def read_metrics(server: Server) -> Reading | None:
    """The histograms now; None where the server has none."""
    text = metrics_text(server)
    if text is None:
        return None
    found: dict[str, dict[str, float]] = {}
    for name, part, value in LINE.findall(text):
        found.setdefault(name, {}).setdefault(part, 0.0)
        found[name][part] += float(value)
    return Reading({name: (parts.get("sum", 0.0), parts.get("count", 0.0)) for name, parts in found.items()})


def metrics_text(server: Server) -> str | None:
    """The page of metrics; None where the server has none."""
    try:
        return server.text("/metrics").decode(errors="replace")
    except ServerError:
        return None


def timings_between(before: Reading | None, after: Reading | None, new_tokens: int) -> Timings | None:
    """Mean time to first token, and the time of the tokens behind it at the mean gap; None if not told."""
    if before is None or after is None:
        return None
    first, gap = mean_between(before, after, FIRST), mean_between(before, after, BETWEEN)
    if first is None or gap is None:
        return None
    return Timings(ttft_s=first, decode_s=gap * (new_tokens - 1))


def mean_between(before: Reading, after: Reading, names: tuple[str, ...]) -> float | None:
    """The mean of what the first known histogram took in between two readings; None where that is nothing."""
    name = next((name for name in names if name in after.sums), "")
    old, new = before.sums.get(name, (0.0, 0.0)), after.sums.get(name, (0.0, 0.0))
    count = new[1] - old[1]
    return (new[0] - old[0]) / count if count > 0 else None


def cache_share(text: str) -> float | None:
    """The share of its cache that a server uses now, the largest of its workers'; None if not told."""
    found = [float(value) for value in SHARE.findall(text)]
    return max(found) if found else None


def peak_cache_share(server: Server, work: Callable[[], object]) -> float | None:
    """The largest share of its cache that a server tells to use while `work` runs; None where it tells none.

    `work` then does not run. The server is asked every LOOK_S seconds, which costs it time: nothing may be
    timed meanwhile.
    """
    if cache_share(metrics_text(server) or "") is None:
        return None
    shares: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while True:
            if (share := cache_share(metrics_text(server) or "")) is not None:
                shares.append(share)
            if ended.wait(LOOK_S):
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return max(shares, default=0.0) or None
