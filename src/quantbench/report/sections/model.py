"""Model information: which weights, which architecture, how many parameters."""

from collections.abc import Iterator

from quantbench.analysis import Analysis
from quantbench.analysis.formatting import MISSING
from quantbench.records import ModelInfo
from quantbench.report.blocks import Bullet, Bullets, Section
from quantbench.units import show_count


def model_section(analysis: Analysis) -> Iterator[Section]:
    """Always there; a dash for what no trial could read."""
    results = analysis.results
    model = results.model
    items = [Bullet(results.model_name, "Base model")]
    if model is None:
        items += [Bullet(MISSING, "Architecture"), Bullet(MISSING, "Parameter count")]
    else:
        items += _known(model)
    yield Section(key="model", title="Model information", blocks=(Bullets(tuple(items)),))


def _known(model: ModelInfo) -> Iterator[Bullet]:
    if model.revision:
        yield Bullet(model.revision, "Revision")
    shape = [
        f"{count:,} {noun}"
        for count, noun in (
            (model.layers, "layers"),
            (model.hidden_size, "hidden units"),
            (model.vocab_size, "tokens in the vocabulary"),
        )
        if count
    ]
    yield Bullet(", ".join([model.architecture, *shape]), "Architecture")
    yield Bullet(
        f"{show_count(model.parameters)} ({model.parameters:,}, tied weights once)", "Parameter count"
    )
    if model.note:
        yield Bullet(model.note, "Note")
