"""Signs that something else ran on the machine while speed was measured, in words; `disturbance` judges."""

from collections.abc import Iterator
from statistics import median

from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.formatting import counted, significant
from quantbench.records import Record, SpeedPoint
from quantbench.units import listed, show_bytes

MARK = "†"  # behind a disturbed figure
BUSY_GPU_PERCENT = 5  # before the trial began
ONE_CONTEXT_BYTES = 700_000_000  # with the driver's share; a second process that computes has one, too
TAKEN_BYTES = 2_500_000_000  # before the trial began; the driver and one context stay below
DRIFT = 0.05  # of the median, between the slowest and the fastest round


def interference_alert(results: Rows) -> str | None:
    """The warning that must stand above all others; None where no figure was disturbed.

    Each method's reason is among the details (`signs_of_interference`).
    """
    names = [row.label for row in results.rows if row.disturbed]
    if not names:
        return None
    whose = "every method" if len(names) == len(results.rows) > 1 else listed(names)
    return (
        f"The machine was busy while the speed of {whose} was measured: nothing is concluded from figures "
        f"with {MARK}. Close other programs and run again with --rounds 2."
    )


def signs_of_interference(row: Row) -> Iterator[str]:
    """Sentences, one a sign; nothing where the record has no speed."""
    record = row.record
    if not any(point.decode_s for point in record.speed):
        return
    yield from _busy_gpu(record)
    for speed in row.disturbed:
        yield f"at {speed.label} the measurement was disturbed: {speed.disturbed}."
    for speed in row.sweep:
        if speed.left_out:
            total = counted(speed.left_out + speed.repetitions, "repetition")
            verb = "was disturbed and is" if speed.left_out == 1 else "were disturbed and are"
            yield f"at {speed.label} {speed.left_out} of {total} {verb} left out."
    for point in row.points:  # what was disturbed says why itself
        drift = drift_of(point)
        if drift is not None and drift > DRIFT:
            where = f"batch {point.batch_size}, prompt {point.prompt_tokens}"
            apart = significant(100 * drift, 2)
            yield f"at {where} the rounds differ by {apart} %: the machine's speed drifts."


def _busy_gpu(record: Record) -> Iterator[str]:
    """The driver's share of busy time reaches back a second: often to the end of the trial before."""
    extra = record.environment.extra
    busy, used = extra.get("utilization_percent"), extra.get("memory_used_bytes")
    alone = isinstance(used, int) and used <= ONE_CONTEXT_BYTES
    if isinstance(busy, int) and busy > BUSY_GPU_PERCENT and not alone:
        yield (
            f"the GPU was {busy} % busy before the trial began, by the trial before it or by another "
            "process, which may have slowed it."
        )
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
