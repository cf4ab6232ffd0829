"""Quantizes a model matrix by matrix, each by what its inputs are behind all that is quantized already.

Texts run through two models side by side, layer by layer: the unquantized one, and the one whose matrices so
far are quantized. Before a matrix is quantized, the second moments of its inputs in both are summed. Of the
unquantized model one layer is held at a time, beside the texts' hidden states and what has been quantized.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantbench.engine.calibration import Cast, Pass, mean_square
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.linear import Linear
from quantbench.engine.load import ParameterLoader
from quantbench.engine.operations import HeadNorms
from quantbench.engine.parameters import LayerParameters, Matrix
from quantbench.engine.plain.operations import PlainOperations
from quantbench.engine.plain_layers import beyond_plain_layers
from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers import Quantizing, floats_of

BAND = 512  # rows of second moments that are summed together, of their upper triangle alone
CHUNK = 4096  # tokens that run through a layer together: its activations are held for so many


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the inputs of matrices that share them, float32: means over all tokens.

    x' are inputs behind the quantized matrices, x the same without quantization, W the matrices' rows.
    """

    hessian: Tensor  # x' x'^T [in, in]
    pull: Tensor  # W (x - x') x'^T [out, in]: what the outputs lose


# names and values [out, in] of matrices that share their inputs -> their weights in the same order
QuantizeTogether = Callable[[Sequence[str], Sequence[Tensor], Moments], Sequence[Weight]]
Both = tuple[Tensor, Tensor]  # without quantization, behind it


class Chunk:
    """Some of the texts on their way: `states` [tokens, hidden_size] float32, and what attention left."""

    def __init__(self, run: Pass, lengths: Sequence[int], states: Tensor) -> None:
        self._run, self._lengths = run, lengths
        self.states: Both = (states, states)
        self.mixed: Both = (states, states)

    def attend(self, config: ModelConfig, products: Sequence[Linear], layer: LayerParameters) -> None:
        """Queries, keys and values of normed states, and attention -> `mixed`."""
        dtype, rows = self._run.dtype, range(len(self._lengths))
        device = self.states[0].device
        cache = KeyValueCache(config, rows=len(rows), capacity=max(self._lengths), device=device, dtype=dtype)
        attention = PlainOperations(config).prompt_attention(cache, self._run.rotation, self._lengths, rows)
        norms = HeadNorms(layer.q_norm, layer.k_norm)
        one, other = (
            attention(0, product(x), norms)
            for product, x in zip(products, self.normed(layer.input_norm), strict=True)
        )
        self.mixed = (one, other)

    def normed(self, weight: Tensor) -> Both:
        """The states as the next matrix reads them."""
        return self._run.norm(self.states[0], weight), self._run.norm(self.states[1], weight)

    def add(self, product: Linear, x: Tensor, *, behind: bool) -> None:
        """A product onto the states without quantization, or onto those behind it."""
        one, other = self.states
        self.states = (one, product(x, other)) if behind else (product(x, one), other)


