"""What the report cannot tell, and what failed or was not done as asked."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.report.blocks import Bullet, Bullets, Section


def limit_section(analysis: Analysis) -> Iterator[Section]:
    """Left out only when there is nothing to be careful about, that is without any record."""
    if analysis.limits:
        bullets = Bullets(tuple(Bullet(text) for text in analysis.limits))
        yield Section(key="limits", title="What it cannot tell", blocks=(bullets,))


def trouble_section(analysis: Analysis) -> Iterator[Section]:
    """Left out when all went as asked."""
    if analysis.troubles:
        bullets = Bullets(tuple(Bullet(trouble.text, trouble.label) for trouble in analysis.troubles))
        yield Section(key="troubles", title="Failures and warnings", blocks=(bullets,))
