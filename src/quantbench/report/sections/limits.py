"""What the report cannot tell, and what failed or was not done as asked."""

from collections.abc import Iterator, Sequence

from quantbench.analysis import Analysis, Trouble
from quantbench.report.blocks import Bullet, Bullets, Section


def limit_section(analysis: Analysis) -> Iterator[Section]:
    """Left out only when there is nothing to be careful about, that is without any record."""
    if analysis.limits:
        bullets = Bullets(tuple(Bullet(text) for text in analysis.limits))
        yield Section(key="limits", title="What it cannot tell", blocks=(bullets,))


def trouble_section(analysis: Analysis) -> Iterator[Section]:
    """Left out when all went as asked."""
    found = [trouble for trouble in analysis.troubles if not trouble.load]
    if found:
        yield Section(key="troubles", title="Failures and warnings", blocks=(_bullets(found),))


def load_section(analysis: Analysis) -> Iterator[Section]:
    """Signs that something else ran while speed was measured, method by method."""
    found = [trouble for trouble in analysis.troubles if trouble.load]
    if found:
        yield Section(key="load", title="What disturbed the speeds", blocks=(_bullets(found),))


def _bullets(troubles: Sequence[Trouble]) -> Bullets:
    return Bullets(tuple(Bullet(trouble.text, trouble.label) for trouble in troubles))
