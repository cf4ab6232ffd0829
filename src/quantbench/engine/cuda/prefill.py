"""Whole prompts through the model: laid out one after another, no padding, cache filled on the way.

Few tokens use the decode step's products; from `CUBLAS` tokens on, a packed matrix is
dequantized into one buffer and multiplied by cuBLAS, unless results must not depend on the batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from quantbench.engine.activations import ACTIVATIONS
from quantbench.engine.cuda.experts import Experts
from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.packing import kind_of
from quantbench.engine.cuda.prompt_layout import SHORT, PromptLayout
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.stream import Stream, run_layers
from quantbench.engine.cuda.triton.argmax import chosen_of
from quantbench.engine.cuda.triton.interleave import NATURAL, interleave_of
from quantbench.engine.cuda.triton.join import Added
from quantbench.engine.cuda.triton.linear import Epilogue, tiles_of
from quantbench.engine.cuda.triton.prompt_attention import Prompts
from quantbench.engine.cuda.triton.rotate import Tables
from quantbench.engine.cuda.triton.tiles import tile_for
from quantbench.engine.cuda.triton_step import rotation_of
from quantbench.engine.parameters import ExpertParameters, LayerParameters, Matrix, MlpParameters, Parameters
from quantbench.settings import KvFormat
from quantbench.weights.formats import GpuKind

# tokens from which on cuBLAS multiplies: where captured passes of Qwen2.5-0.5B became faster on an H100
CUBLAS = {GpuKind.FLOAT: 257, GpuKind.INT8: 1025, GpuKind.INT4: 257, GpuKind.BLOCKS: 257}
HEAD_ROWS = 256  # tokens whose logits are computed at once
FEW_HEAD_ROWS = 16  # tokens up to which a narrow tile is taken: two kernels for all numbers of tokens


class PromptPass:
    """Runs prompts; holds nothing between calls."""

    def __init__(
        self,
        model: Parameters,
        operations: StepOperations,
        *,
        batch_invariant: bool = False,
        kv: KvFormat | None = None,
    ) -> None:
        """`kv` says in which codes keys and values are attended to, and held where there is a state."""
        self._model, self._ops = model, operations
        self._invariant = batch_invariant
        self.few_tokens = CUBLAS[kind_of(model.layers[0].qkv.weight)]  # from which cuBLAS multiplies
        self.config, self.kv = model.config, kv
        self.width, self.dtype = model.config.hidden_size, model.dtype  # of a final state

    def __call__(self, layout: PromptLayout, tables: Tables, state: StepState | None) -> Tensor:
        """Final normalised states [tokens, hidden_size], in the order that the head wants them in.

        The cache is filled where there is a state.
        """
        model, tokens = self._model, len(layout.ids)
        stream = Stream(model, self._ops, tokens)
        stream.begin(model.embedding, layout.ids)
        products = Products(model, self._ops, fused=self._invariant or tokens < self.few_tokens)
        one_tile = self._invariant or layout.longest <= SHORT  # one tile for all, or the faster one
        run_layers(
            model, stream, PromptLayers(products, layout, tables, state, 64 if one_tile else 128, self.kv)
        )
        return stream.read(model.final_norm, interleave_of(model.head.weight))

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [rows, vocab_size] of some of its states."""
        head, cap = self._model.head, self._model.config.logit_cap
        out = torch.empty(len(hidden), head.weight.shape[0], dtype=torch.float32, device=hidden.device)
        for first in range(0, len(hidden), HEAD_ROWS):
            part = hidden[first : first + HEAD_ROWS]
            tile = tile_for(head.weight, FEW_HEAD_ROWS if len(part) <= FEW_HEAD_ROWS else HEAD_ROWS)
            self._ops.linear(head, part, out[first : first + HEAD_ROWS], tile=tile)
        return out if cap is None else out.div_(cap).tanh_().mul_(cap)

    def best(self, hidden: Tensor) -> Tensor:
        """int32 [rows]: the most likely token after each state, or NO_TOKEN."""
        head = self._model.head
        tile = tile_for(head.weight, len(hidden))
        shape = (tiles_of(head, tile), len(hidden))
        best = torch.empty(shape, dtype=torch.float32, device=hidden.device)
        ids = torch.empty(shape, dtype=torch.int32, device=hidden.device)
        self._ops.linear(head, hidden, best, tile=tile, epilogue=Epilogue.BEST, ids=ids)
        return chosen_of(best, ids)


