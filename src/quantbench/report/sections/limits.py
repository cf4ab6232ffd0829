"""What the report cannot tell, and what failed or was not done as asked."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import Analysis, Issue
from quantbench.report.blocks import Bullet, Bullets, Section


def caveat_section(analysis: Analysis) -> Iterator[Section]:
    """Left out only when there is nothing to be careful about, that is without any record."""
    if analysis.caveats:
        bullets = Bullets(tuple(Bullet(text) for text in analysis.caveats))
        yield Section(key="caveats", title="What it cannot tell", blocks=(bullets,))


def issue_section(analysis: Analysis) -> Iterator[Section]:
    """Left out when all went as asked."""
    found = [issue for issue in analysis.issues if not issue.interference]
    if found:
        yield Section(key="issues", title="Failures and warnings", blocks=(_bullets(found),))


def interference_section(analysis: Analysis) -> Iterator[Section]:
    """Signs that something else ran while speed was measured, method by method."""
    found = [issue for issue in analysis.issues if issue.interference]
    if found:
        yield Section(key="interference", title="What disturbed the speeds", blocks=(_bullets(found),))


def _bullets(issues: Sequence[Issue]) -> Bullets:
    return Bullets(tuple(Bullet(issue.text, issue.label) for issue in issues))
