"""Four bits with double quantization and error feedback: later inputs make up for what earlier ones lost.

GPTQ (Frantar et al. 2022, arXiv:2210.17323) over groups: of a matrix W with inputs x', whose second moments
are H, the columns are rounded one after another, and each error is spread over the columns that are still to
come, so that tr((W - W') H (W - W')^T) stays small. Groups of inputs take their turn by their energy, inputs
within one likewise; a group's step and zero are searched in its turn, on the weights as they then are.
Before that W is moved towards what gives the unquantized model's outputs from inputs behind quantized
matrices (Li et al. 2025, arXiv:2504.02692, solved at once): half of the way, since all of it fits the text.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.weights.formats import Int4DoubleWeight
from quantbench.weights.formats.int4_double import ZERO_BIAS, ZERO_STEP
from quantbench.weights.formats.nibbles import pack_pairs
from quantbench.weights.quantizers.blocks import require_finite
from quantbench.weights.quantizers.int4 import search
from quantbench.weights.quantizers.int4_double import double_search, held_in

DAMPING = 0.01  # of the mean energy, added to each input's: few tokens do not determine all of H
DRIFT_DAMPING = 0.05  # the same where W is moved
DRIFT = 0.5  # of the way


@dataclass(slots=True)
class Rounded:
    """What has been found so far, each [rows, ...]: codes less 8, steps and zeros as integers in float32."""

    codes: Tensor  # [rows, in]
    steps: Tensor  # [rows, groups]
    zeros: Tensor  # [rows, groups]
    by_row: Tensor  # [rows, 1, 1]

    def weight(self) -> Int4DoubleWeight:
        """In the format."""
        affine = torch.stack((self.steps, self.zeros + ZERO_BIAS), dim=-1).to(torch.uint8)
        return Int4DoubleWeight(pack_pairs(self.codes + 8), affine, self.by_row.reshape(-1))


def quantize_with_feedback(
    name: str, weight: Tensor, *, hessian: Tensor, drift: Tensor, group_size: int
) -> Int4DoubleWeight:
    """Int4DoubleWeight of `weight` [out, in]; `group_size` divides in.

    `hessian` [in, in] is the mean of x' x'^T over a text, `drift` that of (x - x') x'^T, where x are the
    inputs in the unquantized model. ModelError for NaN or infinity.
    """
    require_finite(name, weight, weight)
    energy = hessian.diagonal().clone()
    mean = energy.mean().clamp_min(torch.finfo(torch.float32).tiny)
    w = moved(weight.float(), hessian, drift, mean)
    order = turns(energy, group_size)
    damped = hessian + torch.diag(torch.where(energy <= 0, mean, DAMPING * mean))
    spread = spreading(damped[order][:, order])
    rounded = round_in_turn(w, energy, order, spread, group_size)
    require_finite(name, weight, rounded.by_row)
    return rounded.weight()


def moved(w: Tensor, hessian: Tensor, drift: Tensor, mean: Tensor) -> Tensor:
    """W towards W E[x x'^T] H^-1."""
    damped = hessian + DRIFT_DAMPING * mean * torch.eye(len(hessian), device=w.device)
    return w + DRIFT * torch.cholesky_solve((w @ drift).T, torch.linalg.cholesky(damped)).T


def turns(energy: Tensor, group_size: int) -> Tensor:
    """int64 [in]: inputs in the order in which they are rounded, whole groups together."""
    groups = energy.reshape(-1, group_size)
    first = groups.sum(1).argsort(descending=True, stable=True)
    within = groups.argsort(dim=1, descending=True, stable=True)[first]
    return (first[:, None] * group_size + within).reshape(-1)


def spreading(damped: Tensor) -> Tensor:
    """Upper triangle U of H^-1 = U^T U: column j's error e changes the columns behind by -e / U_jj * U_j."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    upper: Tensor = torch.linalg.cholesky(inverse, upper=True)
    return upper


def round_in_turn(w: Tensor, energy: Tensor, order: Tensor, spread: Tensor, group_size: int) -> Rounded:
    """Round w [rows, in] group after group; scales of rows are those of the search without feedback."""
    rows, columns = w.shape
    groups = columns // group_size
    root = energy.sqrt()
    by_row, steps, zeros = double_search(
        w.reshape(rows, groups, group_size), root.reshape(1, groups, group_size)
    )
    found = Rounded(torch.empty_like(w), steps.squeeze(-1), zeros.squeeze(-1), by_row)
    left = w[:, order].clone()
    for start in range(0, columns, group_size):
        end = start + group_size
        inputs = order[start:end]
        group = int(inputs[0]) // group_size
        mine, strength = left[:, None, start:end], root[inputs].reshape(1, 1, -1)
        step, zero = held_in(mine, strength, by_row, *search(mine, strength, lambda value: value))
        found.steps[:, group], found.zeros[:, group] = step.reshape(-1), zero.reshape(-1)
        scale, offset = (step * by_row).reshape(-1), (zero * (ZERO_STEP * by_row)).reshape(-1)
        codes, errors = round_group(left[:, start:end], spread[start:end, start:end], scale, offset)
        found.codes[:, inputs] = codes
        left[:, end:] -= errors @ spread[start:end, end:]
    return found


def round_group(w: Tensor, spread: Tensor, scale: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Codes less 8 of w [rows, group_size], and each column's error over U_jj; scale and offset [rows]."""
    w, inverse = w.clone(), torch.where(scale == 0, 0.0, 1 / scale)
    codes, errors = torch.empty_like(w), torch.empty_like(w)
    for j in range(w.shape[1]):
        codes[:, j] = ((w[:, j] - offset) * inverse).round_().clamp_(-8, 7)
        errors[:, j] = (w[:, j] - codes[:, j] * scale - offset) / spread[j, j]
        w[:, j + 1 :] -= errors[:, j, None] * spread[j, j + 1 :]
    return codes, errors
