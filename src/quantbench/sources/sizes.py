"""How many parameters a model has: from its configuration, else from the headers of its files."""

from quantbench.sources.layout import parameter_count
from quantbench.sources.source import ModelSource


def count_stored(source: ModelSource) -> int | None:
    """Parameters of the model, tied weights once; None where neither tells them, as of packed weights."""
    known = parameter_count(source.config)
    values: int | None = getattr(source, "float_values", None)
    return values if known is None else known
