"""What a report says, as pure functions of Records: rows, verdicts, observations, recommendations.

`analyse` is the one entry. Nothing here measures, draws or writes, and nothing imports torch: a laptop
without it builds every report. A new kind of finding is a new file that takes `Results`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.analysis.anatomy import Anatomy, anatomies
from quantbench.analysis.answer import answer
from quantbench.analysis.crossover import Crossover, crossovers
from quantbench.analysis.diagnosis import Diagnosis, diagnose_rows
from quantbench.analysis.distance import MethodDistance, distances
from quantbench.analysis.floor import FloorFlips, floor_flips, judged_by_floor, scale_pairs
from quantbench.analysis.kl_ranking import ranking_caveat
from quantbench.analysis.limits import limits_of
from quantbench.analysis.load import busy_machine
from quantbench.analysis.metrics import Metric, metrics_of
from quantbench.analysis.needs import recommend_for_needs
from quantbench.analysis.observations import observe
from quantbench.analysis.paired import PairedScore, paired_scores
from quantbench.analysis.pareto import Standing, pareto_front
from quantbench.analysis.perplexity import TextPerplexity, perplexities
from quantbench.analysis.prompt_effect import prompt_effects
from quantbench.analysis.protocol_spread import ProtocolSpread, protocol_spreads
from quantbench.analysis.rows import Results, Row, read_results
from quantbench.analysis.scores import Score
from quantbench.analysis.speeds import Estimate, Speed
from quantbench.analysis.statement import Statement
from quantbench.analysis.tradeoffs import trade_offs
from quantbench.analysis.troubles import Trouble, find_troubles
from quantbench.analysis.weightings import Weightings, win_shares
from quantbench.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything a report shows; `report` renders it and adds no judgement of its own."""

    results: Results
    alert: str | None  # what must be read before any figure
    prompt_effects: tuple[tuple[str, str], ...]  # (method, sentence)
    answer: tuple[Statement, ...]  # what each method buys and costs: the head of the report
    metrics: tuple[Metric, ...]
    observations: tuple[Statement, ...]
    trade_offs: tuple[Statement, ...]
    recommendations: tuple[Statement, ...]
    limits: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    paired: tuple[PairedScore, ...]
    scale: tuple[PairedScore, ...]  # other number formats of the baseline, outside all comparisons
    distances: tuple[MethodDistance, ...]
    kl_caveat: str | None  # where a divergence must not rank methods
    floor: tuple[FloorFlips, ...]
    standings: tuple[Standing, ...]
    weightings: Weightings | None
    diagnoses: tuple[Diagnosis, ...]
    crossovers: tuple[Crossover, ...]
    anatomies: tuple[Anatomy, ...]  # how answers failed, by method and task
    perplexities: tuple[TextPerplexity, ...]
    spreads: tuple[ProtocolSpread, ...]  # of tasks that were asked in several ways


def analyse(records: Sequence[Record], baseline: str, missing: Sequence[str] = ()) -> Analysis:
    """The analysis of one run's records; ValueError without any record.

    `missing` labels trials that were planned and have no record.
    """
    results = read_results(records, baseline, missing)
    measured, flips = distances(results), floor_flips(results)
    paired = judged_by_floor(paired_scores(results), flips, measured)
    recommendations = recommend_for_needs(results)
    return Analysis(
        results=results,
        alert=busy_machine(results),
        prompt_effects=prompt_effects(results),
        answer=answer(results, paired, measured, recommendations),
        metrics=metrics_of(results),
        observations=observe(results),
        trade_offs=trade_offs(results),
        recommendations=recommendations,
        limits=limits_of(results),
        troubles=find_troubles(results),
        paired=paired,
        scale=scale_pairs(results),
        distances=measured,
        kl_caveat=ranking_caveat(measured, paired),
        floor=flips,
        standings=pareto_front(results),
        weightings=win_shares(results),
        diagnoses=diagnose_rows(results),
        crossovers=crossovers(results),
        anatomies=anatomies(results),
        perplexities=perplexities(results),
        spreads=protocol_spreads(results),
    )


__all__ = [
    "Analysis",
    "Crossover",
    "Estimate",
    "Metric",
    "Results",
    "Row",
    "Score",
    "Speed",
    "Statement",
    "Trouble",
    "analyse",
]