class Sequential:
    """One pass; `weights` and `squares` are its results."""

    def __init__(
        self,
        source: ModelSource,
        texts: Sequence[Sequence[int]],
        quantize: QuantizeTogether,
        *,
        device: str,
        dtype: torch.dtype,
    ) -> None:
        self._config = read_config(source.config)
        check_layers(source, self._config)
        self._source, self._quantize = source, quantize
        self._device = torch.device(device)
        self._run = Pass(self._config, [len(text) for text in texts], self._device, dtype)
        self._texts = texts
        self.weights: dict[str, Weight] = {}
        self.squares: dict[str, Tensor] = {}  # of the head's inputs

    def run(self) -> None:
        """All layers. ModelError as for loading the model."""
        config, dtype = self._config, self._run.dtype
        cast = Cast(self._device, dtype)
        loader = ParameterLoader(self._source, config, Quantizing(self._source, cast), self._device, dtype)
        with torch.inference_mode():
            chunks = self._chunks()
            for number in range(config.layers):
                self._layer(number, loader.layer(number), chunks)
            norm = loader.final_norm().weight
            ends = torch.cat([chunk.normed(norm)[1] for chunk in chunks])
        self.squares[EMBEDDING if config.tied else HEAD] = mean_square(ends)

    def _chunks(self) -> list[Chunk]:
        """The texts, embedded, so many together that their tokens are about CHUNK."""
        shape = (self._config.vocab_size, self._config.hidden_size)
        table = floats_of(self._source, EMBEDDING, shape)
        each = max(1, CHUNK // max(map(len, self._texts)))
        chunks = []
        for start in range(0, len(self._texts), each):
            texts = self._texts[start : start + each]
            ids = torch.tensor([token for text in texts for token in text])
            states = table[ids].to(self._device, torch.float32)
            chunks.append(Chunk(self._run, [len(text) for text in texts], states))
        return chunks

    def _layer(self, number: int, layer: LayerParameters, chunks: Sequence[Chunk]) -> None:
        """Quantize a layer's matrices in the order in which they are used."""
        config, only = self._config, slice(number, number + 1)
        alone = replace(config, layers=1, windows=config.windows[only], ropes=config.ropes[only])
        operations = PlainOperations(alone)

        def quantized(matrix: Matrix, inputs: Callable[[Chunk], Both]) -> Linear:
            return operations.linear(self._quantized(matrix, map(inputs, chunks)))

        def products(matrix: Matrix, inputs: Callable[[Chunk], Both]) -> list[Linear]:
            return [operations.linear(matrix), quantized(matrix, inputs)]

        def gated(chunk: Chunk, behind: int) -> Tensor:
            return operations.gated(ups[behind], chunk.normed(layer.post_norm)[behind], prompt=True)

        def both_gated(chunk: Chunk) -> Both:  # the states without quantization are then behind the layer
            inputs = gated(chunk, 0), gated(chunk, 1)
            chunk.add(down, inputs[0], behind=False)
            return inputs

        qkv = products(layer.qkv, lambda chunk: chunk.normed(layer.input_norm))
        for chunk in chunks:
            chunk.attend(alone, qkv, layer)
        output = products(layer.output, lambda chunk: chunk.mixed)
        for chunk in chunks:
            for behind, product in enumerate(output):
                chunk.add(product, chunk.mixed[behind], behind=bool(behind))
        ups = products(layer.gate_up, lambda chunk: chunk.normed(layer.post_norm))
        down = operations.linear(layer.down)
        down_behind = quantized(layer.down, both_gated)
        for chunk in chunks:
            chunk.add(down_behind, gated(chunk, 1), behind=True)

    def _quantized(self, matrix: Matrix, inputs: Iterable[Both]) -> Matrix:
        """The matrix as its quantized parts compute it, in the type of the products; the parts are kept."""
        names = [name for name, _ in matrix.parts]
        whole = matrix.weight.as_dtype(torch.float32)
        values = torch.split(whole, [rows for _, rows in matrix.parts])
        weights = self._quantize(names, values, moments(whole, inputs))
        self.weights |= zip(names, weights, strict=True)
        joined = torch.cat([weight.as_dtype(self._run.dtype) for weight in weights])
        return replace(matrix, weight=FloatWeight(joined))


def check_layers(source: ModelSource, config: ModelConfig) -> None:
    """ModelError for layers whose matrices are used in another order, or have rows in another than stored."""
    reason = beyond_plain_layers(config)
    if config.rope.turned < config.head_dim:
        reason = "heads that are rotated in part"
    if reason:
        raise ModelError(
            f"'{source.name}' has {reason}, through which int4-gptq and mixed do not run; use int4"
        )


def moments(whole: Tensor, inputs: Iterable[Both]) -> Moments:
    """Of inputs [tokens, in] of `whole` [out, in] without quantization and behind it, chunk after chunk.

    Few rows are multiplied before the outer product, many behind it: what takes fewer operations.
    """
    rows, columns = whole.shape
    hessian = whole.new_zeros(columns, columns)
    pull = whole.new_zeros(rows, columns) if 2 * rows < columns else hessian.clone()
    tokens = 0
    for one, other in inputs:
        behind = other.float()
        lost = one.float() - behind
        add_squares(hessian, behind)
        pull.addmm_((lost @ whole.T if 2 * rows < columns else lost).T, behind)
        tokens += len(behind)
    pull = pull if 2 * rows < columns else whole @ pull
    return Moments(mirrored(hessian) / tokens, pull / tokens)


def add_squares(sums: Tensor, x: Tensor) -> None:
    """x^T x of x [tokens, in] onto `sums` [in, in], whose lower triangle is left open."""
    for start in range(0, len(sums), BAND):
        band = slice(start, start + BAND)
        sums[band, start:].addmm_(x[:, band].T, x[:, start:])


def mirrored(sums: Tensor) -> Tensor:
    """A symmetric matrix of its upper triangle."""
    upper = sums.triu()
    return upper + upper.triu(1).T
