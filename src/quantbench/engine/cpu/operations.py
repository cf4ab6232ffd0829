"""The small steps between matrix products on the CPU, by `kernels.cpp`, each beside its plain form.

A step of a small model is bound by the number of calls, not by arithmetic: rotation, norms, cache and
attention of one token are one call here, and so are those of whole prompts.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.composite import GatheredLinear, JoinedLinear, split
from quantbench.engine.config import ModelConfig
from quantbench.engine.cpu.build import load_kernels
from quantbench.engine.cpu.cached import Cached, cached
from quantbench.engine.cpu.linear import CpuLinear, address, declare
from quantbench.engine.cpu.workspace import Workspace
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.linear import Linear
from quantbench.engine.operations import Attention, HeadNorms, Operations, Rotation
from quantbench.engine.parameters import Matrix, Norm
from quantbench.engine.plain.operations import PlainOperations
from quantbench.weights.formats import MixedWeight, PermutedWeight
from quantbench.weights.formats.weight import VECTOR


def cpu_operations(
    config: ModelConfig, device: str, dtype: torch.dtype, *, exact: bool = False
) -> tuple[Operations, str | None]:
    """What runs a model here, and why it is not the compiled kernels where one could hope for them.

    `exact` keeps all bits of activations wherever a call does not speak of a prompt.
    """
    plain = PlainOperations(config)
    if device != "cpu":
        return plain, None
    built = load_kernels()
    if built.kernels is None:
        return plain, built.reason
    declare(built.kernels)
    return CpuOperations(built.kernels, config, dtype, plain, exact=exact), None


def strip_of(device: str) -> int:
    """Rows that kernels want side by side (`Weight.cpu_layout`); 0 for none, and without kernels."""
    library = load_kernels().kernels if device == "cpu" else None
    if library is None:
        return 0
    declare(library)
    return int(library.quantbench_rows_beside())


class CpuOperations:
    """Compiled kernels where shapes and types allow, plain torch where not."""

    def __init__(
        self,
        library: ctypes.CDLL,
        config: ModelConfig,
        dtype: torch.dtype,
        plain: PlainOperations,
        *,
        exact: bool = False,
    ) -> None:
        self.library, self._config, self._plain, self._exact = library, config, plain, exact
        self._workspace = Workspace()
        shapes = (config.hidden_size, config.head_dim, *config.mlp_widths)
        self.own = dtype is torch.float32 and all(size % VECTOR == 0 for size in shapes)
        self.name = "own C++" if self.own else plain.name

    def linear(self, matrix: Matrix) -> Linear:
        weight = matrix.weight
        if isinstance(weight, MixedWeight):
            return JoinedLinear([self.linear(part) for part in split(matrix, weight)], weight)
        if isinstance(weight, PermutedWeight):
            return GatheredLinear(self.linear(replace(matrix, weight=weight.inner)), matrix, weight.order)
        if weight.cpu_operand() is None:
            return self._plain.linear(matrix)
        return CpuLinear(self.library, matrix, self._workspace, exact=self._exact)

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        if not self.own or self._config.centered_norms:  # torch too norms each row by itself
            return self._plain.norm(x, norm)
        y = torch.empty_like(x)
        rows, length = x.shape
        self.library.quantbench_norm(
            x.data_ptr(), norm.weight.data_ptr(), rows, length, self._config.norm_eps, y.data_ptr()
        )
        return y

    def gated(self, product: Linear, x: Tensor, *, prompt: bool) -> Tensor:
        kind = ACTIVATIONS[self._config.activation].number
        own = self.own and self._config.gated
        if own and prompt and isinstance(product, CpuLinear) and product.own_prompts:
            return product.gated(x, kind)
        return self._gate(product(x, prompt=prompt), kind)

    def capped(self, x: Tensor, cap: float) -> Tensor:
        self.library.quantbench_cap(x.data_ptr(), x.numel(), cap)
        return x

    def _gate(self, x: Tensor, kind: int) -> Tensor:
        if not self.own:
            return self._plain.gate(x)
        if not self._config.gated:
            self.library.quantbench_activate(kind, x.data_ptr(), x.numel(), x.data_ptr())
            return x
        rows, length = x.shape[0], x.shape[1] // 2
        y = self._workspace.take("gate", rows, length)
        self.library.quantbench_gate(kind, x.data_ptr(), rows, length, y.data_ptr())
        return y

    def token_attention(
        self, kv: KeyValueCache, rotation: Rotation, positions: Tensor, longest: int, uniform: bool
    ) -> Attention:
        self._workspace.close()
        if not self.own:
            return self._plain.token_attention(kv, rotation, positions, longest, uniform)
        return CpuTokenAttention(self.library, self._config, kv, rotation, positions)

    def continuation_attention(
        self, kv: KeyValueCache, rotation: Rotation, spans: Sequence[range], rows: Sequence[int]
    ) -> Attention:
        self._workspace.close()
        if not self.own:
            return self._plain.continuation_attention(kv, rotation, spans, rows)
        positions = torch.tensor([position for span in spans for position in span])
        places = torch.tensor([row for row, span in zip(rows, spans, strict=True) for _ in span])
        return CpuTokenAttention(self.library, self._config, kv, rotation, positions, places)

    def prompt_attention(
        self, kv: KeyValueCache, rotation: Rotation, lengths: Sequence[int], rows: Sequence[int]
    ) -> Attention:
        self._workspace.open()
        if not self.own:
            return self._plain.prompt_attention(kv, rotation, lengths, rows)
        return CpuPromptAttention(self.library, self._config, kv, rotation, Places(lengths, rows))


class CpuTokenAttention:
    """Norms, rotation, cache and attention of new tokens, in one call a layer.

    One token a row of the cache, or with `places`, int64 [tokens], token i in row `places[i]`: by the same
    arithmetic.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        config: ModelConfig,
        kv: KeyValueCache,
        rotation: Rotation,
        positions: Tensor,
        places: Tensor | None = None,
    ) -> None:
        self._call = library.quantbench_attend
        self._config, self._kv, self._positions, self._places = config, kv, positions, places
        self._rotation = rotation

    def cached(self, layer: int) -> Cached:
        """A layer's rotation and cache."""
        return cached(self._kv, self._rotation, layer)

    def tokens(self) -> tuple[int, int, int]:
        """Addresses of the tokens' positions and places, and the cache's capacity."""
        return self._positions.data_ptr(), address(self._places), self._kv.capacity

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms) -> Tensor:
        config, rows = self._config, len(projections)
        out = torch.empty(rows, config.q_size)
        self._call(
            projections.data_ptr(),
            rows,
            config.heads,
            config.kv_heads,
            config.head_dim,
            self._positions.data_ptr(),
            address(self._places),
            ctypes.byref(self.cached(layer)),
            address(norms.queries),
            address(norms.keys),
            address(norms.smoothing),
            config.norm_eps,
            self._kv.capacity,
            config.windows[layer] or 0,
            config.attention_cap or 0,
            out.data_ptr(),
        )
        return out


