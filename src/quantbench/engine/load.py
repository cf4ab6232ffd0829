"""From a model's tensors to a decoder: one matrix at a time is read, made a weight and placed.

At its peak it holds what has been placed plus one matrix at full precision. It knows no method: the caller
hands in a reader, and no file format: the source hands out tensors.
"""

from collections import Counter
from typing import Protocol

import torch
from torch import Tensor

from quantbench.decoding import Decoder
from quantbench.engine.config import ModelConfig, read_config
from quantbench.engine.cpu.operations import strip_of
from quantbench.engine.expert_groups import neighbours
from quantbench.engine.head_rows import qkv_order, rows_in_order
from quantbench.engine.parameters import (
    ExpertParameters,
    LayerNorms,
    LayerParameters,
    Matrix,
    MlpParameters,
    Norm,
    Parameters,
)
from quantbench.errors import ModelError
from quantbench.settings import KvFormat
from quantbench.sources import ModelSource, is_quantized
from quantbench.sources.families import complete
from quantbench.sources.layout import (
    EMBEDDING,
    HEAD,
    NORM,
    ExpertTensors,
    MatrixTensors,
    MlpTensors,
    bias_of,
    layer_tensors,
    stays_float,
)
from quantbench.weights.finite import OF_ACTIVATIONS, cast_finite
from quantbench.weights.formats import FloatWeight, MixedWeight, Weight, stack
from quantbench.weights.readers import WeightReader, read_tensor

UNUSED_SUFFIXES = ("rotary_emb.inv_freq",)  # computed, not learned


class OwnDecoder(Decoder, Protocol):
    """A decoder of our own engine."""

    batch_invariant: bool  # a completion is the same in every batch
    warnings: tuple[str, ...]  # of how its weights are held, as sentences


def load_decoder(
    source: ModelSource,
    reader: WeightReader,
    *,
    device: str,
    dtype: str,
    batch_invariant: bool = False,
    exact_prompts: bool = False,
    kv: KvFormat | None = None,
) -> OwnDecoder:
    """A decoder of our own engine on `device`, activations, norms and biases in `dtype`.

    `reader(name, shape)` is called for every weight matrix, embedding and head included, a tied head not
    again. ModelError for a configuration the engine cannot run and for tensors that do not fit it. On CUDA
    it is the fast one where that can run; otherwise its `kernels()` say why not. `batch_invariant` changes
    the fast one alone: the CPU's kernels always are, plain torch never promises it. `exact_prompts` changes
    the CPU's kernels alone: nothing else multiplies prompts with fewer bits. `kv` holds keys and values in
    8 bits.
    """
    from quantbench.engine.decoder import NativeDecoder

    config = read_config(source.config)
    where, kind = torch.device(device), getattr(torch, dtype)
    loader = ParameterLoader(source, config, reader, where, kind, strip=strip_of(where.type))
    parameters = loader.load()
    reason = None
    if where.type == "cuda":
        from quantbench.engine.cuda.decoder import load_cuda
        from quantbench.engine.cuda.support import unsupported_format, unsupported_reason

        reason = unsupported_reason(config, where, kind) or unsupported_format(parameters)
        if reason is None:
            return load_cuda(parameters, batch_invariant=batch_invariant, warnings=loader.warnings(), kv=kv)
    return NativeDecoder(
        parameters,
        device=device,
        dtype=kind,
        fallback=reason,
        exact_prompts=exact_prompts,
        warnings=loader.warnings(),
        kv=kv,
    )


