"""Error feedback: later inputs make up for what earlier ones lost.

GPTQ (Frantar et al. 2022, arXiv:2210.17323) over groups: of a matrix W with inputs x', whose second moments
are H, the columns are rounded one after another, and each error is spread over the columns that are still to
come, so that tr((W - W') H (W - W')^T) stays small. Groups of inputs take their turn by their energy, inputs
within one likewise; a group's scale and offset are searched in its turn, on the weights as they then are.
Before that W is moved towards what gives the unquantized model's outputs from inputs behind quantized
matrices (Li et al. 2025, arXiv:2504.02692, solved at once): half of the way, since all of it fits the text.

What codes stand for is a format's own affair (`feedback_grids`).
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from quantbench.weights.formats import Weight
from quantbench.weights.quantizers.blocks import require_finite

DAMPING = 0.01  # of the mean energy, added to each input's: few tokens do not determine all of H
DRIFT_DAMPING = 0.05  # the same where W is moved
DRIFT = 0.5  # of the way
SOLVED = 256  # half the width up to which a triangle is inverted by a solver

# w [rows, group], its part of the triangle, scale and offset [rows], least and greatest code
# -> codes and each column's error over U_jj, both [rows, group]
RoundGroup = Callable[[Tensor, Tensor, Tensor, Tensor, tuple[int, int]], tuple[Tensor, Tensor]]


class Grid(Protocol):
    """What one matrix's codes stand for, found group after group: w = code * scale + offset."""

    group_size: int
    ends: tuple[int, int]  # the least and the greatest code

    def begin(self, w: Tensor, strengths: Tensor) -> None:
        """What is the same for all groups, of w [rows, in] before any feedback; strengths [in]."""
        ...

    def place(self, group: int, w: Tensor, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset [rows] of one group [rows, group_size] as it now is."""
        ...

    def weight(self, codes: Tensor) -> Weight:
        """In the format; codes [rows, in]."""
        ...


def quantize_with_feedback(
    name: str, weight: Tensor, *, hessian: Tensor, pull: Tensor, grid: Grid, rounding: RoundGroup
) -> Weight:
    """`weight` [out, in] in the grid's format, whose group size divides in.

    `hessian` [in, in] is the mean of x' x'^T over a text, `pull` [out, in] that of W (x - x') x'^T, where x
    are the inputs in the unquantized model. ModelError for NaN or infinity.
    """
    require_finite(name, weight, weight)
    energy = hessian.diagonal().clone()
    mean = energy.mean().clamp_min(torch.finfo(torch.float32).tiny)
    w = moved(weight.float(), hessian, pull, mean)
    order = turns(energy, grid.group_size)
    damped = hessian + torch.diag(torch.where(energy <= 0, mean, DAMPING * mean))
    spread = spreading(damped[order][:, order])
    grid.begin(w, energy)
    codes = round_in_turn(w, energy, order, spread, grid, rounding)
    return grid.weight(codes)


def moved(w: Tensor, hessian: Tensor, pull: Tensor, mean: Tensor) -> Tensor:
    """W towards W E[x x'^T] H^-1."""
    if not bool(pull.any()):
        return w
    damped = hessian + DRIFT_DAMPING * mean * torch.eye(len(hessian), device=w.device)
    return w + DRIFT * torch.cholesky_solve(pull.T, torch.linalg.cholesky(damped)).T


def turns(energy: Tensor, group_size: int) -> Tensor:
    """int64 [in]: inputs in the order in which they are rounded, whole groups together."""
    groups = energy.reshape(-1, group_size)
    first = groups.sum(1).argsort(descending=True, stable=True)
    within = groups.argsort(dim=1, descending=True, stable=True)[first]
    return (first[:, None] * group_size + within).reshape(-1)


def spreading(damped: Tensor) -> Tensor:
    """Upper triangle U of H^-1 = U^T U: column j's error e changes the columns behind by -e / U_jj * U_j.

    H backwards has a lower triangle as its root, which forwards is an upper one R with H = R R^T: U is its
    inverse. Rows lie one after another.
    """
    root = torch.linalg.cholesky(damped.flip(0, 1)).flip(0, 1)
    return inverse_of_upper(root.contiguous()).contiguous()


def inverse_of_upper(root: Tensor) -> Tensor:
    """Of an upper triangle, by halves: products of matrices where a solver would go row by row."""
    half = len(root) // 2
    if half < SOLVED:
        one = torch.eye(len(root), dtype=root.dtype, device=root.device)
        solved: Tensor = torch.linalg.solve_triangular(root, one, upper=True)
        return solved
    found = torch.zeros_like(root)
    found[:half, :half] = inverse_of_upper(root[:half, :half])
    found[half:, half:] = inverse_of_upper(root[half:, half:])
    found[:half, half:] = -(found[:half, :half] @ (root[:half, half:] @ found[half:, half:]))
    return found


def round_in_turn(
    w: Tensor, energy: Tensor, order: Tensor, spread: Tensor, grid: Grid, rounding: RoundGroup
) -> Tensor:
    """Codes [rows, in] of w [rows, in], group after group."""
    columns, size = w.shape[1], grid.group_size
    found, left = torch.empty_like(w), w[:, order]
    for start in range(0, columns, size):
        end = start + size
        inputs = order[start:end]
        scale, offset = grid.place(int(inputs[0]) // size, left[:, start:end], energy[inputs])
        codes, errors = rounding(left[:, start:end], spread[start:end, start:end], scale, offset, grid.ends)
        found[:, inputs] = codes
        left[:, end:].addmm_(errors, spread[start:end, end:], alpha=-1)
    return found


def round_group(
    w: Tensor, spread: Tensor, scale: Tensor, offset: Tensor, ends: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Codes of w [rows, group_size] and each column's error over U_jj; scale and offset [rows]."""
    w, inverse = w.T.contiguous(), torch.where(scale == 0, 0.0, 1 / scale)
    codes, errors = torch.empty_like(w), torch.empty_like(w)
    for j in range(len(w)):
        codes[j] = ((w[j] - offset) * inverse).round_().clamp_(*ends)
        errors[j] = (w[j] - codes[j] * scale - offset) / spread[j, j]
        w[j + 1 :].addr_(spread[j, j + 1 :], errors[j], alpha=-1)
    return codes.T, errors.T
