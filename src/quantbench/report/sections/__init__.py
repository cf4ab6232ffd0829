"""The sections of a report in their order: each a function from the Analysis to the sections it gives.

A new section is a new file and one line here; the old ones stay untouched.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from quantbench.analysis import Analysis
from quantbench.report.blocks import Section
from quantbench.report.sections.anatomy import anatomy_sections
from quantbench.report.sections.audit import audit_section
from quantbench.report.sections.decision import decision_sections
from quantbench.report.sections.detail import detail_sections
from quantbench.report.sections.distance import distance_sections
from quantbench.report.sections.findings import conclusion_section, finding_sections
from quantbench.report.sections.latency import latency_sections
from quantbench.report.sections.limits import caveat_section, interference_section, issue_section
from quantbench.report.sections.measured import measured_section
from quantbench.report.sections.methods import method_section
from quantbench.report.sections.model import model_section
from quantbench.report.sections.paired import paired_sections
from quantbench.report.sections.perplexity import perplexity_sections
from quantbench.report.sections.pictures import picture_section
from quantbench.report.sections.protocols import protocol_sections
from quantbench.report.sections.reasons import reason_sections
from quantbench.report.sections.scores import score_sections
from quantbench.report.sections.summary import summary_section
from quantbench.report.sections.sweep import sweep_sections

PARTS: tuple[Callable[[Analysis], Iterable[Section]], ...] = (
    summary_section,
    model_section,
    method_section,
    score_sections,
    finding_sections,
    conclusion_section,
    picture_section,
    issue_section,
)
DETAILS: tuple[Callable[[Analysis], Iterable[Section]], ...] = (
    paired_sections,
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
