"""Why each method's decode step takes as long as it does: shares of its time, and a cause where one is shown.

A cause is named only where an experiment shows it: reading the weights, when the step takes little longer
than a buffer of their size takes to be read, and further rows are nearly free; the rows, when more of them
cost it; the context, when a longer one costs it. Otherwise there are shares and no cause: what is left may be
unpacking, launches, synchronisation or small operations, which these experiments do not tell apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.figures.step_parts import Part, Parts, headline_point, parts_of
from quantbench.analysis.findings.engines import server_times
from quantbench.analysis.formatting import significant
from quantbench.kernels import find_kernel
from quantbench.units import listed, show_bytes, show_seconds

MOST = 0.5  # of a step: a part that surely takes more is the cause
NEARLY_ALL = 0.7  # of a step: reading that takes at least as much bounds it
NEARLY_FREE = 0.25  # of a step: what rows and context may cost beside reading
STAGES = 3  # the longest ones are named
KERNEL_FACTS = ("attention", "flash attention", "linear", "linear instead", "compiled", "instructions")


class Cause(StrEnum):
    """What an experiment showed to take most of a step; shown as it is."""

    MEMORY = "reading the weights from memory"
    CACHE = "reading the weights from the cache"
    ROWS = "the work of each row"
    CONTEXT = "attention over the context"


REMEDIES = {
    Cause.MEMORY: "fewer bytes a weight, or more rows that share one reading",
    Cause.CACHE: "fewer bytes a weight, or more rows that share one reading",
    Cause.ROWS: "less arithmetic a row: more rows do not get cheaper",
    Cause.CONTEXT: "shorter texts, or fewer bytes a key and value",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """`parts` is None where the record lacks a time, the bytes or the bandwidth; the text says so."""

    label: str
    parts: Parts | None
    cause: Cause | None
    text: str


def diagnose_rows(results: Rows) -> tuple[Diagnosis, ...]:
    """One line a method whose speed was measured without disturbance."""
    return tuple(_diagnose(row) for row in results.rows if row.speed and row.speed.decode)


def cause_of(parts: Parts) -> Cause | None:
    """What surely takes most of the step; None where no experiment shows it."""
    step = parts.step
    for part, cause in ((parts.context, Cause.CONTEXT), (parts.rows, Cause.ROWS)):
        if part is not None and part.interval.low > MOST * step.interval.high:
            return None if parts.reading_s > MOST * step.seconds else cause  # both at once: they overlap
    if parts.rows is None or parts.reading_s < NEARLY_ALL * step.interval.high:
        return None
    beside = [part.interval.high for part in (parts.rows, parts.context) if part is not None]
    if sum(beside) > NEARLY_FREE * step.seconds:
        return None
    return Cause.CACHE if parts.from_cache else Cause.MEMORY


def _diagnose(row: Row) -> Diagnosis:
    parts = parts_of(row)
    if parts is None and row.record.served:
        return Diagnosis(label=row.label, parts=None, cause=None, text=" ".join(served_evidence(row)))
    if parts is None:
        text = "what bounds it is not known: its step's bytes or the bandwidth were not measured."
        return Diagnosis(label=row.label, parts=None, cause=None, text=f"{text}{_held(row)}")
    cause = cause_of(parts)
    named = f"bound by {cause}." if cause else "no single cause was shown."
    text = f"{named} {_shares(parts)}{_stages(row)}{_held(row)}"
    if cause:
        text += f" What would help: {REMEDIES[cause]}."
    return Diagnosis(label=row.label, parts=parts, cause=cause, text=text)


def served_evidence(row: Row) -> Iterator[str]:
    """What is known of a step behind a server: by whom its time is counted, and what more requests cost."""
    yield "what bounds it is not known: its server does not tell what a step reads."
    times = server_times(row)
    if times and times.tpot_s is not None and times.own_tpot_s is not None:
        yield (
            f"A token takes {show_seconds(times.tpot_s)} at the client, of which the server itself counts "
            f"{show_seconds(times.own_tpot_s)}."
        )
    head = row.speed
    more = [s for s in row.sweep if head and s.prompt_tokens == head.prompt_tokens and s.tpot_s]
    most = max(more, key=lambda speed: speed.batch_size, default=head)
    if head and most and head.tpot_s and most.tpot_s and most.batch_size > head.batch_size:
        yield (
            f"With {most.batch_size} requests at once in place of {head.batch_size} a token of each takes "
            f"{most.tpot_s.value / head.tpot_s.value:.2f} times as long."
        )
    facts = row.record.served.facts if row.record.served else {}
    told = [f"{name}: {facts[name]}" for name in KERNEL_FACTS if name in facts]
    if told:
        yield f"Its log names {'; '.join(told)}."


def _shares(parts: Parts) -> str:
    step = parts.step
    where = "a cache holds them: " if parts.from_cache else ""
    text = (
        f"A step takes {show_seconds(step.seconds)}. Reading {show_bytes(parts.weight_bytes)} of weights at "
        f"the best rate measured for as many ({where}{significant(parts.rate / 1e9)} GB/s) takes "
    )
    if parts.outrun:
        text += (
            f"{show_seconds(parts.reading_s)}: the step outran the probe, which is therefore no limit, and "
            "reading may take all of it"
        )
    else:
        text += f"{show_seconds(parts.reading_s)} ({_share(parts.reading_s, parts)})"
    rows, context, rest = parts.rows, parts.context, parts.rest
    told = [(rows, f"the work of {_rows(step.rows)}"), (context, "attention over the context")]
    measured = [f"{name} {_part(part, parts)}" for part, name in told if part is not None]
    missing = [name for part, name in told if part is None]
    if measured:
        text += f"; {listed(measured)}"
    if rest is not None and not parts.outrun:
        text += f"; the rest, which neither rows nor context change, {_part(rest, parts)}"
    return text + (f". Not measured: {listed(missing)}." if missing else ".")


def _rows(count: int) -> str:
    return "the row" if count == 1 else f"the {count} rows"


def _share(seconds: float, parts: Parts) -> str:
    return f"{100 * seconds / parts.step.seconds:.0f} %"


def _part(part: Part, parts: Parts) -> str:
    low, high = (_share(end, parts).removesuffix(" %") for end in (part.interval.low, part.interval.high))
    span = "" if low == high else f" [{low}, {high}]"
    return f"{_share(part.seconds, parts)}{span}"


def _stages(row: Row) -> str:
    """Where the step's own kernel noted its time, the longest stages."""
    stages = sorted(row.record.stages.items(), key=lambda pair: -pair[1])[:STAGES]
    if not stages:
        return ""
    named = listed([f"{name} {100 * share:.0f} %" for name, share in stages])
    return f" Its kernel notes these stages as the longest within a layer: {named}."


def step_kernel(row: Row) -> str | None:
    """The kernel that multiplied matrices at the headline batch; few rows may have one of their own.

    A step with a reason stands where a kernel of its own was hoped for: its products are those of more rows.
    """
    point, kernels = headline_point(row), row.record.kernels
    if point is not None:
        step = find_kernel(kernels, "decode step", point.batch_size)
        if step and step.max_batch is not None and step.reason is None:
            return step.name
        if few := find_kernel(kernels, "linear of few rows", point.batch_size):
            return few.name
    linear = find_kernel(kernels, "linear")
    return linear.name if linear else None


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
