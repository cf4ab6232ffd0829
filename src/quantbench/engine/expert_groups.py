"""The experts of a layer as one matrix of all ups and one of all downs, whose rows lie one after another.

Kernels find an expert in them by its number. Each expert's own matrices are views, so nothing is held twice.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quantbench.engine.parameters import ExpertParameters, Matrix, MlpParameters
from quantbench.weights.formats import MixedWeight, PermutedWeight, Weight, stack


def grouped_experts(mlp: ExpertParameters) -> ExpertParameters:
    """With `grouped`; experts that already lie so are not copied."""
    grouped = _joined(mlp.experts)
    return replace(mlp, grouped=grouped, experts=_views(grouped, len(mlp.experts)))


def neighbours(experts: Sequence[MlpParameters]) -> tuple[MlpParameters, ...]:
    """The same experts, one after another in memory; as they are where their formats differ."""
    grouped = _joined(experts)
    mixed = any(isinstance(matrix.weight, MixedWeight) for matrix in grouped.matrices)
    return tuple(experts) if mixed else _views(grouped, len(experts))


def _joined(experts: Sequence[MlpParameters]) -> MlpParameters:
    ups, downs = [expert.up for expert in experts], [expert.down for expert in experts]
    return MlpParameters(joined(ups), joined(downs))


def _views(grouped: MlpParameters, experts: int) -> tuple[MlpParameters, ...]:
    pairs = zip(split(grouped.up, experts), split(grouped.down, experts), strict=True)
    return tuple(MlpParameters(up, down) for up, down in pairs)


def joined(matrices: Sequence[Matrix]) -> Matrix:
    """One matrix of the rows of all, of which each has as many parts."""
    biases = [matrix.bias for matrix in matrices if matrix.bias is not None]
    return Matrix(
        weight=whole([matrix.weight for matrix in matrices]),
        bias=torch.cat(biases) if biases else None,
        parts=tuple(part for matrix in matrices for part in matrix.parts),
    )


def whole(weights: Sequence[Weight]) -> Weight:
    """The rows of all weights: as they lie where they are neighbours in memory, else copied."""
    first = weights[0]
    columns = zip(*([tensor for _, tensor in weight.tensors()] for weight in weights), strict=True)
    spans = [span(tensors) for tensors in columns if type(first) not in (MixedWeight, PermutedWeight)]
    if not spans or first.shared or any(found is None for found in spans):
        return stack(weights)
    found = iter(spans)
    return first.map(lambda tensor: tensor if (new := next(found)) is None else new)


def span(tensors: Sequence[Tensor]) -> Tensor | None:
    """One tensor over all of these; None where they are no neighbours of one shape."""
    first = tensors[0]
    same = all(
        tensor.is_contiguous()
        and tensor.shape == first.shape
        and tensor.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and tensor.storage_offset() == first.storage_offset() + number * first.numel()
        for number, tensor in enumerate(tensors)
    )
    rows = len(tensors) * first.shape[0]
    return first.as_strided((rows, *first.shape[1:]), first.stride()) if same else None


def split(matrix: Matrix, count: int) -> tuple[Matrix, ...]:
    """The matrices that a joined one was made of, as views."""
    if count == 1:
        return (matrix,)
    rows, parts = matrix.weight.shape[0] // count, len(matrix.parts) // count
    return tuple(
        Matrix(
            weight=rows_of(matrix.weight, number * rows, (number + 1) * rows),
            bias=None if matrix.bias is None else matrix.bias[number * rows : (number + 1) * rows],
            parts=matrix.parts[number * parts : (number + 1) * parts],
        )
        for number in range(count)
    )


def rows_of(weight: Weight, start: int, stop: int) -> Weight:
    """Some rows of a weight, as views."""
    if isinstance(weight, PermutedWeight):
        return PermutedWeight(rows_of(weight.inner, start, stop), weight.order)
    shared = {id(tensor) for name, tensor in weight.tensors() if name in weight.shared}
    return weight.map(lambda tensor: tensor if id(tensor) in shared else tensor[start:stop])
