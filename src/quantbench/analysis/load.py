"""Signs that something else ran on the machine while speed was measured. Detects, does not correct."""

from collections.abc import Iterator
from statistics import median

from quantbench.analysis.wording import significant
from quantbench.records import Record, SpeedPoint
from quantbench.units import show_bytes

STARVED = 0.8  # of the threads' time: below it another process had the cores
BUSY_GPU_PERCENT = 5  # before the trial began
TAKEN_BYTES = 2_500_000_000  # before the trial began; the driver and one context stay below
DRIFT = 0.05  # of the median, between the slowest and the fastest round


def signs_of_load(record: Record) -> Iterator[str]:
    """Sentences, one a sign; nothing where the record has no speed."""
    if not any(point.decode_s for point in record.speed):
        return
    yield from _busy_gpu(record)
    on_cpu = str(record.trial.get("device", "")) == "cpu"
    for point in record.speed:
        where = f"batch {point.batch_size}, prompt {point.prompt_tokens}"
        share = median(point.cpu_share) if point.cpu_share else 1.0
        if on_cpu and share < STARVED:
            yield (
                f"at {where} the process got only {100 * share:.0f} % of its threads' time: something else "
                "used the cores, or the work did not fill them; its speed may be too low."
            )
        drift = drift_of(point)
        if drift is not None and drift > DRIFT:
            apart = significant(100 * drift, 2)
            yield f"at {where} the rounds differ by {apart} %: the machine's speed drifts."


def _busy_gpu(record: Record) -> Iterator[str]:
    extra = record.environment.extra
    busy = extra.get("utilization_percent")
    if isinstance(busy, int) and busy > BUSY_GPU_PERCENT:
        yield f"the GPU was {busy} % busy before the trial began: another process may have slowed it."
    used = extra.get("memory_used_bytes")
    if isinstance(used, int) and used > TAKEN_BYTES:
        yield f"{show_bytes(used)} of the GPU's memory were in use before the trial began."


def drift_of(point: SpeedPoint) -> float | None:
    """Range of the rounds' median decode times over their median; None with fewer than two rounds."""
    if len(point.round_of) != len(point.decode_s):
        return None
    grouped: dict[int, list[float]] = {}
    for number, seconds in zip(point.round_of, point.decode_s, strict=True):
        grouped.setdefault(number, []).append(seconds)
    medians = [median(times) for times in grouped.values()]
    if len(medians) < 2:
        return None
    return (max(medians) - min(medians)) / median(medians)
