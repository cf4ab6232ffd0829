"""Why each method is as fast as it is: what bounds a decode step, from the figures of its own record.

A step must read its bytes and do its sums; whatever time is left is spent on a GPU on launching kernels and
waiting between them, on a CPU on unpacking weights, on small operations and on threads that wait. The
bytes' time follows from the bandwidth measured in the same process. The arithmetic's time is judged by the
rate that the same method reached on the prompt, a lower bound of what the device can do. A profile would
say which kernel; this only says where to look.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from quantbench.analysis.comparisons import Verdict
from quantbench.analysis.metrics import SPEED
from quantbench.analysis.rows import Results, Row
from quantbench.analysis.wording import significant
from quantbench.records import SpeedPoint
from quantbench.units import show_bytes, show_seconds

BANDWIDTH_BOUND = 0.6  # of the read bandwidth: above it fewer bytes are what helps
ARITHMETIC_BOUND = 0.5  # of the rate reached on the prompt
ALIKE = 0.002  # of a step: reading times that differ by less are not worth a word


class Bound(StrEnum):
    """What limits a decode step; shown as it is."""

    BANDWIDTH = "memory bandwidth"
    ARITHMETIC = "arithmetic"
    LAUNCHES = "launches and waiting"
    OVERHEAD = "unpacking, small operations and waiting"  # the CPU's word for the same


REMEDIES = {
    Bound.BANDWIDTH: "fewer bytes a weight, or more rows that share one reading of the weights",
    Bound.ARITHMETIC: "kernels that multiply the packed weights with less work, or more cores",
    Bound.LAUNCHES: "fewer and fused kernels in one captured graph, or more rows a step",
    Bound.OVERHEAD: "fewer and fused operations a step, cheaper unpacking, or more rows a step",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One decode step at the headline point, in seconds and bytes."""

    seconds: float
    bytes_read: int
    reading_s: float  # what reading those bytes takes at the measured bandwidth
    arithmetic_share: float | None  # rate of arithmetic, as a share of that on the prompt
    on_gpu: bool

    @property
    def bandwidth_share(self) -> float:
        return self.reading_s / self.seconds

    @property
    def other_s(self) -> float:
        """Time that reading does not explain."""
        return max(0.0, self.seconds - self.reading_s)

    @property
    def bound(self) -> Bound:
        if self.bandwidth_share >= BANDWIDTH_BOUND:
            return Bound.BANDWIDTH
        if self.arithmetic_share is not None and self.arithmetic_share >= ARITHMETIC_BOUND:
            return Bound.ARITHMETIC
        return Bound.LAUNCHES if self.on_gpu else Bound.OVERHEAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`step` is None where the record lacks a time, the bytes or the bandwidth; the text says so."""

    label: str
    step: Step | None
    text: str


def diagnose_rows(results: Results) -> tuple[Diagnosis, ...]:
    """One line a method whose speed was measured."""
    return tuple(_diagnose(row, results) for row in results.rows if row.speed and row.speed.decode)


def read_step(row: Row) -> Step | None:
    """The decode step of a row's headline point; None where a figure is missing."""
    point = headline_point(row)
    bandwidth = row.record.bandwidth
    speed = row.speed
    if point is None or bandwidth is None or not point.step_weight_bytes:
        return None
    if speed is None or speed.tpot_s is None:
        return None
    seconds = speed.tpot_s.value
    bytes_read = point.step_weight_bytes + (point.kv_bytes or 0)
    # Per row a step does the arithmetic of one token, the prompt pass that of prompt_tokens.
    prompt_s = speed.ttft_s.value if speed.ttft_s else 0.0
    share = prompt_s / point.prompt_tokens / seconds if prompt_s > 0 and point.prompt_tokens > 1 else None
    return Step(
        seconds=seconds,
        bytes_read=bytes_read,
        reading_s=bytes_read / bandwidth.read_bytes_per_s,
        arithmetic_share=share,
        on_gpu=str(row.record.trial.get("device", "")).startswith("cuda"),
    )


def headline_point(row: Row) -> SpeedPoint | None:
    """The raw point behind the row's headline speed."""
    speed = row.speed
    if speed is None:
        return None
    wanted = (speed.batch_size, speed.prompt_tokens)
    points = [p for p in row.record.speed if (p.batch_size, p.prompt_tokens) == wanted and p.decode_s]
    return points[0] if points else None


def _diagnose(row: Row, results: Results) -> Diagnosis:
    step = read_step(row)
    if step is None:
        text = "what bounds it is not known: its step's bytes or the bandwidth were not measured"
        return Diagnosis(label=row.label, step=None, text=f"{text}.{_held(row)}")
    point = headline_point(row)
    rows = point.batch_size if point else 1
    limit = rows / step.reading_s
    text = (
        f"bound by {step.bound}: a step takes {show_seconds(step.seconds)}, of which reading "
        f"{show_bytes(step.bytes_read)} explains {show_seconds(step.reading_s)} "
        f"({100 * step.bandwidth_share:.0f} % of the limit of {significant(limit)} tokens/s)."
    )
    if step.bandwidth_share > 1:
        text += " That is more than the measured bandwidth: caches held some of it, or it was measured low."
    if step.bound is Bound.ARITHMETIC and step.arithmetic_share is not None:
        cost = significant(1 / step.arithmetic_share, 2)
        text += f" A token costs {cost} times what one of the prompt costs."
    text += _held(row) + _against(row, step, results)
    return Diagnosis(label=row.label, step=step, text=f"{text} What would help: {REMEDIES[step.bound]}.")


def step_kernel(row: Row) -> str | None:
    """The kernel that multiplied matrices at the headline batch; few rows may have one of their own."""
    point = headline_point(row)
    for operation, kernel in row.record.kernels.items():
        few = re.fullmatch(r"decode step, up to (\d+) rows", operation)
        if few and point and point.batch_size <= int(few[1]):
            return kernel
    return row.record.kernels.get("linear")


def _held(row: Row) -> str:
    """The kernel that ran and what stayed at 16 bits."""
    kernel = step_kernel(row)
    text = f" Its matrices were multiplied by {kernel}." if kernel else ""
    size = row.record.size
    if size and size.kept_parameters:
        total = size.kept_parameters + size.quantized_parameters
        text += (
            f" {100 * size.kept_parameters / total:.0f} % of its matrix parameters stayed at 16 bits or more."
        )
    return text


def _against(row: Row, step: Step, results: Results) -> str:
    """Where the time went that the baseline did not need, or the other way round."""
    baseline = results.baseline
    if baseline is None or row.is_baseline:
        return ""
    other = read_step(baseline)
    verdict = results.compare(SPEED.key, row, baseline).verdict
    if other is None or verdict is not Verdict.SIGNIFICANT:
        return ""
    slower = step.seconds > other.seconds
    saved = other.reading_s - step.reading_s
    reading = f"reading is {'shorter' if saved > 0 else 'longer'} by {show_seconds(abs(saved))} a step while "
    if abs(saved) < ALIKE * step.seconds:
        reading = ""
    return (
        f" It is {'slower' if slower else 'faster'} than {baseline.label} here because {reading}"
        f"everything but reading takes {show_seconds(step.other_s)} against {show_seconds(other.other_s)}."
    )
