"""Key observations: who leads on each metric, with figures, and no winner where noise could be the reason."""

from collections.abc import Sequence

from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED, Lead, Metric, find_lead, metrics_of
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.formatting import differ, ratio
from quantbench.units import listed

TITLES = {SIZE.key: "Model size", SPEED.key: "Inference speed", MEMORY.key: "Memory efficiency"}


def observe(results: Rows) -> tuple[Statement, ...]:
    """One statement a metric that was measured at all."""
    return tuple(_observe(metric, results) for metric in metrics_of(results))


def figure(metric: Metric, row: Row, baseline: Row | None) -> str:
    """A row's figure with its ratio to the baseline: `32.0 tokens/s, 0.80× fp16`."""
    value = metric.value(row)
    if value is None:
        raise ValueError(f"{row.label} has no {metric.name}")
    reference = metric.value(baseline) if baseline and not row.is_baseline else None
    if baseline is None or not reference:
        return metric.show(value)
    return f"{metric.show(value)}, {ratio(value, reference)} {baseline.label}"


def figures(metric: Metric, rows: Sequence[Row], baseline: Row | None) -> str:
    """`int8 (32.0 tokens/s, 0.80× fp16) and int4 (28.0 tokens/s, 0.70× fp16)`."""
    return listed([f"{row.label} ({figure(metric, row, baseline)})" for row in rows])


def title_of(metric: Metric) -> str:
    """What an observation about this metric is called."""
    return TITLES.get(metric.key, f"Code generation, {metric.name}")


def superlative(metric: Metric, results: Rows) -> str:
    """What the leader does best."""
    if metric is SIZE:
        return "is the most compact"
    if metric is SPEED:
        return "is the fastest"
    if metric is MEMORY:
        return "uses the least GPU memory" if results.on_gpu else "uses the least memory"
    return "solves the most"


def _observe(metric: Metric, results: Rows) -> Statement:
    lead = find_lead(metric, results)
    if lead is None:
        raise ValueError(f"no figure for {metric.name}")
    title = title_of(metric)
    if metric.key not in TITLES and lead.value == 0:
        return Statement(title=title, text="no method solved a single problem.")
    if not (lead.rivals or lead.behind):
        text = f"only {lead.best.label} has a figure: {figure(metric, lead.best, results.baseline)}."
        return Statement(title=title, text=text)
    if lead.rivals:
        return _no_winner(title, metric, lead, results)
    return _winner(title, metric, lead, results)


def _winner(title: str, metric: Metric, lead: Lead, results: Rows) -> Statement:
    label = f"{lead.best.label}, the baseline," if lead.best.is_baseline else lead.best.label
    text = f"{label} {superlative(metric, results)}: {figure(metric, lead.best, results.baseline)}"
    text += f"; next {_are(lead.behind[:1])} {figures(metric, lead.behind[:1], results.baseline)}"
    return Statement(title=title, text=f"{text}.", choice=lead.best.label)


def _no_winner(title: str, metric: Metric, lead: Lead, results: Rows) -> Statement:
    baseline = results.baseline
    text = "no winner: "
    if not lead.unsure and all(metric.value(row) == lead.value for row in lead.tied):
        names = listed([row.label for row in (lead.best, *lead.tied)])
        text += f"{names} have the same figure ({figure(metric, lead.best, None)})"
    else:
        text += f"{lead.best.label} has the best figure ({figure(metric, lead.best, baseline)}), but "
        text += _rivals(metric, lead, results)
    if lead.behind:
        text += f". Behind {_are(lead.behind)} {figures(metric, lead.behind, baseline)}"
    tied = tuple(row.label for row in lead.rivals)
    return Statement(title=title, text=f"{text}.", tied=(lead.best.label, *tied))


def _rivals(metric: Metric, lead: Lead, results: Rows) -> str:
    parts = []
    if lead.tied:
        evidence = (
            "" if _in_table(metric, lead.best) else f" ({_reasons(metric, lead.best, lead.tied, results)})"
        )
        tied = figures(metric, lead.tied, results.baseline)
        parts.append(f"{tied} {_not_told(metric, lead.tied)}{evidence}")
    if lead.unsure:
        reasons = _reasons(metric, lead.best, lead.unsure, results)
        rivals = figures(metric, lead.unsure, results.baseline)
        parts.append(f"whether {rivals} really {differ(lead.unsure)} is not decided ({reasons})")
    return "; ".join(parts)


def _in_table(metric: Metric, row: Row) -> bool:
    """Whether the evidence stands problem by problem in a table of its own."""
    score = row.score(metric.key.partition(":")[2])
    return score is not None and score.solved is not None


def _reasons(metric: Metric, best: Row, rows: Sequence[Row], results: Rows) -> str:
    """The evidence once where it is the same for all rows, row by row otherwise."""
    reasons = {row.label: results.compare(metric.key, best, row).why for row in rows}
    if len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    return "; ".join(f"{label}: {why}" for label, why in reasons.items())


def _are(rows: Sequence[Row]) -> str:
    return "is" if len(rows) == 1 else "are"


def _not_told(metric: Metric, rows: Sequence[Row]) -> str:
    """Speeds are only told to be alike where that was shown; of other figures no difference was shown."""
    if metric is SPEED:
        return "are as fast" if len(rows) > 1 else "is as fast"
    return f"{_are(rows)} not significantly different from it"
