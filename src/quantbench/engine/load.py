"""From a model's tensors to a decoder: one matrix at a time is read, made a weight and placed.

At its peak it holds what has been placed plus one matrix at full precision. It knows no method: the caller
hands in a reader, and no file format: the source hands out tensors.
"""

from typing import Protocol

import torch
from torch import Tensor

from quantbench.decoding import Decoder
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters
from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.weights.finite import OF_ACTIVATIONS, cast_finite
from quantbench.weights.formats import FloatWeight, MixedWeight, Weight, stack
from quantbench.weights.readers import WeightReader, read_tensor

UNUSED_SUFFIXES = ("rotary_emb.inv_freq",)  # computed, not learned


class OwnDecoder(Decoder, Protocol):
    """A decoder of our own engine."""

    batch_invariant: bool  # a completion is the same in every batch


def load_decoder(
    source: ModelSource,
    reader: WeightReader,
    *,
    device: str,
    dtype: str,
    batch_invariant: bool = False,
    exact_prompts: bool = False,
) -> OwnDecoder:
    """A decoder of our own engine on `device`, activations, norms and biases in `dtype`.

    `reader(name, shape)` is called for every weight matrix, embedding and head included, a tied head not
    again. ModelError for a configuration the engine cannot run and for tensors that do not fit it. On CUDA
    it is the fast one where that can run; otherwise its `kernels()` say why not. `batch_invariant` changes
    the fast one alone: the CPU's kernels always are, plain torch never promises it. `exact_prompts` changes
    the CPU's kernels alone: nothing else multiplies prompts with fewer bits.
    """
    from quantbench.engine.decoder import NativeDecoder

    config = read_config(source.config)
    where, kind = torch.device(device), getattr(torch, dtype)
    parameters = ParameterLoader(source, config, reader, where, kind).load()
    reason = None
    if where.type == "cuda":
        from quantbench.engine.cuda.decoder import load_cuda
        from quantbench.engine.cuda.support import unsupported_format, unsupported_reason

        reason = unsupported_reason(config, where, kind) or unsupported_format(parameters)
        if reason is None:
            return load_cuda(parameters, batch_invariant=batch_invariant)
    return NativeDecoder(parameters, device=device, dtype=kind, fallback=reason, exact_prompts=exact_prompts)


class ParameterLoader:
    """Reads one source's tensors into Parameters, checking each name and shape."""

    def __init__(
        self,
        source: ModelSource,
        config: ModelConfig,
        reader: WeightReader,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._source = source
        self._config = config
        self._reader = reader
        self._device = device
        self._dtype = dtype
        self._unused = set(source.names())

    def load(self) -> Parameters:
        """All parameters; ModelError names a tensor that is missing, misshapen or unknown."""
        config = self._config
        vocabulary = (config.vocab_size, config.hidden_size)
        embedding = self._matrix("model.embed_tokens", [("weight", vocabulary)], bias=False)
        layers = tuple(self.layer(number) for number in range(config.layers))
        norm = self.vector("model.norm.weight", config.hidden_size)
        head = embedding if config.tied else self._matrix("lm_head", [("weight", vocabulary)], bias=False)
        self._check_unused()
        return Parameters(config=config, embedding=embedding, layers=layers, norm=norm, head=head)

    def layer(self, number: int) -> LayerParameters:
        """One layer; its tensors count as used."""
        config, prefix = self._config, f"model.layers.{number}"
        hidden, wide = config.hidden_size, config.intermediate_size
        heads = [("q_proj.weight", (config.q_size, hidden))]
        heads += [(f"{name}_proj.weight", (config.kv_size, hidden)) for name in "kv"]
        ups = [(f"{name}_proj.weight", (wide, hidden)) for name in ("gate", "up")]
        outs = [("o_proj.weight", (hidden, config.q_size))]
        downs = [("down_proj.weight", (hidden, wide))]
        attention, mlp = f"{prefix}.self_attn", f"{prefix}.mlp"
        head_norms = [
            self.vector(f"{attention}.{name}.weight", config.head_dim) if config.qk_norm else None
            for name in ("q_norm", "k_norm")
        ]
        return LayerParameters(
            input_norm=self.vector(f"{prefix}.input_layernorm.weight", hidden),
            qkv=self._matrix(attention, heads, bias=config.qkv_bias),
            q_norm=head_norms[0],
            k_norm=head_norms[1],
            output=self._matrix(attention, outs, bias=config.out_bias),
            post_norm=self.vector(f"{prefix}.post_attention_layernorm.weight", hidden),
            gate_up=self._matrix(mlp, ups, bias=config.mlp_bias),
            down=self._matrix(mlp, downs, bias=config.mlp_bias),
        )

    def _matrix(self, prefix: str, parts: list[tuple[str, tuple[int, int]]], *, bias: bool) -> Matrix:
        """The parts read one by one and stacked; biases joined likewise."""
        names = [(f"{prefix}.{name}", shape) for name, shape in parts]
        weights = [self._weight(name, shape) for name, shape in names]
        biases = [
            self.vector(name.removesuffix("weight") + "bias", shape[0]) for name, shape in names if bias
        ]
        weight = stack(weights)
        if isinstance(weight, MixedWeight) and self._device.type == "cuda":  # whose kernels know no mixtures
            weight = FloatWeight(weight.as_dtype(self._dtype))
        return Matrix(
            weight=weight,
            bias=torch.cat(biases) if biases else None,
            parts=tuple((name, shape[0]) for name, shape in names),
        )

    def _weight(self, name: str, shape: tuple[int, int]) -> Weight:
        self._unused -= set(self._reader.stored(name))
        return self._reader(name, shape).map(lambda tensor: tensor.to(self._device))

    def vector(self, name: str, length: int) -> Tensor:
        """A norm or a bias in the activations' type."""
        self._unused.discard(name)
        tensor = read_tensor(self._source, name, (length,))
        return cast_finite(name, tensor, dtype=self._dtype, device=self._device, fixes=OF_ACTIVATIONS)

    def _check_unused(self) -> None:
        """A tensor nobody asked for means another architecture than the configuration says."""
        tied = {"lm_head.weight"} if self._config.tied else set()
        left = sorted(n for n in self._unused - tied if not n.endswith(UNUSED_SUFFIXES))
        if left:
            raise ModelError(
                f"'{self._source.name}' holds the tensor '{left[0]}', which a "
                f"{self._config.architecture} does not have; use --engine transformers"
            )
