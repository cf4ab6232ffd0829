"""One decode step of many rows: seven kernels a layer, all buffers allocated before, nothing synchronised.

A layer is: add and norm, queries-keys-values, attention (rotates and fills the cache), output in partial
sums, add and norm, gated unit, down in partial sums. Partial sums are added by the next norm. The residual
stream is float32.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from quantbench.engine.cuda.operations import StepOperations
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.decode_attention import Scratch
from quantbench.engine.cuda.triton.interleave import NATURAL, interleave_of
from quantbench.engine.cuda.triton.linear import Epilogue, tiles_of
from quantbench.engine.cuda.triton.rotate import HeadRotation
from quantbench.engine.cuda.triton.tiles import slices_for, tile_for
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters

Tables = tuple[Tensor, Tensor]


class TritonStep:
    """A step over a state's rows; call it to run it. Holds its scratch buffers, a few MB."""

    def __init__(
        self, model: Parameters, state: StepState, tables: Tables, operations: StepOperations
    ) -> None:
        config, rows, device = model.config, state.rows, model.device
        self._model, self._state, self._ops = model, state, operations
        self._rotations = [rotation_of(layer, tables) for layer in model.layers]

        def activations(width: int) -> Tensor:
            return torch.empty(rows, width, dtype=model.dtype, device=device)

        def sums(matrix: Matrix) -> Tensor:
            shape = (slices_for(matrix.weight), rows, config.hidden_size)
            return torch.empty(shape, dtype=torch.float32, device=device)

        self._residual = torch.empty(rows, config.hidden_size, dtype=torch.float32, device=device)
        self._normed = activations(config.hidden_size)
        self._qkv = activations(config.q_size + 2 * config.kv_size)
        self._attended = activations(config.q_size)
        self._gated = activations(config.intermediate_size)
        self._attention_sums = sums(model.layers[0].output)
        self._mlp_sums = sums(model.layers[0].down)
        self._scratch = Scratch.allocate(config, rows, state.capacity, device)
        tiles = tiles_of(model.head, tile_for(model.head.weight, rows))
        self._best = torch.empty(tiles, rows, dtype=torch.float32, device=device)
        self._ids = torch.empty(tiles, rows, dtype=torch.int32, device=device)

    def __call__(self) -> None:
        ops, model, state = self._ops, self._model, self._state
        ops.embed(model.embedding, state.tokens, self._residual)
        before: tuple[Tensor | None, Tensor | None] = (None, None)
        for number, layer in enumerate(model.layers):
            self._norm(before, layer.input_norm, layer.qkv)
            self._attend(number, layer)
            self._norm((self._attention_sums, layer.output.bias), layer.post_norm, layer.gate_up)
            self._product(
                layer.gate_up, self._normed, self._gated, Epilogue.GATE, interleave_of(layer.down.weight)
            )
            self._product(layer.down, self._gated, self._mlp_sums)
            before = (self._mlp_sums, layer.down.bias)
        self._norm(before, model.norm, model.head)
        self._finish()

    def _norm(self, added: tuple[Tensor | None, Tensor | None], weight: Tensor, reader: Matrix) -> None:
        eps, order = self._model.config.norm_eps, interleave_of(reader.weight)
        self._ops.add_norm(self._residual, added, weight, eps, self._normed, order)

    def _attend(self, number: int, layer: LayerParameters) -> None:
        config, state = self._model.config, self._state
        self._product(layer.qkv, self._normed, self._qkv)
        self._ops.decode_attention(
            config,
            self._rotations[number],
            self._qkv,
            state.positions,
            (state.keys[number], state.values[number]),
            self._attended,
            config.windows[number],
            self._scratch,
            interleave_of(layer.output.weight),
        )
        self._product(layer.output, self._attended, self._attention_sums)

    def _product(
        self,
        matrix: Matrix,
        x: Tensor,
        out: Tensor,
        epilogue: Epilogue = Epilogue.STORE,
        order: int = NATURAL,
    ) -> None:
        tile = tile_for(matrix.weight, len(x))
        self._ops.linear(matrix, x, out, tile=tile, epilogue=epilogue, order=order)

    def _finish(self) -> None:
        head, state = self._model.head, self._state
        if state.logits is not None:
            self._product(head, self._normed, state.logits)
            return
        tile = tile_for(head.weight, state.rows)
        self._ops.linear(head, self._normed, self._best, tile=tile, epilogue=Epilogue.BEST, ids=self._ids)
        self._ops.argmax(self._best, self._ids, state)


def rotation_of(layer: LayerParameters, tables: Tables) -> HeadRotation:
    """A layer's rotation with the model's tables."""
    return HeadRotation(cosines=tables[0], sines=tables[1], q_norm=layer.q_norm, k_norm=layer.k_norm)


StepMaker = Callable[[StepState], Callable[[], None]]
