"""GPTQ as a step before loading: every matrix is rounded with error feedback while a text runs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from quantbench.engine.sequential import Moments
    from quantbench.weights.formats import Weight


@dataclass(slots=True)
class Feedback:
    """Quantizes matrices that share their inputs; `squares` are those of matrices that it leaves as floats.

    It leaves those for which there is no group of double quantization, or whose inputs are not finite.
    """

    group_of: "Callable[[str, int], int | None]"  # of a matrix's name and width; None leaves it
    squares: "dict[str, Tensor]" = field(default_factory=dict)

    def __call__(
        self, names: Sequence[str], values: "Sequence[Tensor]", moments: "Moments"
    ) -> "list[Weight]":
        import torch

        from quantbench.weights.formats import FloatWeight
        from quantbench.weights.quantizers.int4_feedback import quantize_with_feedback

        group = self.group_of(names[0], values[0].shape[1])
        finite = bool(moments.hessian.isfinite().all() and moments.drift.isfinite().all())
        if group is None or not finite:
            strengths = moments.hessian.diagonal()
            self.squares |= dict.fromkeys(names, strengths if finite else torch.ones_like(strengths))
            return [FloatWeight(value) for value in values]
        whole = quantize_with_feedback(
            names[0], torch.cat(list(values)), hessian=moments.hessian, drift=moments.drift, group_size=group
        )
        bounds = [sum(len(value) for value in values[:number]) for number in range(len(values) + 1)]
        return [rows_of(whole, start, end) for start, end in pairwise(bounds)]


def rows_of(weight: "Weight", start: int, end: int) -> "Weight":
    """Some rows of a weight, as one of their own."""
    return weight.map(lambda tensor: tensor[start:end].clone())
