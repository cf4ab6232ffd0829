"""Recommendations for the four use cases of the reference report, each with its figures and its doubt.

A method whose loss is proven and larger than tolerated is never chosen: where it would come first without
its loss, it is named with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.losses import TOLERATED, quality_remark, refusals, without_refused
from quantbench.analysis.comparison.metrics import (
    MEMORY,
    RESPONSE,
    SIZE,
    SPEED,
    Lead,
    Metric,
    find_lead,
    score_metrics,
)
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.speed_tests import NEGLIGIBLE
from quantbench.analysis.findings.balance import Balance, balance_of
from quantbench.analysis.findings.observations import figure, figures
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.formatting import differ, lower_first
from quantbench.units import listed

BALANCE = "Best overall balance"
RESOURCES = "For resource-constrained environments"
QUALITY = "For performance-critical applications (code quality)"
LATENCY = "For latency-sensitive applications"
USE_CASES = {  # for one line
    BALANCE: "overall balance",
    RESOURCES: "least resources",
    QUALITY: "code quality",
    LATENCY: "latency",
}


def recommend_for_use_cases(results: Rows) -> tuple[Statement, ...]:
    """The four recommendations; one that the figures do not allow says what is missing."""
    kept = without_refused(results)
    return (
        _guarded(_balance, results, kept),
        _guarded(_resources, results, kept),
        _quality(results),
        _guarded(_latency, results, kept),
    )


def _guarded(make: Callable[[Rows], Statement], results: Rows, kept: Rows) -> Statement:
    """The recommendation among methods without a refused loss, and who would come first but for that."""
    statement, first = make(kept), make(results).choice
    labels = [row.label for row in kept.rows if row.measured]
    if first is not None and first not in labels and len(labels) == 1:
        others = [row.label for row in results.rows if row not in kept.rows]
        text = f"{labels[0]}, as every other method has a proven loss beyond the tolerance: "
        return Statement(title=statement.title, text=f"{text}{refusals(results, others)}.", choice=labels[0])
    chosen = next((row for row in kept.rows if row.label == statement.choice), None)
    text = statement.text + (quality_remark(chosen, results) if chosen else "")
    if first is not None and first not in labels:
        text += (
            f" {first} would come first, but a proven loss must leave a recovery of {TOLERATED:g}: "
            f"{refusals(results, [first])}."
        )
    return replace(statement, text=text)


def _nothing(title: str, missing: str) -> Statement:
    return Statement(title=title, text=f"no recommendation: {missing}.")


def _balance(results: Rows) -> Statement:
    balance = balance_of(results)
    unusable = disturbed_part(results) and all(SPEED.value(row) is None for row in results.rows)
    if balance is None or unusable:
        missing = "fewer than two methods have every figure that the rule needs"
        return _nothing(BALANCE, missing + disturbed_part(results))
    best, *equal = balance.best
    rule = f"highest mean of {listed(balance.parts)}, each scaled from 0 (worst) to 1 (best)"
    totals = ", ".join(f"{row.label} {total:.2f}" for row, total in balance.totals)
    text = f"{best.label}, by the {rule}: {totals}."
    if equal:
        text += f" {listed([row.label for row in equal])} reach the same mean."
    text += _runner_up(balance, results) + _without_noise(balance, results) + _not_ranked(balance)
    others = [row for row, _ in balance.totals[1:]]
    tied = tuple(row.label for row in others if row in equal or not _really_apart(best, row, results))
    return Statement(title=BALANCE, text=text, choice=best.label, tied=tied)


def _balance_metrics(results: Rows) -> tuple[Metric, ...]:
    return (SIZE, SPEED, *score_metrics(results))


def _really_apart(one: Row, other: Row, results: Rows) -> list[Metric]:
    """The metrics of the balance on which two rows are shown to differ."""
    return [
        m
        for m in _balance_metrics(results)
        if results.compare(m.key, one, other).verdict is Verdict.SIGNIFICANT
    ]


def _runner_up(balance: Balance, results: Rows) -> str:
    """What really separates the first two."""
    first, second = (row for row, _ in balance.totals[:2])
    real = [lower_first(metric.name) for metric in _really_apart(first, second, results)]
    if len(real) == sum(metric.value(first) is not None for metric in _balance_metrics(results)):
        return ""
    if not real:
        return f" No part is shown to differ between {first.label} and {second.label}."
    verb = "is" if len(real) == 1 else "are"
    return f" Between {first.label} and {second.label}, only {listed(real)} {verb} shown to differ."


def _without_noise(balance: Balance, results: Rows) -> str:
    """How the choice changes when parts on which no two methods are shown to differ are left out."""
    sober = balance_of(results, without_noise=True)
    if sober is None:
        return " No two methods are shown to differ on any part of it."
    dropped = [part for part in balance.parts if part not in sober.parts]
    if not dropped:
        return ""
    names = [row.label for row in sober.best]
    verb = "leads" if len(names) == 1 else "come out equal"
    return (
        f" No difference in {listed(dropped)} is shown, yet the scaling stretches the figures from "
        f"0 to 1; without {listed(dropped)}, {listed(names)} {verb}."
    )


def _not_ranked(balance: Balance) -> str:
    if not balance.left_out:
        return ""
    return f" Not ranked, as figures are missing: {listed([row.label for row in balance.left_out])}."


def _resources(results: Rows) -> Statement:
    """The least size and memory, both as shares of the largest figure."""
    rows = [row for row in results.rows if row.weight_bytes is not None]
    metrics = [SIZE]
    if rows and all(row.memory_bytes is not None for row in rows):
        metrics.append(MEMORY)
    if len(rows) < 2:
        return _nothing(RESOURCES, "fewer than two methods have a measured size")
    best = min(rows, key=lambda row: (_mean_share(metrics, row, rows), not row.is_baseline))
    if all(row.weight_bytes == best.weight_bytes for row in rows):
        return _nothing(RESOURCES, "all methods have the same size")
    parts = [f"{lower_first(metric.name)} {figure(metric, best, results.baseline)}" for metric in metrics]
    text = f"{best.label}: {'; '.join(parts)}."
    if MEMORY not in metrics:
        text += " Memory was not measured for every method, so size alone decides."
    else:
        text += _least_memory(best, rows, results)
    return Statement(title=RESOURCES, text=text, choice=best.label)


def _least_memory(best: Row, rows: Sequence[Row], results: Rows) -> str:
    lead = find_lead(MEMORY, results, rows)
    if lead is None or lead.best is best:
        return ""
    if best in lead.rivals:
        return f" Its memory is not significantly different from the least ({lead.best.label})."
    return f" {lead.best.label} needs less memory: {figure(MEMORY, lead.best, results.baseline)}."


def _mean_share(metrics: Sequence[Metric], row: Row, rows: Sequence[Row]) -> float:
    shares = [(m.value(row) or 0) / max(m.value(other) or 0 for other in rows) for m in metrics]
    return sum(shares) / len(shares)


def _quality(results: Rows) -> Statement:
    """The baseline, unless another method is really better; the best figure where there is no baseline.

    The first task on which anything was solved decides; the others can only speak against a method.
    """
    if not results.tasks and results.asked_harness:
        return _nothing(
            QUALITY, "only tasks of lm-eval were run: their table says what differs, none decides"
        )
    if not results.tasks:
        return _nothing(QUALITY, "no task has a result, so nothing is known about quality")
    metrics = score_metrics(results)
    solved = [metric for metric in metrics if any(metric.value(row) for row in results.rows)]
    if not solved:
        return _nothing(QUALITY, "no method solved a single problem, so nothing is known about quality")
    metric = solved[0]
    lead = find_lead(metric, results)
    if lead is None or not (lead.rivals or lead.behind):
        return _nothing(QUALITY, f"fewer than two methods have a figure for {metric.name}")
    choice, text = _best_quality(metric, lead, results)
    tied, worse = [], []
    for row in (lead.best, *lead.rivals):
        beaten = [] if row is choice else _beaten_on(row, choice, results, solved[1:])
        worse += [f"On {task} {row.label} is significantly worse than {choice.label}." for task in beaten]
        if row is not choice and not beaten:
            tied.append(row.label)
    text = " ".join([text, *worse])
    return Statement(title=QUALITY, text=text, choice=choice.label, tied=tuple(tied))


def _best_quality(metric: Metric, lead: Lead, results: Rows) -> tuple[Row, str]:
    """The choice and why it was chosen."""
    best, baseline = lead.best, results.baseline
    figures_of_best = f"{metric.name} {figure(metric, best, baseline)}"
    if baseline is None or metric.value(baseline) is None:
        doubt = ""
        if lead.rivals:
            names = listed([row.label for row in lead.rivals])
            be = "is" if len(lead.rivals) == 1 else "are"
            doubt = f" {names} {be} not significantly different from it, and there is no baseline to prefer."
        return best, f"{best.label}: highest {figures_of_best}.{doubt}"
    if best is baseline:
        doubt = f" {_doubt(metric, lead, baseline)}" if lead.rivals else ""
        return baseline, f"{baseline.label}: highest {figures_of_best}.{doubt}"
    verdict = results.compare(metric.key, best, baseline)
    if verdict.verdict is Verdict.SIGNIFICANT:
        return best, f"{best.label}: {figures_of_best}, a significant difference."
    return baseline, (
        f"{baseline.label}, the baseline ({metric.show(metric.value(baseline) or 0)}): {best.label} has the "
        f"higher {figures_of_best}, but the two are not significantly different."
    )


def _beaten_on(row: Row, choice: Row, results: Rows, metrics: Sequence[Metric]) -> list[str]:
    """Which of the other tasks' scores are significantly worse than the choice's."""
    found = []
    for metric in metrics:
        verdict, own, other = (
            results.compare(metric.key, row, choice),
            metric.value(row),
            metric.value(choice),
        )
        if verdict.verdict is Verdict.SIGNIFICANT and own is not None and other is not None and own < other:
            found.append(metric.name)
    return found


def _doubt(metric: Metric, lead: Lead, baseline: Row) -> str:
    task = metric.key.partition(":")[2]
    counts = [score.problems for row in lead.rivals if (score := row.score(task))]
    if all(metric.value(row) == lead.value for row in lead.rivals):
        names = listed([row.label for row in lead.rivals])
        return (
            f"{names} solved as many of {min(counts)} problems, which shows no difference and proves no "
            "equality: the baseline is preferred because it changes nothing."
        )
    return (
        f"At n = {min(counts)} problems that proves nothing against "
        f"{figures(metric, lead.rivals, baseline)}: "
        "they are not significantly different, and the baseline is preferred because it changes nothing."
    )


def _latency(results: Rows) -> Statement:
    """The shortest time from prompt to last token; among those that tie, the smallest."""
    metric = RESPONSE if any(RESPONSE.value(row) is not None for row in results.rows) else SPEED
    lead = find_lead(metric, results)
    if lead is None or not (lead.rivals or lead.behind):
        missing = "fewer than two methods have a measured speed"
        return _nothing(LATENCY, missing + disturbed_part(results))
    choice = min((lead.best, *lead.tied), key=lambda row: (_size_or_inf(row), row is not lead.best))
    text = f"{choice.label}: {_response(metric, choice, results)}"
    tied = tuple(row.label for row in (lead.best, *lead.rivals) if row is not choice)
    if choice is not lead.best:
        alike = listed([row.label for row in (lead.best, *lead.tied) if row is not choice])
        text += f"; it differs from {alike} by less than {100 * NEGLIGIBLE:.0f} % and is the smallest of them"
    elif lead.tied:
        alike = figures(metric, lead.tied, results.baseline)
        text += f"; {alike} {differ(lead.tied)} from it by less than {100 * NEGLIGIBLE:.0f} %"
    for row in lead.unsure:
        why = results.compare(metric.key, lead.best, row).why
        text += f"; not decided between {lead.best.label} and {row.label}: {why}"
    return Statement(title=LATENCY, text=f"{text}.", choice=choice.label, tied=tied)


def disturbed_part(results: Rows) -> str:
    """Why measured speeds may count as missing; empty where none does."""
    labels = [row.label for row in results.rows if row.disturbed_speed]
    return f" (that of {listed(labels)} was disturbed by other programs)" if labels else ""


def _response(metric: Metric, row: Row, results: Rows) -> str:
    speed = row.speed
    if metric is SPEED or speed is None:
        return figure(metric, row, results.baseline)
    text = f"{speed.new_tokens} tokens after a prompt of {speed.prompt_tokens} at batch {speed.batch_size}"
    return f"{text} took {figure(RESPONSE, row, results.baseline)} ({figure(SPEED, row, results.baseline)})"


def _size_or_inf(row: Row) -> float:
    return float("inf") if row.weight_bytes is None else row.weight_bytes
