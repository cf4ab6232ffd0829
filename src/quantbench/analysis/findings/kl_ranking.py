"""Where a divergence must not rank methods: a smaller one changes less, and is not thereby better.

Over many quantizations divergence and scores go together; among those close to the unquantized model they
do not: Spearman's rho of 0.00 and -0.24 there against -0.72 and -0.86 over all 28 and 41 quantizations of
two models (Nikolić et al. 2026, arXiv:2606.19558).
"""

from collections.abc import Sequence

from quantbench.analysis.comparison.distance import MethodDistance
from quantbench.analysis.comparison.paired import Change, PairedScore
from quantbench.units import listed


def ranking_caveat(distances: Sequence[MethodDistance], pairs: Sequence[PairedScore]) -> str | None:
    """A sentence on the methods whose scores show no change; None with fewer than two of them."""
    changes: dict[str, set[Change]] = {}
    for pair in pairs:
        changes.setdefault(pair.label, set()).add(pair.change)
    compared = [entry.label for entry in distances if entry.compared and entry.label in changes]
    close = [label for label in compared if changes[label] == {Change.UNDECIDED}]
    if len(close) < 2:
        return None
    return (
        f"No change of pass@1 is shown for {listed(close)}: the smaller divergence among them does not make "
        "the better method. Close to the baseline divergence and scores were found unrelated (69 "
        "quantizations of two models, arXiv:2606.19558)."
    )
