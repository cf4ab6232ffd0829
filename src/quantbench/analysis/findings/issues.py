"""What went wrong or was not done as asked: failures, warnings, layers left alone, answers cut short."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from quantbench.analysis.comparison.rows import Rows
from quantbench.analysis.figures.scores import Score
from quantbench.analysis.findings.interference import signs_of_interference
from quantbench.analysis.formatting import counted, one_line, significant
from quantbench.records import Outcome, Record
from quantbench.units import listed

SANDBOX_OUTCOMES = {
    Outcome.TIMED_OUT: "timed out",
    Outcome.OUT_OF_MEMORY: "ran out of memory",
    Outcome.CRASHED: "crashed",
    Outcome.FORBIDDEN: "tried what the sandbox forbids",
}
NAMED_LAYERS = 3
UNCONTAINED = "unsafe-no-sandbox"  # the sandbox mode that contains nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing a reader must know before trusting a figure."""

    label: str  # the trial, or several of them; empty where it concerns the whole report
    text: str
    failed: bool = False  # the trial itself ended early
    interference: bool = False  # a sign that something else ran; the report's head says what follows from it


def find_issues(results: Rows) -> tuple[Issue, ...]:
    """Failures first, then everything else in the rows' order."""
    records = [(row.label, row.record) for row in results.rows]
    records += [(f"{record.method}, second run", record) for record in results.floors]
    records += [(f"{record.method}, for scale", record) for record in results.context]
    found = [Issue(label="", text=text) for text in results.left_out]
    for label, record in records:
        found += _of_record(label, record)
    found += _other_engines(results)
    for row in results.rows:
        found += [Issue(label=row.label, text=sign, interference=True) for sign in signs_of_interference(row)]
        found += [Issue(label=row.label, text=text) for score in row.scores for text in _of_score(score)]
    return tuple(sorted(_merged(found), key=lambda issue: not issue.failed))


def _other_engines(results: Rows) -> Iterable[Issue]:
    """Rows that another engine than the baseline's ran."""
    baseline = results.baseline
    for row in results.rows:
        own, other = row.record.engine, baseline.record.engine if baseline else None
        if own and other and own != other:
            text = (
                f"ran with the engine '{own.shown}', the baseline with '{other.shown}': in speed, memory and "
                "answers it differs from the baseline by the engine too, not by the method alone."
            )
            yield Issue(label=row.label, text=text)


def _merged(issues: Iterable[Issue]) -> Iterable[Issue]:
    """The same words about several trials once, with all their labels."""
    same: dict[tuple[str, bool], list[Issue]] = {}
    for issue in issues:
        same.setdefault((issue.text, issue.failed), []).append(issue)
    for found in same.values():
        yield replace(found[0], label=listed(list(dict.fromkeys(issue.label for issue in found))))


def _of_record(label: str, record: Record) -> Iterable[Issue]:
    if record.failure:
        failure = record.failure
        text = f"failed in the stage '{failure.stage}': {failure.message}"
        yield Issue(label=label, text=one_line(text), failed=True)
    for point in record.speed:
        if point.failure:
            where = f"batch {point.batch_size}, prompt {point.prompt_tokens}"
            yield Issue(label=label, text=one_line(f"no speed at {where}: {point.failure}"))
    for warning in record.warnings:
        yield Issue(label=label, text=one_line(warning))
    for kernel in record.kernels:
        if kernel.reason:
            yield Issue(label=label, text=one_line(f"slower kernels ran: {kernel.name}: {kernel.reason}"))
    if record.size and record.size.kept_parameters:
        yield Issue(label=label, text=_kept(record))


def _kept(record: Record) -> str:
    size = record.size
    if size is None:
        raise ValueError("no size")
    total = size.kept_parameters + size.quantized_parameters
    share = significant(100 * size.kept_parameters / total) if total else "0"
    names = list(size.kept_layers[:NAMED_LAYERS])
    if len(size.kept_layers) > NAMED_LAYERS:
        names.append(f"{len(size.kept_layers) - NAMED_LAYERS} more")
    where = f": {listed(names)}" if names else ""
    return f"{share} % of the matrix parameters stayed at 16 bits or more{where}."


def _of_score(score: Score) -> Iterable[str]:
    if score.result.note and score.result.comparable:  # otherwise the score's own section says it
        yield one_line(f"{score.title}: {score.result.note}")
    if score.result.sandbox == UNCONTAINED:
        yield f"{score.title}: the programs ran without containment, as asked by --{UNCONTAINED}."
    if score.cut:
        yield (
            f"{score.title}: {score.cut} of {counted(score.total, 'completion')} met the length limit "
            "and may have been cut short."
        )
    odd = [f"{score.outcomes[o]} {words}" for o, words in SANDBOX_OUTCOMES.items() if score.outcomes.get(o)]
    if odd:
        yield f"{score.title}: of {counted(score.total, 'program')}, {listed(odd)}."
