"""One decode step of many rows: all buffers of its own, nothing synchronised.

A plain layer is seven kernels: add and norm, queries-keys-values, attention (rotates and fills the cache),
output in partial sums, add and norm, gated unit, down in partial sums. Whoever reads the states next adds
partial sums. Other families have a kernel more for norms over all heads, and some for experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench.engine.cuda.experts import Experts
from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.products import Products, TiledProducts
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.stream import Stream, run_layers
from quantbench.engine.cuda.triton.decode_attention import AttentionCall, Scratch
from quantbench.engine.cuda.triton.join import Added
from quantbench.engine.cuda.triton.linear import Epilogue
from quantbench.engine.cuda.triton.rotate import HeadRotation, Tables
from quantbench.engine.parameters import ExpertParameters, LayerParameters, Matrix, MlpParameters, Parameters


class TritonStep:
    """A step over a state's rows; call it to run it. Holds its scratch buffers, a few MB."""

    def __init__(
        self,
        model: Parameters,
        state: StepState,
        tables: Tables,
        operations: StepOperations,
        products: Products | None = None,
    ) -> None:
        config, rows, device = model.config, state.rows, model.device
        self._model, self._state, self._ops = model, state, operations
        self._multiply = products or TiledProducts(operations, rows, config.activation)
        self._rotations = [
            rotation_of(layer, tables[rope]) for layer, rope in zip(model.layers, config.ropes, strict=True)
        ]
        self._stream = Stream(model, operations, rows)
        self._experts = Experts(config, operations)
        self._qkv = self._activations(config.q_size + 2 * config.kv_size)
        self._attended = self._activations(config.q_size)
        self._attention_sums = self._sums(model.layers[0].output)
        dense = next((layer.mlp for layer in model.layers if isinstance(layer.mlp, MlpParameters)), None)
        self._mlp_sums = self._sums(dense.down) if dense else self._attention_sums
        self._gated = self._activations(config.intermediate_size if dense else 1)
        self._scratch = Scratch.allocate(config, rows, state.capacity, device)
        tiles = self._multiply.tiles_of(model.head)
        self._best = torch.empty(tiles, rows, dtype=torch.float32, device=device)
        self._ids = torch.empty(tiles, rows, dtype=torch.int32, device=device)

    def _activations(self, width: int) -> Tensor:
        return torch.empty(self._state.rows, width, dtype=self._model.dtype, device=self._model.device)

    def _sums(self, matrix: Matrix) -> Tensor:
        shape = (self._multiply.slices_of(matrix), self._state.rows, self._model.config.hidden_size)
        return torch.empty(shape, dtype=torch.float32, device=self._model.device)

    def __call__(self) -> None:
        model, stream = self._model, self._stream
        stream.begin(model.embedding, self._state.tokens)
        run_layers(model, stream, self)
        self._finish(stream.read(model.final_norm, self.order(model.head)))

    def order(self, matrix: Matrix) -> int:
        return self._multiply.order_of(matrix)

    def attend(self, number: int, layer: LayerParameters, x: Tensor) -> Added:
        config, state, norms = self._model.config, self._state, layer.norms
        self._multiply(layer.qkv, x, self._qkv)
        if norms.queries is not None and norms.keys is not None:
            self._ops.norm_heads(config, self._qkv, norms.queries.weight, norms.keys.weight)
        call = AttentionCall(
            config,
            self._rotations[number],
            self._qkv,
            state.positions,
            state.layer_cache(number),
            self._attended,
            config.windows[number],
            self._scratch,
            self.order(layer.output),
        )
        self._ops.decode_attention(call)
        self._multiply(layer.output, self._attended, self._attention_sums)
        return Added(self._attention_sums, layer.output.bias)

    def mlp(self, layer: LayerParameters, x: Tensor) -> Added:
        if isinstance(layer.mlp, ExpertParameters):
            return Added(self._experts(layer.mlp, x))
        config, down = self._model.config, layer.down
        epilogue = Epilogue.GATE if config.gated else Epilogue.ACT
        self._multiply(layer.gate_up, x, self._gated, epilogue=epilogue, order=self.order(down))
        self._multiply(down, self._gated, self._mlp_sums)
        return Added(self._mlp_sums, down.bias)

    def _finish(self, x: Tensor) -> None:
        head, state, cap = self._model.head, self._state, self._model.config.logit_cap
        if state.logits is not None:
            self._multiply(head, x, state.logits)
            if cap is not None:
                state.logits.div_(cap).tanh_().mul_(cap)
            return
        # a cap changes no order: it is left out here
        self._multiply(head, x, self._best, epilogue=Epilogue.BEST, ids=self._ids)
        self._ops.argmax(self._best, self._ids, state)


def rotation_of(layer: LayerParameters, tables: tuple[Tensor, Tensor]) -> HeadRotation:
    """A layer's rotation with its tables."""
    return HeadRotation(
        cosines=tables[0],
        sines=tables[1],
        q_norm=layer.q_norm,
        k_norm=layer.k_norm,
        smoothing=layer.smoothing,
    )


StepMaker = Callable[[StepState], Callable[[], None]]
