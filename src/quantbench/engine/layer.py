"""One decoder layer over a device's operations: attention and an MLP or experts, each added to the states.

Which norms it has, whether attention and MLP read the same states, and what scales what they add, are facts
in its configuration and parameters; a layer is the same code for all families.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig
from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, HeadNorms, Operations
from quantbench.engine.parameters import ExpertParameters, LayerNorms, LayerParameters, MlpParameters, Norm


@dataclass(frozen=True, slots=True)
class Mlp:
    """Gate and up, or up alone; and down."""

    up: Linear
    down: Linear
    operations: Operations

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        """x [tokens, hidden_size] -> the same shape, plus `residual` if given."""
        return self.down(self.operations.gated(self.up, x, prompt=prompt), residual, prompt=prompt)

    def products(self) -> Iterator[Linear]:
        """In the order of the parameters' matrices."""
        yield from (self.up, self.down)


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts: each token passes the `chosen` ones that its router rates highest.

    A token's sum goes through its experts in their order, so that it does not depend on the other tokens.
    """

    router: Linear
    experts: tuple[Mlp, ...]
    shared: Mlp | None
    shared_gate: Linear | None
    chosen: int
    sum_to_one: bool

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        """x [tokens, hidden_size] -> the same shape, plus `residual` if given."""
        # float64, so that rounding to float32 is the same wherever in a batch a token stands
        ratings = self.router(x).double().softmax(-1)
        weights, places = ratings.topk(self.chosen, dim=-1)
        if self.sum_to_one:
            weights = weights / weights.sum(-1, keepdim=True)
        weights = weights.to(x.dtype)
        out = torch.zeros_like(x)
        for number in sorted(set(places.flatten().tolist())):
            tokens, place = (places == number).nonzero(as_tuple=True)
            part = self.experts[number](x[tokens], prompt=prompt)
            out.index_add_(0, tokens, part * weights[tokens, place, None])
        if self.shared is not None and self.shared_gate is not None:
            gate = self.shared_gate(x).double().sigmoid().to(x.dtype)
            out = out + gate * self.shared(x, prompt=prompt)
        return out if residual is None else residual + out

    def products(self) -> Iterator[Linear]:
        """In the order of the parameters' matrices."""
        yield self.router
        for expert in self.experts:
            yield from expert.products()
        if self.shared is not None and self.shared_gate is not None:
            yield from (*self.shared.products(), self.shared_gate)


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer, ready to run."""

    config: ModelConfig
    norms: LayerNorms
    qkv: Linear
    head_norms: HeadNorms
    output: Linear
    mlp: Mlp | Experts
    operations: Operations

    def __call__(
        self, number: int, x: Tensor, attention: Attention, wanted: Tensor | None, *, prompt: bool
    ) -> Tensor:
        """States [tokens, hidden_size] behind layer `number`; of the tokens `wanted` alone if given."""
        norms = self.norms
        heads = self._head_projections(self.qkv(self._normed(x, norms.before_attention), prompt=prompt))
        mixed = attention(number, heads, self.head_norms)
        if wanted is not None:
            mixed, x = mixed[wanted], x[wanted]
        if self.config.parallel:  # read before attention is added, which may be done in place
            wide = self._normed(x, norms.before_mlp)
            x = self._added(self.output, mixed, x, norms.behind_attention, prompt)
        else:
            x = self._added(self.output, mixed, x, norms.behind_attention, prompt)
            wide = self._normed(x, norms.before_mlp)
        return self._added(self.mlp, wide, x, norms.behind_mlp, prompt)

    def products(self) -> Iterator[Linear]:
        """In the order of the parameters' matrices."""
        yield from (self.qkv, self.output, *self.mlp.products())

    def _normed(self, x: Tensor, norm: Norm | None) -> Tensor:
        return x if norm is None else self.operations.norm(x, norm)

    def _head_projections(self, projections: Tensor) -> Tensor:
        """With the norms over all queries and all keys, where there are any."""
        queries, keys = self.norms.queries, self.norms.keys
        if queries is None or keys is None:
            return projections
        sizes = [self.config.q_size, self.config.kv_size, self.config.kv_size]
        q, k, v = torch.split(projections, sizes, dim=-1)
        norm = self.operations.norm
        return torch.cat((norm(q.contiguous(), queries), norm(k.contiguous(), keys), v), dim=-1)

    def _added(
        self, branch: Linear | Mlp | Experts, x: Tensor, residual: Tensor, norm: Norm | None, prompt: bool
    ) -> Tensor:
        """What a branch makes of x, normed and scaled where the family does, on top of the states."""
        scale = self.config.residual_scale
        if norm is None and scale == 1:
            return branch(x, residual, prompt=prompt)
        return residual + self._normed(branch(x, prompt=prompt), norm) * scale


def make_layer(config: ModelConfig, parameters: LayerParameters, operations: Operations) -> Layer:
    """A layer whose matrix products are made by `operations`."""
    mlp = parameters.mlp
    return Layer(
        config=config,
        norms=parameters.norms,
        qkv=operations.linear(parameters.qkv),
        head_norms=HeadNorms(parameters.q_norm, parameters.k_norm, parameters.smoothing),
        output=operations.linear(parameters.output),
        mlp=make_mlp(mlp, operations)
        if isinstance(mlp, MlpParameters)
        else make_experts(config, mlp, operations),
        operations=operations,
    )


def make_mlp(parameters: MlpParameters, operations: Operations) -> Mlp:
    """An MLP whose products are made by `operations`."""
    return Mlp(operations.linear(parameters.up), operations.linear(parameters.down), operations)


def make_experts(config: ModelConfig, parameters: ExpertParameters, operations: Operations) -> Experts:
    """Experts whose products are made by `operations`."""
    return Experts(
        router=operations.linear(parameters.router),
        experts=tuple(make_mlp(expert, operations) for expert in parameters.experts),
        shared=make_mlp(parameters.shared, operations) if parameters.shared else None,
        shared_gate=operations.linear(parameters.shared_gate) if parameters.shared_gate else None,
        chosen=config.chosen_experts,
        sum_to_one=config.experts_sum_to_one,
    )