class ParameterLoader:
    """Reads one source's tensors into Parameters, checking each name and shape."""

    def __init__(
        self,
        source: ModelSource,
        config: ModelConfig,
        reader: WeightReader,
        device: torch.device,
        dtype: torch.dtype,
        *,
        strip: int = 0,
    ) -> None:
        """`strip`: rows that the device's kernels want side by side (`Weight.cpu_layout`)."""
        self._source = source
        self._settings = complete(source.config)
        self._config = config
        self._reader = reader
        self._device = device
        self._dtype = dtype
        self._strip = strip
        self._qkv_order = qkv_order(self._settings, config)
        self._unused = set(source.names())
        self._mixtures: Counter[str] = Counter()  # that became floats: format -> matrices

    def load(self) -> Parameters:
        """All parameters; ModelError names a tensor that is missing, misshapen or unknown."""
        config = self._config
        vocabulary = (config.vocab_size, config.hidden_size)
        embedding = self._matrix(MatrixTensors(((EMBEDDING, vocabulary),)))
        layers = tuple(self.layer(number) for number in range(config.layers))
        norm = self.final_norm()
        head = embedding if config.tied else self._matrix(MatrixTensors(((HEAD, vocabulary),)))
        self._check_unused()
        return Parameters(config=config, embedding=embedding, layers=layers, final_norm=norm, head=head)

    def warnings(self) -> tuple[str, ...]:
        """One sentence where matrices that share their inputs became floats."""
        if not self._mixtures:
            return ()
        counted = ", ".join(f"{count} of {name}" for name, count in self._mixtures.items())
        bits = torch.finfo(self._dtype).bits
        return (
            f"{self._mixtures.total()} products are made with {bits}-bit floats on this device, because no "
            "GPU kernel here takes the formats together in which parts of their matrices are stored: "
            f"{counted}",
        )

    def layer(self, number: int) -> LayerParameters:
        """One layer; its tensors count as used."""
        tensors = layer_tensors(self._settings, number)
        norms = [name and self._norm(name) for name in tensors.norms]
        heads = [self._weight_of_norm(f"{name}.weight", length) for name, length in tensors.head_norms]
        each, wide = (heads, []) if self._config.qk_norm else ([], [Norm(weight) for weight in heads])
        return LayerParameters(
            norms=LayerNorms(
                before_attention=norms[0] or None,
                behind_attention=norms[1] or None,
                before_mlp=norms[2] or None,
                behind_mlp=norms[3] or None,
                queries=wide[0] if wide else None,
                keys=wide[1] if wide else None,
            ),
            qkv=self._matrix(tensors.qkv, self._qkv_order),
            q_norm=each[0] if each else None,
            k_norm=each[1] if each else None,
            output=self._matrix(tensors.output),
            mlp=self._experts(tensors.mlp)
            if isinstance(tensors.mlp, ExpertTensors)
            else self._mlp(tensors.mlp),
        )

    def final_norm(self) -> Norm:
        """With the logits' scale, which is a factor of what the head reads."""
        return self._norm(NORM, scale=self._config.logit_scale)

    def _mlp(self, tensors: MlpTensors) -> MlpParameters:
        return MlpParameters(self._matrix(tensors.up), self._matrix(tensors.down))

    def _experts(self, tensors: ExpertTensors) -> ExpertParameters:
        experts = tuple(self._mlp(expert) for expert in tensors.experts)
        return ExpertParameters(
            router=self._matrix(tensors.router),
            experts=neighbours(experts) if self._device.type == "cuda" else experts,
            shared=self._mlp(tensors.shared) if tensors.shared else None,
            shared_gate=self._matrix(tensors.shared_gate) if tensors.shared_gate else None,
        )

    def _matrix(self, tensors: MatrixTensors, order: Tensor | None = None) -> Matrix:
        """The parts read one by one and stacked, their rows in `order` if given; biases joined likewise."""
        weights = [self._weight(name, shape) for name, shape in tensors.parts]
        biases = [self.vector(bias_of(name), shape[0]) for name, shape in tensors.parts if tensors.bias]
        weight = stack(weights if order is None else rows_in_order(weights, order))
        bias = torch.cat(biases) if biases else None
        weight = weight.cpu_layout(self._strip)
        if isinstance(weight, MixedWeight) and self._device.type == "cuda" and not weight.has_gpu_kernel:
            self._mixtures[weight.format] += 1
            weight = FloatWeight(weight.as_dtype(self._dtype), weight.format)
        return Matrix(
            weight=weight,
            bias=bias if bias is None or order is None else bias[order.to(bias.device)],
            parts=tuple((name, shape[0]) for name, shape in tensors.parts),
        )

    def _weight(self, name: str, shape: tuple[int, int]) -> Weight:
        self._unused -= set(self._reader.stored(name))
        if stays_float(name):
            return FloatWeight(read_tensor(self._source, name, shape).to(self._device))
        return self._reader(name, shape).map(lambda tensor: tensor.to(self._device))

    def _norm(self, name: str, scale: float = 1.0) -> Norm:
        length = self._config.hidden_size
        bias = self.vector(f"{name}.bias", length) if self._config.centered_norms else None
        weight = self._weight_of_norm(f"{name}.weight", length, scale)
        return Norm(weight, bias if bias is None else bias * scale)

    def _weight_of_norm(self, name: str, length: int, scale: float = 1.0) -> Tensor:
        """As stored, plus what the family adds; rounded once."""
        offset = self._config.norm_offset
        if not offset and scale == 1:
            return self.vector(name, length)
        self._unused.discard(name)
        tensor = (read_tensor(self._source, name, (length,)).float() + offset) * scale
        return cast_finite(name, tensor, dtype=self._dtype, device=self._device, fixes=OF_ACTIVATIONS)

    def vector(self, name: str, length: int) -> Tensor:
        """A norm or a bias in the activations' type."""
        self._unused.discard(name)
        tensor = read_tensor(self._source, name, (length,))
        return cast_finite(name, tensor, dtype=self._dtype, device=self._device, fixes=OF_ACTIVATIONS)

    def _check_unused(self) -> None:
        """A tensor nobody asked for means another architecture than the configuration says."""
        tied = {HEAD} if self._config.tied else set()
        left = sorted(n for n in self._unused - tied if not n.endswith(UNUSED_SUFFIXES))
        if left:
            packed = is_quantized(self._source)  # and so read by this engine alone
            way = "give the model that it was made from" if packed else "use --engine transformers"
            raise ModelError(
                f"'{self._source.name}' holds the tensor '{left[0]}', which a "
                f"{self._config.architecture} does not have; {way}"
            )
