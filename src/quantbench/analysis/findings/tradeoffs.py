"""What each method gives and takes against the baseline, in figures; and what the figures have in common."""

from collections.abc import Iterable

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED, Metric, score_metrics
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.formatting import counted, ratio, signed
from quantbench.units import listed

CLEARLY_LESS = 0.05  # of a ratio: memory that shrinks by this much less than size is worth a sentence


def trade_offs(results: Rows) -> tuple[Statement, ...]:
    """One statement a method beside the baseline, then what holds across methods."""
    baseline = results.baseline
    if baseline is None or not baseline.measured:
        return (_no_baseline(results),)
    others = [row for row in results.rows if not row.is_baseline and row.measured]
    statements = [_against(row, baseline, results) for row in others]
    return (*statements, *_across(others, baseline, results))


def _no_baseline(results: Rows) -> Statement:
    why = "has no record here" if results.baseline is None else "has no figures"
    text = f"the baseline {results.baseline_name} {why}, so nothing can be set in relation to it."
    return Statement(title="No baseline", text=text)


def _against(row: Row, baseline: Row, results: Rows) -> Statement:
    ratios = [part for metric in (SIZE, MEMORY, SPEED) if (part := share_of(metric, row, baseline, results))]
    parts = [f"{listed(ratios)} of {baseline.label}"] if ratios else []
    parts += [
        part for metric in score_metrics(results) if (part := _score_change(metric, row, baseline, results))
    ]
    text = "; ".join(parts) or f"no figure can be compared with {baseline.label}"
    return Statement(title=row.label, text=f"{text}.", choice=row.label)


def share_of(metric: Metric, row: Row, baseline: Row, results: Rows) -> str | None:
    """A row's size, memory or speed against the baseline's, and whether the difference is shown."""
    value, reference = metric.value(row), metric.value(baseline)
    if value is None or not reference:
        return None
    noun = {SIZE.key: "size", MEMORY.key: "memory", SPEED.key: "speed"}[metric.key]
    remark = {
        Verdict.NOT_SIGNIFICANT: " (no difference shown)" if metric is not SIZE else "",
        Verdict.UNDECIDED: " (not decided)",
        Verdict.SIGNIFICANT: "",
    }[results.compare(metric.key, row, baseline).verdict]
    return f"{ratio(value, reference)} the {noun}{remark}"


def _score_change(metric: Metric, row: Row, baseline: Row, results: Rows) -> str | None:
    task = metric.key.partition(":")[2]
    own, reference = row.score(task), baseline.score(task)
    if own is None or reference is None:
        return None
    points = 100 * (own.pass_at_1 - reference.pass_at_1)
    change = f"{own.title} pass@1 {signed(points)} points" if points else f"{own.title} pass@1 unchanged"
    if results.compare(metric.key, row, baseline).verdict is Verdict.SIGNIFICANT:
        return f"{change}, a significant difference"
    return f"{change}, no difference shown"


def _across(others: list[Row], baseline: Row, results: Rows) -> Iterable[Statement]:
    smaller = [row for row in others if _less(SIZE, row, baseline)]
    if not smaller:
        return
    if speed := _bits_and_speed(smaller, baseline, results):
        yield speed
    if memory := _memory_and_size(smaller, baseline, results):
        yield memory
    if quality := _bits_and_quality(smaller, baseline, results):
        yield quality


def _less(metric: Metric, row: Row, baseline: Row) -> bool:
    value, reference = metric.value(row), metric.value(baseline)
    return value is not None and reference is not None and value < reference


def _bits_and_speed(smaller: list[Row], baseline: Row, results: Rows) -> Statement | None:
    compared = {row.label: results.compare(SPEED.key, row, baseline).verdict for row in smaller}
    real = [row for row in smaller if compared[row.label] is Verdict.SIGNIFICANT]
    slower = [row.label for row in real if _less(SPEED, row, baseline)]
    faster = [row.label for row in real if row.label not in slower]
    if not slower and not faster:
        return None
    parts = [f"{listed(faster)} decoded faster than {baseline.label}"] if faster else []
    parts += [f"{listed(slower)} decoded slower than {baseline.label}"] if slower else []
    lesson = {
        (True, False): "fewer bytes to read bought speed on this machine",
        (False, True): "fewer bits did not buy speed on this machine: size alone decides nothing about it",
        (True, True): "fewer bits bought speed with some methods only: the kernel decides, not the size",
    }[bool(faster), bool(slower)]
    return Statement(title="Bits and speed", text=f"{lesson}; {' and '.join(parts)}.")


def _memory_and_size(smaller: list[Row], baseline: Row, results: Rows) -> Statement | None:
    sized = [row for row in smaller if row.memory_bytes and baseline.memory_bytes]
    if not sized or not baseline.weight_bytes or not baseline.memory_bytes:
        return None
    row = min(sized, key=lambda row: row.weight_bytes or 0)
    size = (row.weight_bytes or 0) / baseline.weight_bytes
    memory = (row.memory_bytes or 0) / baseline.memory_bytes
    if memory - size < CLEARLY_LESS:
        return None
    rest = (
        "the key-value cache, activations and work space"
        if results.on_gpu
        else "the process and its libraries"
    )
    verdict = results.compare(MEMORY.key, row, baseline).verdict
    if verdict is Verdict.NOT_SIGNIFICANT or memory > 1:
        lead = "memory does not shrink with the weights"
    else:
        lead = "memory shrinks less than the weights"
    text = (
        f"{lead}: {row.label} keeps {ratio(memory, 1)} the memory with "
        f"{ratio(size, 1)} the size, as {rest} do not get smaller."
    )
    return Statement(title="Memory and size", text=text)


def _bits_and_quality(smaller: list[Row], baseline: Row, results: Rows) -> Statement | None:
    tried = {
        row.label: [results.compare(metric.key, row, baseline).verdict for metric in score_metrics(results)]
        for row in smaller
    }
    scored = [
        label
        for label, verdicts in tried.items()
        if any(verdict is not Verdict.UNDECIDED for verdict in verdicts)
    ]
    if not scored:
        return None
    hurt = [label for label in scored if Verdict.SIGNIFICANT in tried[label]]
    if hurt:
        text = f"{listed(hurt)} changed the results by more than chance explains."
    else:
        text = f"no loss is proven for {listed(scored, 'or')}: {counted(len(scored), 'method')} compared, "
        text += "every difference within what chance explains. That is no proof that nothing was lost."
    return Statement(title="Bits and quality", text=text)
