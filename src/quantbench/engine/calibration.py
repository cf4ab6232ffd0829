"""How strong each input of every matrix is: one pass of a few texts through the unquantized model.

The model is run layer by layer in plain torch, in its own arithmetic; of each layer only the weights are held
while it runs, beside the texts' hidden states.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.kv_cache import KeyValueCache
from quantbench.engine.layer import make_layer
from quantbench.engine.linear import Linear
from quantbench.engine.load import ParameterLoader
from quantbench.engine.operations import Rotation
from quantbench.engine.parameters import LayerParameters, Matrix, Norm
from quantbench.engine.plain.linear import PlainLinear
from quantbench.engine.plain.operations import PlainOperations
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers import Quantizing, floats_of


def input_mean_squares(
    source: ModelSource, texts: Sequence[Sequence[int]], *, device: str, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Matrix name -> mean square of each of its inputs, float32 [in] on `device`, over all tokens of `texts`.

    A tied embedding is the head; one that is only looked up has none. Products are made in `dtype`, the
    residual stream is float32. ModelError as for loading the model.
    """
    config = read_config(source.config)
    where = torch.device(device)
    loader = ParameterLoader(source, config, Quantizing(source, Cast(where, dtype)), where, dtype)
    ids = torch.tensor([token for text in texts for token in text])
    table = floats_of(source, EMBEDDING, (config.vocab_size, config.hidden_size))
    run = Pass(config, [len(text) for text in texts], where, dtype)
    with torch.inference_mode():
        states = table[ids].to(where, torch.float32) * config.embedding_scale
        for number in range(config.layers):
            states = run.layer(number, loader.layer(number), states)
        last = mean_square(run.operations.norm(states, loader.final_norm()))
    return run.operations.found | {EMBEDDING if config.tied else HEAD: last}


@dataclass(frozen=True, slots=True)
class Cast:
    """A quantizer that keeps floats, in one type on one device."""

    device: torch.device
    dtype: torch.dtype

    def __call__(self, name: str, tensor: Tensor) -> Weight:
        return FloatWeight(tensor.to(self.device, self.dtype))


class Pass:
    """Texts on their way through the layers."""

    def __init__(
        self, config: ModelConfig, lengths: Sequence[int], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.operations = Recording(config, dtype)
        self._config, self._lengths, self._device, self.dtype = config, lengths, device, dtype
        self.rotation = Rotation(config, device, dtype)
        self.rotation.reserve(max(lengths))

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Of float32 states, in the type of the products."""
        return self.operations.norm(x, Norm(weight))

    def layer(self, number: int, parameters: LayerParameters, x: Tensor) -> Tensor:
        """Float32 states [tokens, hidden_size] behind a layer."""
        config, only = self._config, slice(number, number + 1)
        alone = replace(config, layers=1, windows=config.windows[only], ropes=config.ropes[only])
        rotation = Rotation(alone, self._device, self.dtype)
        rotation.reserve(max(self._lengths))
        rows = range(len(self._lengths))
        cache = KeyValueCache(
            alone, rows=len(rows), capacity=max(self._lengths), device=self._device, dtype=self.dtype
        )
        attention = PlainOperations(alone).prompt_attention(cache, rotation, self._lengths, rows)
        return make_layer(alone, parameters, self.operations)(0, x, attention, None, prompt=True)


class Recording(PlainOperations):
    """Plain operations over a float32 residual stream that keep the mean squares of each matrix's inputs."""

    def __init__(self, config: ModelConfig, dtype: torch.dtype) -> None:
        super().__init__(config)
        self._dtype = dtype
        self.found: dict[str, Tensor] = {}

    def linear(self, matrix: Matrix) -> Linear:
        return Recorded(matrix, self.found, self._dtype)

    def norm(self, x: Tensor, norm: Norm) -> Tensor:
        """Of float32 states, in the type of the products."""
        bias = None if norm.bias is None else norm.bias.float()
        return super().norm(x.float(), Norm(norm.weight.float(), bias)).to(self._dtype)


class Recorded(PlainLinear):
    """A product that keeps the mean squares of its inputs in `found`, under the names of its parts."""

    def __init__(self, matrix: Matrix, found: dict[str, Tensor], dtype: torch.dtype) -> None:
        super().__init__(matrix)
        self._names, self._found, self._dtype = [name for name, _ in matrix.parts], found, dtype

    def __call__(self, x: Tensor, residual: Tensor | None = None, *, prompt: bool = False) -> Tensor:
        x = x.to(self._dtype)
        squares = mean_square(x)
        self._found |= dict.fromkeys(self._names, squares)
        return super().__call__(x, residual, prompt=prompt)


def mean_square(x: Tensor) -> Tensor:
    """Of each column of [tokens, in], float32."""
    return x.float().square().mean(dim=0)
