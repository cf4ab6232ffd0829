"""GPTQ as a step before loading: every matrix is rounded with error feedback while a text runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from quantbench.methods.groups import FiveBits, Int4Groups, Int8Groups

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.engine.sequential import Moments
    from quantbench.weights.formats import Weight
    from quantbench.weights.quantizers.feedback import Grid

    Format = Int4Groups | FiveBits | Int8Groups


@dataclass(slots=True)
class Feedback:
    """Quantizes matrices that share their inputs; `squares` are those of matrices that it leaves as floats.

    It leaves those whose format has no grid for their width, or whose inputs are not finite.
    """

    format_of: "Callable[[str, int], Format]"  # of a matrix's name and width
    told: str  # the formats in words that tell them from others
    squares: "dict[str, Tensor]" = field(default_factory=dict)

    def __call__(
        self, names: Sequence[str], values: "Sequence[Tensor]", moments: "Moments"
    ) -> "list[Weight]":
        import torch

        from quantbench.engine.rounding import round_group_for
        from quantbench.weights.formats import FloatWeight
        from quantbench.weights.quantizers.feedback import quantize_with_feedback

        grid = grid_of(names[0], values[0], self.format_of(names[0], values[0].shape[1]))
        finite = bool(moments.hessian.isfinite().all() and moments.pull.isfinite().all())
        if grid is None or not finite:
            strengths = moments.hessian.diagonal()
            self.squares |= dict.fromkeys(names, strengths if finite else torch.ones_like(strengths))
            return [FloatWeight(value) for value in values]
        whole = quantize_with_feedback(
            names[0],
            torch.cat(list(values)),
            hessian=moments.hessian,
            pull=moments.pull,
            grid=grid,
            rounding=round_group_for(values[0].device),
        )
        bounds = [sum(len(value) for value in values[:number]) for number in range(len(values) + 1)]
        return [rows_of(whole, start, end) for start, end in pairwise(bounds)]


def feedback_in(groups: Int4Groups) -> Feedback:
    """All matrices in the same groups."""
    return Feedback(lambda name, columns: groups, repr(groups))


def grid_of(name: str, weight: "Tensor", form: "Format") -> "Grid | None":
    """Where the codes of a matrix's format lie; None for a format or a width that has no feedback."""
    from quantbench.engine.rounding import find_int4_for
    from quantbench.weights.quantizers.feedback_grids import FiveBitGrid, Int4Grid

    if isinstance(form, FiveBits):
        return FiveBitGrid(name)
    group = form.group_of(weight.shape[1]) if isinstance(form, Int4Groups) else None
    return None if group is None else Int4Grid(name, group, find_int4_for(weight.device))


def rows_of(weight: "Weight", start: int, end: int) -> "Weight":
    """Some rows of a weight, as one of their own."""
    return weight.map(lambda tensor: tensor[start:end].clone())
