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
from quantbench.engine.load import ParameterLoader
from quantbench.engine.model import Layer, make_layer
from quantbench.engine.operations import Rotation
from quantbench.engine.plain.operations import PlainOperations
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.readers import Quantizing, read_tensor


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
    table = read_tensor(source, EMBEDDING, (config.vocab_size, config.hidden_size))
    run = Pass(config, [len(text) for text in texts], where, dtype)
    found: dict[str, Tensor] = {}
    with torch.inference_mode():
        states = table[ids].to(where, torch.float32)
        for number in range(config.layers):
            states, squares = run.layer(number, make_layer(loader.layer(number), run.operations), states)
            found |= named(f"model.layers.{number}", squares)
        last = mean_square(run.norm(states, loader.vector("model.norm.weight", config.hidden_size)))
    return found | {EMBEDDING if config.tied else HEAD: last}


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
        self.operations = PlainOperations(config)
        self._config, self._lengths, self._device, self.dtype = config, lengths, device, dtype
        self.rotation = Rotation(config, device, dtype)
        self.rotation.reserve(max(lengths))

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Of float32 states, in the type of the products."""
        return self.operations.norm(x, weight.float()).to(self.dtype)

    def layer(self, number: int, layer: Layer, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Float32 states [tokens, hidden_size] behind a layer, and its inputs' mean squares."""
        alone = replace(self._config, layers=1, windows=self._config.windows[number : number + 1])
        rows = range(len(self._lengths))
        cache = KeyValueCache(
            alone, rows=len(rows), capacity=max(self._lengths), device=self._device, dtype=self.dtype
        )
        attention = PlainOperations(alone).prompt_attention(cache, self.rotation, self._lengths, rows)
        normed = self.norm(x, layer.input_norm)
        mixed = attention(0, layer.qkv(normed), layer.head_norms)
        x = layer.output(mixed, x)
        wide = self.norm(x, layer.post_norm)
        gated = self.operations.gated(layer.gate_up, wide, prompt=True)
        squares = tuple(map(mean_square, (normed, mixed, wide, gated)))
        return layer.down(gated, x), squares


def mean_square(x: Tensor) -> Tensor:
    """Of each column of [tokens, in], float32."""
    return x.float().square().mean(dim=0)


def named(prefix: str, squares: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """The four of a layer under the names of the matrices that read them."""
    readers = (
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        ("self_attn.o_proj",),
        ("mlp.gate_proj", "mlp.up_proj"),
        ("mlp.down_proj",),
    )
    pairs = zip(readers, squares, strict=True)
    return {f"{prefix}.{name}.weight": values for names, values in pairs for name in names}
