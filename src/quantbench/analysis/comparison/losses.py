"""What a method loses in quality, and whether the loss is proven: a destroyed method is never recommended.

The reference is the baseline, or the best score where the baseline has none. A loss is refused when it is
proven and leaves less than the tolerated share of the reference's pass@1. Where no score can tell, because
no task was run or nobody solved anything, perplexity over the same text takes its place: its inverse ratio
is the share that is left.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from quantbench.analysis.comparison.comparisons import Verdict
from quantbench.analysis.comparison.rows import Row, Rows
from quantbench.analysis.comparison.score_tests import score_key
from quantbench.analysis.figures.scores import task_title
from quantbench.analysis.formatting import significant
from quantbench.stats import exponential_of_ratio
from quantbench.units import listed

TOLERATED = 0.9  # recovery: share of the reference's pass@1 that must be left unless asked otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One method below the reference on one task, or in perplexity."""

    label: str
    recovery: float  # what is left, as a share of the reference
    proven: bool
    text: str  # a clause without a full stop

    def refused(self, least: float = TOLERATED) -> bool:
        return self.proven and self.recovery < least


def losses_of(row: Row, results: Rows) -> tuple[Loss, ...]:
    """Every score below the reference's; perplexity's where no score can tell."""
    references = {task: reference for task in results.tasks if (reference := reference_of(task, results))}
    found = [_loss(task, row, reference, results) for task, reference in references.items()]
    if not references:
        found = [_perplexity_loss(row, results)]
    return tuple(loss for loss in found if loss is not None and loss.recovery < 1)


def reference_of(task: str, results: Rows) -> Row | None:
    """The baseline, or the best row where the baseline has no score; None where the score is 0 or missing."""
    scored = {row.label: score.pass_at_1 for row in results.rows if (score := row.score(task))}
    baseline = results.baseline
    if baseline is not None and baseline.label in scored:
        return baseline if scored[baseline.label] else None
    best = max(
        (row for row in results.rows if row.label in scored), key=lambda r: scored[r.label], default=None
    )
    return best if best is not None and scored[best.label] else None


def quality_known(results: Rows) -> bool:
    """Whether any score can tell what a method loses."""
    return any(reference_of(task, results) for task in results.tasks)


def refused_losses(row: Row, results: Rows, least: float = TOLERATED) -> tuple[Loss, ...]:
    """The proven losses that leave less than `least`."""
    return tuple(loss for loss in losses_of(row, results) if loss.refused(least))


def without_refused(results: Rows) -> Rows:
    """The results without methods whose loss is refused; comparisons stay those of the whole report."""
    return replace(results, rows=tuple(row for row in results.rows if not refused_losses(row, results)))


def quality_remark(row: Row, results: Rows) -> str:
    """What a reader must know about a recommended method's quality, with a space before it; else nothing."""
    if row.is_baseline:
        return ""
    losses = losses_of(row, results)
    proven = [loss.text for loss in losses if loss.proven]
    doubtful = [loss.text for loss in losses if not loss.proven and loss.recovery < TOLERATED]
    remarks = [f"Its loss is proven and tolerated: {listed(proven)}."] if proven else []
    remarks += [f"A loss is not ruled out: {listed(doubtful)}, not proven."] if doubtful else []
    if not quality_known(results):
        remarks.append("What it costs in quality is not known: no task tells.")
    return "".join(f" {remark}" for remark in remarks)


def _loss(task: str, row: Row, reference: Row, results: Rows) -> Loss | None:
    own, best = row.score(task), reference.score(task)
    if row is reference or own is None or best is None:
        return None
    verdict = results.compare(score_key(task), row, reference).verdict
    share = own.pass_at_1 / best.pass_at_1
    text = (
        f"{row.label} keeps {significant(share, 2)} of {reference.label}'s {task_title(task)} pass@1 "
        f"({own.passed} against {best.passed} of {own.total:,})"
    )
    return Loss(label=row.label, recovery=share, proven=verdict is Verdict.SIGNIFICANT, text=text)


def _perplexity_loss(row: Row, results: Rows) -> Loss | None:
    """Proven where the interval of the ratio to the baseline lies above 1."""
    distance = row.record.distance
    if row.is_baseline or results.baseline is None or distance is None or not distance.problems:
        return None
    problems = distance.problems
    ratio = exponential_of_ratio(
        [p.nll - p.baseline_nll for p in problems], [float(p.tokens) for p in problems]
    )
    proven = ratio.interval is not None and ratio.interval.low > 1
    text = f"{row.label} has {significant(ratio.value)} times the perplexity of {results.baseline.label}"
    return Loss(label=row.label, recovery=1 / ratio.value, proven=proven, text=text)


def refusals(results: Rows, labels: Iterable[str]) -> str:
    """The refused losses of these methods as a clause."""
    rows = [row for row in results.rows if row.label in set(labels)]
    return "; ".join(loss.text for row in rows for loss in refused_losses(row, results))
