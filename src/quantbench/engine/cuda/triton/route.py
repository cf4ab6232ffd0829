"""Which experts a token passes, and with which weights: softmax, the highest ratings; one block a token."""

from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.triton.language import tl, triton
from quantbench.engine.cuda.triton.launch import next_power_of_2, over


def route_reference(config: ModelConfig, ratings: Tensor, chosen: Tensor, weights: Tensor) -> None:
    """ratings float32 [tokens, experts] -> chosen int32 and weights float32 [chosen_experts, tokens].

    The highest rating first. A token's weights add up to one where the family wants it.
    """
    best, places = ratings.softmax(-1).topk(config.chosen_experts, dim=-1)
    if config.experts_sum_to_one:
        best = best / best.sum(-1, keepdim=True)
    chosen.copy_(places.t())
    weights.copy_(best.t())


@triton.jit
def _route(
    ratings, chosen, weights, tokens, experts, CHOSEN: tl.constexpr, PAD: tl.constexpr, BLOCK: tl.constexpr,
    SUM_TO_ONE: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    e, c = tl.arange(0, BLOCK), tl.arange(0, PAD)
    x = tl.load(ratings + token * experts + e, mask=e < experts, other=float("-inf"))
    p = tl.exp(x - tl.max(x, axis=0))
    p = tl.where(e < experts, tl.where(p == p, p, 0.0), -1.0)  # not a number: still an expert that there is
    total = tl.sum(tl.where(e < experts, p, 0.0), axis=0)
    held = tl.zeros((PAD,), tl.float32)
    places = tl.zeros((PAD,), tl.int32)
    for k in tl.static_range(CHOSEN):
        best, which = tl.max(p, axis=0, return_indices=True)
        held = tl.where(c == k, best, held)
        places = tl.where(c == k, which.to(tl.int32), places)
        p = tl.where(e == which, -1.0, p)
    if SUM_TO_ONE:
        total = tl.sum(held, axis=0)
    at = c * tokens + token
    tl.store(chosen + at, places, mask=c < CHOSEN)
    tl.store(weights + at, held / total, mask=c < CHOSEN)


def route(config: ModelConfig, ratings: Tensor, chosen: Tensor, weights: Tensor) -> None:
    """`route_reference` on the device; of equal ratings the first expert comes first."""
    tokens, experts = ratings.shape
    over(_route, (tokens,))(
        ratings,
        chosen,
        weights,
        tokens,
        experts,
        CHOSEN=config.chosen_experts,
        PAD=next_power_of_2(config.chosen_experts),
        BLOCK=next_power_of_2(experts),
        SUM_TO_ONE=config.experts_sum_to_one,
        num_warps=1 if experts <= 128 else 4,
    )
