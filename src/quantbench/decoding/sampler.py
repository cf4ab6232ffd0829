"""The next token of every row: the most likely one, or one drawn with temperature and top-p.

Each draw's random number is a hash of the row's own seed and the row's own token count, so a row draws the
same tokens whatever its neighbours are and whenever they come and go.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from quantbench.decoding.decoder import NO_TOKEN, Request

_ODD = -7046029254386353131  # 0x9E3779B97F4A7C15, the golden ratio's increment of splitmix64
_MIX = (-4658895280553007687, -7723592293110705685)  # its two multipliers, as signed 64-bit numbers


class Sampler:
    """Draws for one fixed set of rows; made anew when rows come or go."""

    def __init__(self, requests: Sequence[Request], device: torch.device) -> None:
        drawn = [i for i, request in enumerate(requests) if request.temperature > 0]
        self._plain = self._group([i for i in drawn if requests[i].top_p >= 1], requests, device)
        self._cut = self._group([i for i in drawn if requests[i].top_p < 1], requests, device)

    @property
    def greedy(self) -> bool:
        """Whether every row takes its most likely token."""
        return self._plain is None and self._cut is None

    def _group(self, rows: list[int], requests: Sequence[Request], device: torch.device) -> "Group | None":
        return Group(rows, [requests[i] for i in rows], device) if rows else None

    def __call__(self, logits: Tensor, counts: Tensor) -> Tensor:
        """int64 [rows] from float32 [rows, vocab]; counts int64 [rows]: tokens generated before, per row.

        NO_TOKEN where the greatest logit is not finite; NaN counts as the greatest.
        """
        tokens = logits.argmax(dim=-1)
        finite = logits.gather(-1, tokens[:, None])[:, 0].isfinite()
        if self._plain is not None:
            tokens[self._plain.rows] = self._plain.draw(logits, counts)
        if self._cut is not None:
            tokens[self._cut.rows] = self._cut.draw_cut(logits, counts)
        return torch.where(finite, tokens, NO_TOKEN)


class Group:
    """Rows that are drawn the same way."""

    def __init__(self, rows: list[int], requests: Sequence[Request], device: torch.device) -> None:
        self.rows = torch.tensor(rows, device=device)
        self._temperature = torch.tensor([[r.temperature] for r in requests], device=device)
        self._top_p = torch.tensor([[r.top_p] for r in requests], device=device, dtype=torch.float64)
        seeds = [signed64(r.seed) for r in requests]
        self._seeds = torch.tensor(seeds, device=device, dtype=torch.int64)

    def _probabilities(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits[self.rows] / self._temperature, dim=-1)

    def draw(self, logits: Tensor, counts: Tensor) -> Tensor:
        """Where each row's random number falls in the running sum of all probabilities."""
        sums = self._probabilities(logits).double().cumsum(dim=-1)
        return first_above(sums, sums[:, -1:], uniform(self._seeds, counts[self.rows]))

    def draw_cut(self, logits: Tensor, counts: Tensor) -> Tensor:
        """The same among the fewest most likely tokens that together reach top_p."""
        probabilities, order = self._probabilities(logits).sort(dim=-1, descending=True, stable=True)
        sums = probabilities.double().cumsum(dim=-1)
        last = (sums < self._top_p).sum(dim=-1, keepdim=True).clamp(max=sums.shape[-1] - 1)
        chosen = first_above(sums, sums.gather(1, last), uniform(self._seeds, counts[self.rows]))
        return order.gather(1, chosen[:, None])[:, 0]


def first_above(sums: Tensor, totals: Tensor, uniforms: Tensor) -> Tensor:
    """The first index whose running sum exceeds uniform * total; sums [rows, n], totals [rows, 1]."""
    targets = uniforms[:, None] * totals
    found = torch.searchsorted(sums, targets, right=True)[:, 0]
    return torch.minimum(found, (sums < totals).sum(dim=-1))


def uniform(seeds: Tensor, counts: Tensor) -> Tensor:
    """float64 in [0, 1) from int64 seeds and counts [rows], by the splitmix64 finalizer."""
    x = _mixed(seeds * _ODD + 1) + (counts + 1) * _ODD
    return shifted(_mixed(x), 11).double() * 2.0**-53


def _mixed(x: Tensor) -> Tensor:
    x = (x ^ shifted(x, 30)) * _MIX[0]
    x = (x ^ shifted(x, 27)) * _MIX[1]
    return x ^ shifted(x, 31)


def shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def signed64(value: int) -> int:
    """Any integer modulo 2^64, as int64 holds it."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
