"""The sections of a report in their order: each a function from the Analysis to the sections it gives.

A new section is a function in the file of its subject and one line here. Nothing is judged here: what a
section says of a figure is a field of the Analysis.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from quantbench.analysis import Analysis
from quantbench.report.blocks import Section
from quantbench.report.sections.arrivals import arrival_sections
from quantbench.report.sections.distance import distance_sections, perplexity_sections
from quantbench.report.sections.engines import engine_sections
from quantbench.report.sections.findings import (
    caveat_section,
    conclusion_section,
    decision_sections,
    finding_sections,
    interference_section,
    issue_section,
    reason_sections,
)
from quantbench.report.sections.harness import harness_pair_sections, harness_sections
from quantbench.report.sections.latency import latency_sections
from quantbench.report.sections.overview import (
    method_section,
    model_section,
    picture_section,
    summary_section,
)
from quantbench.report.sections.scores import (
    anatomy_sections,
    paired_sections,
    protocol_sections,
    score_sections,
)
from quantbench.report.sections.setup import audit_section, measured_section
from quantbench.report.sections.speed import detail_sections, sweep_sections

PARTS: tuple[Callable[[Analysis], Iterable[Section]], ...] = (
    summary_section,
    model_section,
    method_section,
    score_sections,
    engine_sections,
    arrival_sections,
    harness_sections,
    finding_sections,
    conclusion_section,
    picture_section,
    issue_section,
)
DETAILS: tuple[Callable[[Analysis], Iterable[Section]], ...] = (
    paired_sections,
    harness_pair_sections,
    anatomy_sections,
    protocol_sections,
    distance_sections,
    perplexity_sections,
    decision_sections,
    detail_sections,
    audit_section,
    latency_sections,
    sweep_sections,
    interference_section,
    reason_sections,
    measured_section,
    caveat_section,
)


def sections_of(analysis: Analysis) -> Iterator[Section]:
    """All sections that have something to say: the report's parts, then what folds behind them."""
    for make in PARTS:
        yield from make(analysis)
    for make in DETAILS:
        yield from (replace(section, level=2, detail=True) for section in make(analysis))