@dataclass(frozen=True, slots=True)
class Products:
    """Matrix products of so many tokens: `fused` with packed weights, or by cuBLAS."""

    model: Parameters
    operations: StepOperations
    fused: bool

    def __call__(self, matrix: Matrix, x: Tensor) -> Tensor:
        """x [tokens, in], in the matrix's order, -> activations [tokens, out], bias included."""
        out = self.buffer(len(x), matrix.weight.shape[0])
        if self.fused:
            self.operations.linear(matrix, x, out, tile=tile_for(matrix.weight, len(x)))
            return out
        values = self._values(matrix, x.dtype).t()
        if matrix.bias is None:
            return torch.mm(x, values, out=out)
        return torch.addmm(matrix.bias, x, values, out=out)

    def activated(self, mlp: MlpParameters, x: Tensor) -> Tensor:
        """Gated units, or activated ones where the family has no gates, in the order of who reads them."""
        config, matrix = self.model.config, mlp.up
        out = self.buffer(len(x), mlp.down.weight.shape[1])
        if self.fused:
            self.operations.linear(
                matrix,
                x,
                out,
                tile=tile_for(matrix.weight, len(x)),
                epilogue=Epilogue.GATE if config.gated else Epilogue.ACT,
                order=interleave_of(mlp.down.weight),
                activation=config.activation,
            )
        elif config.gated:
            self.operations.silu_mul(self(matrix, x), out, config.activation)
        else:
            out.copy_(ACTIVATIONS[config.activation].apply(self(matrix, x)))
        return out

    def order(self, matrix: Matrix) -> int:
        """In which order a matrix's inputs are written: its own, save for cuBLAS."""
        return interleave_of(matrix.weight) if self.fused else NATURAL

    def buffer(self, tokens: int, width: int) -> Tensor:
        """Activations that nothing has written yet."""
        return torch.empty(tokens, width, dtype=self.model.dtype, device=self.model.device)

    def _values(self, matrix: Matrix, dtype: torch.dtype) -> Tensor:
        if matrix.weight.is_float:
            return matrix.weight.as_dtype(dtype)
        values = torch.empty(matrix.weight.shape, dtype=dtype, device=self.model.device)
        self.operations.dequantize(matrix.weight, values)
        return values


@dataclass(frozen=True, slots=True)
class PromptLayers:
    """The halves of layers over some prompts; see `stream.LayerPass`."""

    products: Products
    layout: PromptLayout
    tables: Tables
    state: StepState | None
    queries: int  # that a block of attention takes
    kv: KvFormat | None = None

    def order(self, matrix: Matrix) -> int:
        return self.products.order(matrix)

    def attend(self, number: int, layer: LayerParameters, x: Tensor) -> Added:
        products, layout, state, norms = self.products, self.layout, self.state, layer.norms
        config, ops = products.model.config, products.operations
        qkv = products(layer.qkv, x)
        if norms.queries is not None and norms.keys is not None:
            ops.norm_heads(config, qkv, norms.queries.weight, norms.keys.weight)
        cache = None if state is None else state.layer_cache(number)
        rotation = rotation_of(layer, self.tables[config.ropes[number]])
        ops.rotate_prompts(config, rotation, qkv, layout.slot_mapping, cache, self.kv)
        attended = products.buffer(len(x), config.q_size)
        prompts = Prompts(layout.starts, layout.longest, queries=self.queries)
        ops.prompt_attention(config, qkv, prompts, attended, config.windows[number], self.order(layer.output))
        return Added(products(layer.output, attended)[None])

    def mlp(self, layer: LayerParameters, x: Tensor) -> Added:
        if isinstance(layer.mlp, ExpertParameters):
            return Added(Experts(self.products.model.config, self.products.operations)(layer.mlp, x))
        return Added(self.products(layer.mlp.down, self.products.activated(layer.mlp, x))[None])
