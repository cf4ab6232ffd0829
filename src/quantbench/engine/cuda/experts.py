"""A mixture of experts on the GPU: each token meets the experts that its router rates highest.

A pair is a token with one of its experts. Pairs lie expert choice by expert choice, so that what a token's
experts add are partial sums like those of any product; the router's weights are multiplied into the gated
units. Few pairs are runs of their own; many are sorted by expert, so that its weights are read once for many
tokens. Nothing waits for the host: what is computed has the same shape whatever is chosen.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.triton.groups import Groups
from quantbench.engine.cuda.triton.interleave import NATURAL, interleave_of, interleaved
from quantbench.engine.cuda.triton.linear import Epilogue, Tile
from quantbench.engine.cuda.triton.tiles import expert_tile, tile_for
from quantbench.engine.parameters import ExpertParameters, Matrix, MlpParameters

FEW = 64  # pairs that are runs of their own


@dataclass(frozen=True, slots=True)
class Pairs:
    """Tokens and their experts, in the order of the runs."""

    tokens: Tensor  # int64 [pairs]
    weights: Tensor  # float32 [pairs]: the router's
    groups: Groups
    places: Tensor | None  # int64 [pairs]: where each lies choice by choice; None where it already does


class Experts:
    """The products of layers with experts, for any number of tokens."""

    def __init__(self, config: ModelConfig, operations: StepOperations) -> None:
        self._config, self._ops = config, operations

    def __call__(self, mlp: ExpertParameters, x: Tensor) -> Tensor:
        """x [tokens, hidden_size] in natural order -> sums [chosen (+ 1), tokens, hidden_size]."""
        grouped, chosen = mlp.grouped, self._config.chosen_experts
        assert grouped is not None, "packed_parameters groups them"
        pairs = self._pairs(mlp, x)
        slices = chosen + (mlp.shared is not None)
        few = pairs.places is None
        kind = torch.float32 if few else x.dtype
        sums = torch.empty(slices, *x.shape, dtype=kind, device=x.device)
        tile = expert_tile(grouped.up.weight, len(mlp.experts), 16 if few else 64)
        gated = self._gated(grouped, in_order(x, grouped.up)[pairs.tokens], pairs.weights, tile, pairs.groups)
        out = sums[:chosen].view(-1, x.shape[1])
        if pairs.places is None:
            self._ops.linear(grouped.down, gated, out, tile=tile, groups=pairs.groups)
        else:
            sorted_out = torch.empty_like(out)
            self._ops.linear(grouped.down, gated, sorted_out, tile=tile, groups=pairs.groups)
            out.index_copy_(0, pairs.places, sorted_out)
        if mlp.shared is not None and mlp.shared_gate is not None:
            self._shared(mlp.shared, mlp.shared_gate, x, sums[chosen])
        return sums

    def _pairs(self, mlp: ExpertParameters, x: Tensor) -> Pairs:
        """Every token's experts."""
        config, experts = self._config, len(mlp.experts)
        shape = (config.chosen_experts, len(x))
        chosen = torch.zeros(
            shape, dtype=torch.int32, device=x.device
        )  # an expert that there is, whatever runs
        weights = torch.empty(shape, dtype=torch.float32, device=x.device)
        self._ops.route(config, self._rated(mlp.router, x), chosen, weights)
        pairs = chosen.numel()
        if pairs <= FEW:
            tokens, first, count = few_pairs(shape[0], shape[1], x.device)
            return Pairs(tokens, weights.view(-1), Groups(first, count, chosen.view(-1), experts), None)
        places = chosen.view(-1).argsort(stable=True)
        groups = sorted_groups(chosen.view(-1), experts, tokens=64)
        return Pairs(places % len(x), weights.view(-1)[places], groups, places)

    def _rated(self, router: Matrix, x: Tensor) -> Tensor:
        ratings = torch.empty(len(x), router.weight.shape[0], dtype=torch.float32, device=x.device)
        self._ops.linear(router, in_order(x, router), ratings, tile=tile_for(router.weight, len(x)))
        return ratings

    def _gated(
        self, mlp: MlpParameters, x: Tensor, factors: Tensor, tile: Tile, groups: Groups | None = None
    ) -> Tensor:
        """Gated units times `factors` [rows], in the order of who reads them."""
        config = self._config
        out = torch.empty(len(x), mlp.down.weight.shape[1], dtype=x.dtype, device=x.device)
        self._ops.linear(
            mlp.up,
            x,
            out,
            tile=tile,
            epilogue=Epilogue.GATE if config.gated else Epilogue.ACT,
            order=interleave_of(mlp.down.weight),
            activation=config.activation,
            factors=factors,
            groups=groups,
        )
        return out

    def _shared(self, mlp: MlpParameters, gate: Matrix, x: Tensor, out: Tensor) -> None:
        """The expert that every token passes, times its gate."""
        factors = self._rated(gate, x).sigmoid_().view(-1)
        tile = tile_for(mlp.up.weight, len(x))
        gated = self._gated(mlp, in_order(x, mlp.up), factors, tile)
        self._ops.linear(mlp.down, gated, out, tile=tile_for(mlp.down.weight, len(x)))


def in_order(x: Tensor, matrix: Matrix) -> Tensor:
    """x [rows, inputs] in a matrix's own order."""
    run = interleave_of(matrix.weight)
    return x if run == NATURAL else x.index_select(1, inputs_of(run, x.shape[1], x.device))


@cache
def inputs_of(run: int, width: int, device: torch.device) -> Tensor:
    """int64 [width]: which input lies at each place; kept, as a captured pass must not copy it."""
    return interleaved(torch.arange(width), run).to(device)


@cache
def few_pairs(chosen: int, tokens: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of pairs that are runs of their own: tokens int64, first and count int32 [pairs]."""
    pair = torch.arange(chosen * tokens, device=device)
    return pair % tokens, pair.int(), torch.ones_like(pair, dtype=torch.int32)


def sorted_groups(chosen: Tensor, experts: int, *, tokens: int) -> Groups:
    """Runs of at most `tokens` pairs over pairs that are sorted by their experts, int32 [pairs].

    As many as there can be at most: those that are not needed are empty.
    """
    device, pairs = chosen.device, chosen.numel()
    counts = torch.zeros(experts, dtype=torch.int64, device=device)
    counts.scatter_add_(0, chosen.long(), torch.ones_like(chosen, dtype=torch.int64))
    starts, runs = counts.cumsum(0) - counts, (counts + tokens - 1) // tokens
    run = torch.arange(-(-pairs // tokens) + min(experts, pairs), device=device)
    expert = torch.searchsorted(runs.cumsum(0), run, right=True).clamp_max_(experts - 1)
    within = (run - (runs.cumsum(0) - runs)[expert]) * tokens
    count = (counts[expert] - within).clamp_(0, tokens)
    return Groups((starts[expert] + within).int(), count.int(), expert.int(), experts)
