"""The one copy of the weights that all CUDA kernels share.

Float and 8-bit matrices are used as the engine already holds them: row-major [out, in], 8-bit ones with a
float32 scale per row beside them. 4-bit matrices change (`formats.Int4Rows`), and GGUF blocks
(`formats.BlockRows`, or the rows of another format that holds them exactly). `take_over` needs a second copy
of one matrix at a time, and of one layer's experts.
"""

from collections.abc import Iterator
from dataclasses import replace

from quantbench.engine.expert_groups import grouped_experts
from quantbench.engine.parameters import ExpertParameters, LayerParameters, Matrix, Parameters
from quantbench.weights.formats import BlockWeight, GpuKind, GpuOperand, MixedWeight, Weight


def take_over(parameters: Parameters, *, as_rows: bool = False) -> Parameters:
    """The same model in the kernels' layout, into which `parameters` itself is changed matrix by matrix.

    What was there before is dropped at once, whoever holds `parameters`. `as_rows` asks for whole rows in
    place of blocks, where these have that form.
    """

    def lay_out(*matrices: Matrix) -> None:
        for matrix in matrices:
            matrix.weight = _laid_out(matrix.weight, as_rows)

    lay_out(parameters.embedding)
    layers = []
    for layer in parameters.layers:
        lay_out(*layer.matrices)
        layers.append(_grouped(layer))
    if not parameters.tied:
        lay_out(parameters.head)
    return replace(parameters, layers=tuple(layers))


def packed_parameters(parameters: Parameters, *, as_rows: bool = False) -> Parameters:
    """The same beside `parameters`, which stay as they are."""
    return take_over(parameters.map(lambda weight: weight), as_rows=as_rows)


def _laid_out(weight: Weight, as_rows: bool) -> Weight:
    rows = weight.whole_rows() if as_rows and isinstance(weight, BlockWeight) else None
    return weight.gpu_layout() if rows is None else rows


def _grouped(layer: LayerParameters) -> LayerParameters:
    """Experts one after another in memory, those of `layer` too."""
    if not isinstance(layer.mlp, ExpertParameters):
        return layer
    mlp = grouped_experts(layer.mlp)
    for before, after in zip(layer.mlp.experts, mlp.experts, strict=True):
        before.up.weight, before.down.weight = after.up.weight, after.down.weight
    return replace(layer, mlp=mlp)


def operand_of(weight: Weight) -> GpuOperand:
    """How the kernels read a packed weight; TypeError where none knows its format."""
    operand = weight.gpu
    if operand is None:
        raise TypeError(f"weights held as {weight.scheme} have no GPU kernel")
    return operand


def kind_of(weight: Weight) -> GpuKind:
    """The kind that chooses a product's tiles and limits; of several formats in one matrix, blocks."""
    return GpuKind.BLOCKS if isinstance(weight, MixedWeight) else operand_of(weight).kind


def parts_of(weight: Weight) -> tuple[Weight, ...]:
    """What the kernels multiply one by one: the parts of a mixture, else the weight itself."""
    return weight.parts if isinstance(weight, MixedWeight) else (weight,)


def parts_with_rows(matrix: Matrix) -> Iterator[tuple[Matrix, slice]]:
    """What the kernels multiply one by one, as matrices with their biases, and the rows of each."""
    start = 0
    for weight in parts_of(matrix.weight):
        rows = slice(start, start := start + weight.shape[0])
        bias = None if matrix.bias is None else matrix.bias[rows]
        yield Matrix(weight=weight, bias=bias, parts=(("part", weight.shape[0]),)), rows