class Places:
    """Where prompts lie: each one's first token, int64 [prompts + 1], and its row in the cache."""

    def __init__(self, lengths: Sequence[int], rows: Sequence[int]) -> None:
        self.count = len(lengths)
        self.begins = torch.tensor([0, *lengths]).cumsum(0)
        self.rows = torch.tensor([*rows], dtype=torch.int64)


class CpuPromptAttention:
    """Norms, rotation, cache and causal attention of whole prompts, in one call a layer."""

    def __init__(
        self,
        library: ctypes.CDLL,
        config: ModelConfig,
        kv: KeyValueCache,
        rotation: Rotation,
        places: Places,
    ) -> None:
        self._call = library.quantbench_attend_prompts
        self._config, self._kv, self._places, self._rotation = config, kv, places, rotation

    def __call__(self, layer: int, projections: Tensor, norms: HeadNorms) -> Tensor:
        config, kv, places = self._config, self._kv, self._places
        out = torch.empty(len(projections), config.q_size)
        self._call(
            projections.data_ptr(),
            places.begins.data_ptr(),
            places.rows.data_ptr(),
            places.count,
            config.heads,
            config.kv_heads,
            config.head_dim,
            ctypes.byref(cached(kv, self._rotation, layer)),
            address(norms.queries),
            address(norms.keys),
            address(norms.smoothing),
            config.norm_eps,
            kv.capacity,
            config.windows[layer] or 0,
            config.attention_cap or 0,
            out.data_ptr(),
        )
        return out
