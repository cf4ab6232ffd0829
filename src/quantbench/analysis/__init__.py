"""What a report says, as pure functions of Records: rows, verdicts, observations, recommendations.

`analyse` is the one entry, and this file the only one that others import from, next to `formatting`: figures
(one method, read from its record) -> comparison (methods side by side) -> findings (what that says). Nothing
here measures, draws or writes, and nothing imports torch: a laptop without it builds every report. A new kind
of finding is a new file that takes `Rows`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from quantbench.analysis.compare import Changes, Kind, compare_results
from quantbench.analysis.comparison.anatomy import Anatomy, Ending, anatomies, ending_of
from quantbench.analysis.comparison.distance import (
    FEWEST_FOR_TAIL,
    SURE,
    MethodDistance,
    distances,
    floor_label,
    scale_label,
)
from quantbench.analysis.comparison.floor import FloorFlips, floor_flips, judged_by_floor, scale_pairs
from quantbench.analysis.comparison.harness import HarnessScore, HarnessVerdict, harness_scores
from quantbench.analysis.comparison.metrics import MEMORY, SIZE, SPEED, Metric, metrics_of, score_metric
from quantbench.analysis.comparison.paired import PairedScore, paired_scores
from quantbench.analysis.comparison.pairing import MCNEMAR
from quantbench.analysis.comparison.perplexity import TextPerplexity, perplexities
from quantbench.analysis.comparison.protocol_spread import ProtocolSpread, Way, protocol_spreads
from quantbench.analysis.comparison.rows import Row, Rows, read_results
from quantbench.analysis.figures.arrivals import Arrivals, read_arrivals
from quantbench.analysis.figures.curves import Load, LoadCurve, LoadPoint, load_curves
from quantbench.analysis.figures.row import read_row
from quantbench.analysis.figures.scores import Score, read_score, task_title
from quantbench.analysis.figures.space import MemoryPart, memory_parts
from quantbench.analysis.figures.speeds import MedianEstimate, Speed
from quantbench.analysis.figures.step_parts import headline_point
from quantbench.analysis.findings.answer import answer
from quantbench.analysis.findings.balance import inside_noise, normalise
from quantbench.analysis.findings.caveats import caveats_of
from quantbench.analysis.findings.crossover import Crossover, crossovers
from quantbench.analysis.findings.diagnosis import Diagnosis, diagnose_rows
from quantbench.analysis.findings.engines import EnginePair, Engines, ServerTimes, compare_engines
from quantbench.analysis.findings.interference import MARK, interference_alert
from quantbench.analysis.findings.issues import Issue, find_issues
from quantbench.analysis.findings.kl_ranking import ranking_caveat
from quantbench.analysis.findings.observations import observe
from quantbench.analysis.findings.pareto import FrontPlace, Standing, pareto_front
from quantbench.analysis.findings.prompt_effect import prompt_effects
from quantbench.analysis.findings.statement import Statement
from quantbench.analysis.findings.tradeoffs import trade_offs
from quantbench.analysis.findings.use_cases import USE_CASES, recommend_for_use_cases
from quantbench.analysis.findings.weightings import Weightings, win_shares
from quantbench.analysis.models.effects import MethodEffect
from quantbench.analysis.models.figures import Figure, ModelRow, rows_of_model
from quantbench.analysis.models.overview import Absent, Overview, overview_of
from quantbench.analysis.recommend import Choice, Requirements, choose
from quantbench.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything a report shows; `report` renders it and adds no judgement of its own."""

    results: Rows
    alert: str | None  # what must be read before any figure
    prompt_effects: tuple[tuple[str, str], ...]  # (method, sentence)
    answer: tuple[Statement, ...]  # what each method buys and costs: the head of the report
    metrics: tuple[Metric, ...]
    observations: tuple[Statement, ...]
    trade_offs: tuple[Statement, ...]
    recommendations: tuple[Statement, ...]
    caveats: tuple[str, ...]
    issues: tuple[Issue, ...]
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
    harness: tuple[HarnessScore, ...]  # tasks of lm-eval
    spreads: tuple[ProtocolSpread, ...]  # of tasks that were asked in several ways
    arrivals: tuple[Arrivals, ...]  # of servers under requests at random times
    curves: tuple[LoadCurve, ...]  # throughput against latency, where a server was under several loads
    engines: Engines  # servers, and one checkpoint in several engines


def analyse(records: Sequence[Record], baseline: str, missing: Sequence[str] = ()) -> Analysis:
    """The analysis of one run's records; ValueError without any record.

    `missing` labels trials that were planned and have no record.
    """
    results = read_results(records, baseline, missing)
    measured, flips = distances(results), floor_flips(results)
    paired = judged_by_floor(paired_scores(results), flips, measured)
    recommendations, harness = recommend_for_use_cases(results), harness_scores(results)
    return Analysis(
        results=results,
        alert=interference_alert(results),
        prompt_effects=prompt_effects(results),
        answer=answer(results, paired, measured, recommendations, harness),
        metrics=metrics_of(results),
        observations=observe(results),
        trade_offs=trade_offs(results),
        recommendations=recommendations,
        caveats=caveats_of(results),
        issues=find_issues(results),
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
        harness=harness,
        spreads=protocol_spreads(results),
        arrivals=tuple(found for row in results.rows for found in read_arrivals(row.record)),
        curves=load_curves(results.rows),
        engines=compare_engines(results, measured),
    )


__all__ = [
    "FEWEST_FOR_TAIL",
    "MARK",
    "MCNEMAR",
    "MEMORY",
    "SIZE",
    "SPEED",
    "SURE",
    "USE_CASES",
    "Absent",
    "Analysis",
    "Anatomy",
    "Arrivals",
    "Changes",
    "Choice",
    "Crossover",
    "Ending",
    "EnginePair",
    "Engines",
    "Figure",
    "FloorFlips",
    "FrontPlace",
    "HarnessScore",
    "HarnessVerdict",
    "Issue",
    "Kind",
    "Load",
    "LoadCurve",
    "LoadPoint",
    "MedianEstimate",
    "MemoryPart",
    "MethodDistance",
    "MethodEffect",
    "Metric",
    "ModelRow",
    "Overview",
    "PairedScore",
    "ProtocolSpread",
    "Requirements",
    "Row",
    "Rows",
    "Score",
    "ServerTimes",
    "Speed",
    "Standing",
    "Statement",
    "TextPerplexity",
    "Way",
    "analyse",
    "choose",
    "compare_results",
    "ending_of",
    "floor_label",
    "headline_point",
    "inside_noise",
    "memory_parts",
    "normalise",
    "overview_of",
    "read_results",
    "read_row",
    "read_score",
    "rows_of_model",
    "scale_label",
    "score_metric",
    "task_title",
]
