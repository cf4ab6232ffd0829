"""Whole prompts through the model: laid out one after another, no padding, cache filled on the way.

Few tokens use the decode step's products; from `CUBLAS` tokens on, a packed matrix is
dequantized into one buffer and multiplied by cuBLAS, unless results must not depend on the batch.
"""

import torch
from torch import Tensor

from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.packing import kind_of
from quantbench.engine.cuda.prompt_layout import SHORT, PromptLayout
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.argmax import chosen_of
from quantbench.engine.cuda.triton.interleave import NATURAL, interleave_of
from quantbench.engine.cuda.triton.linear import Epilogue, tiles_of
from quantbench.engine.cuda.triton.prompt_attention import Prompts
from quantbench.engine.cuda.triton.tiles import tile_for
from quantbench.engine.cuda.triton_step import Tables, rotation_of
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters
from quantbench.weights.formats import GpuKind

# tokens from which on cuBLAS multiplies: where captured passes of Qwen2.5-0.5B became faster on an H100
CUBLAS = {GpuKind.FLOAT: 257, GpuKind.INT8: 1025, GpuKind.INT4: 257, GpuKind.BLOCKS: 257}
HEAD_ROWS = 256  # tokens whose logits are computed at once
FEW_HEAD_ROWS = 16  # tokens up to which a narrow tile is taken: two kernels for all numbers of tokens


class PromptPass:
    """Runs prompts; holds nothing between calls."""

    def __init__(
        self, model: Parameters, operations: StepOperations, *, batch_invariant: bool = False
    ) -> None:
        self._model, self._ops = model, operations
        self._invariant = batch_invariant
        self.few_tokens = CUBLAS[kind_of(model.layers[0].qkv.weight)]  # from which cuBLAS multiplies
        self.width = model.config.hidden_size  # of a final state

    def __call__(self, layout: PromptLayout, tables: Tables, state: StepState | None) -> Tensor:
        """Final normalised states [tokens, hidden_size], in the order that the head wants them in.

        The cache is filled where there is a state.
        """
        model, ops, eps = self._model, self._ops, self._model.config.norm_eps
        tokens, hidden = len(layout.ids), model.config.hidden_size
        residual = torch.empty(tokens, hidden, dtype=torch.float32, device=model.device)
        normed = self._buffer(tokens, hidden)
        ops.embed(model.embedding, layout.ids, residual)
        delta: Tensor | None = None
        for number, layer in enumerate(model.layers):
            order = self._order(layer.qkv, tokens)
            ops.add_norm(residual, (delta, None), layer.input_norm, eps, normed, order)
            delta = self._attend(number, layer, normed, layout, tables, state)[None]
            order = self._order(layer.gate_up, tokens)
            ops.add_norm(residual, (delta, None), layer.post_norm, eps, normed, order)
            delta = self._product(layer.down, self._gated(layer, normed))[None]
        ops.add_norm(residual, (delta, None), model.norm, eps, normed, interleave_of(model.head.weight))
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """float32 [rows, vocab_size] of some of its states."""
        head = self._model.head
        out = torch.empty(len(hidden), head.weight.shape[0], dtype=torch.float32, device=hidden.device)
        for first in range(0, len(hidden), HEAD_ROWS):
            part = hidden[first : first + HEAD_ROWS]
            tile = tile_for(head.weight, FEW_HEAD_ROWS if len(part) <= FEW_HEAD_ROWS else HEAD_ROWS)
            self._ops.linear(head, part, out[first : first + HEAD_ROWS], tile=tile)
        return out

    def best(self, hidden: Tensor) -> Tensor:
        """int32 [rows]: the most likely token after each state, or NO_TOKEN."""
        head = self._model.head
        tile = tile_for(head.weight, len(hidden))
        shape = (tiles_of(head, tile), len(hidden))
        best = torch.empty(shape, dtype=torch.float32, device=hidden.device)
        ids = torch.empty(shape, dtype=torch.int32, device=hidden.device)
        self._ops.linear(head, hidden, best, tile=tile, epilogue=Epilogue.BEST, ids=ids)
        return chosen_of(best, ids)

    def _attend(
        self,
        number: int,
        layer: LayerParameters,
        normed: Tensor,
        layout: PromptLayout,
        tables: Tables,
        state: StepState | None,
    ) -> Tensor:
        config = self._model.config
        qkv = self._product(layer.qkv, normed)
        cache = None if state is None else (state.keys[number], state.values[number])
        self._ops.rotate_prompts(config, rotation_of(layer, tables), qkv, layout.slot_mapping, cache)
        attended = self._buffer(len(normed), config.q_size)
        window = config.windows[number]
        few = self._invariant or layout.longest <= SHORT  # one tile for all, or the faster one
        prompts = Prompts(layout.starts, layout.longest, queries=64 if few else 128)
        order = self._order(layer.output, len(normed))
        self._ops.prompt_attention(config, qkv, prompts, attended, window, order)
        return self._product(layer.output, attended)

    def _gated(self, layer: LayerParameters, x: Tensor) -> Tensor:
        matrix = layer.gate_up
        out = self._buffer(len(x), matrix.weight.shape[0] // 2)
        if self._fused(len(x)):
            tile, order = tile_for(matrix.weight, len(x)), interleave_of(layer.down.weight)
            self._ops.linear(matrix, x, out, tile=tile, epilogue=Epilogue.GATE, order=order)
        else:
            self._ops.silu_mul(self._product(matrix, x), out)
        return out

    def _product(self, matrix: Matrix, x: Tensor) -> Tensor:
        """x [tokens, in], in the matrix's order, -> activations [tokens, out], bias included."""
        out = self._buffer(len(x), matrix.weight.shape[0])
        if self._fused(len(x)):
            self._ops.linear(matrix, x, out, tile=tile_for(matrix.weight, len(x)))
            return out
        values = self._values(matrix, x.dtype).t()
        if matrix.bias is None:
            return torch.mm(x, values, out=out)
        return torch.addmm(matrix.bias, x, values, out=out)

    def _values(self, matrix: Matrix, dtype: torch.dtype) -> Tensor:
        if matrix.weight.is_float:
            return matrix.weight.as_dtype(dtype)
        values = torch.empty(matrix.weight.shape, dtype=dtype, device=self._model.device)
        self._ops.dequantize(matrix.weight, values)
        return values

    def _fused(self, tokens: int) -> bool:
        return self._invariant or tokens < self.few_tokens

    def _order(self, matrix: Matrix, tokens: int) -> int:
        """In which order a matrix's inputs are written: its own, save for cuBLAS."""
        return interleave_of(matrix.weight) if self._fused(tokens) else NATURAL

    def _buffer(self, tokens: int, width: int) -> Tensor:
        return torch.empty(tokens, width, dtype=self._model.dtype, device=self._model.device)
