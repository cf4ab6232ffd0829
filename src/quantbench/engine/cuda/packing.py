"""The one copy of the weights that all CUDA kernels share.

Float and 8-bit matrices are used as the engine already holds them: row-major [out, in], 8-bit ones with a
float32 scale per row beside them. Only 4-bit matrices change (`formats.Int4Rows`). Converting never needs a
second copy of more than one matrix.
"""

from quantbench.engine.parameters import Parameters
from quantbench.weights.formats import GpuOperand, Weight


def packed_parameters(parameters: Parameters) -> Parameters:
    """The same model in the kernels' layout. The caller drops `parameters` so that one copy remains."""
    return parameters.map(lambda weight: weight.gpu_layout())


def operand_of(weight: Weight) -> GpuOperand:
    """How the kernels read a packed weight; TypeError where none knows its format."""
    operand = weight.gpu
    if operand is None:
        raise TypeError(f"weights held as {weight.scheme} have no GPU kernel")
    return operand
