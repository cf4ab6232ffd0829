"""Whether a model of GGUF blocks becomes one that the persistent kernel runs, once they are rows."""

from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent.launch import reason_against
from quantbench.engine.expert_groups import rows_of
from quantbench.engine.parameters import Parameters
from quantbench.weights.formats import BlockWeight, MixedWeight, Weight


def better_as_rows(parameters: Parameters) -> bool:
    """Whether it does, on the device where it is; asked of the first row of each matrix."""
    if not any(isinstance(matrix.weight, BlockWeight) for matrix in parameters.matrices()):
        return False
    return reason_against(packed_parameters(parameters.map(first_row), as_rows=True)) is None


def first_row(weight: Weight) -> Weight:
    """Of a mixture, the first row of each part."""
    if isinstance(weight, MixedWeight):
        return MixedWeight(tuple(first_row(part) for part in weight.parts))
    return rows_of(weight, 0, 1)
