"""Quantized checkpoints as they are: every matrix in the format of its file, nothing requantized."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.sources.gguf_source import GgufSource
from quantbench.weights.formats import BlockWeight, FloatWeight, Weight
from quantbench.weights.readers.packed import LAYOUTS, Module
from quantbench.weights.readers.reader import WeightReader, read_tensor

if TYPE_CHECKING:
    from torch import Tensor


def stored_reader(source: ModelSource) -> WeightReader:
    """What reads a source's matrices as stored; ModelError for a checkpoint of a kind that is not read."""
    if isinstance(source, GgufSource):
        return GgufReader(source)
    if reason := unread_checkpoint(source.config):
        raise ModelError(f"'{source.name}' cannot be read: {reason}")
    return CheckpointReader(source)


def unread_checkpoint(config: Mapping[str, Any]) -> str | None:
    """Why a checkpoint's packed matrices are not read, as a phrase; None where they can be."""
    settings = config.get("quantization_config")
    if not settings:
        return None
    method = settings.get("quant_method", "unknown")
    if not isinstance(method, str) or method not in LAYOUTS:
        return f"it is quantized by '{str(method)[:50]}', which is not among {', '.join(LAYOUTS)}"
    if (settings.get("sparsity_config") or {}).get("format", "dense") != "dense":
        return "its weights are stored sparse"
    if settings.get("transform_config"):
        return "its activations have to be transformed (transform_config)"
    return None


def ends_of(weight: Weight) -> "Tensor":
    """Its first and last row: reading them finds scales that do not fit."""
    import torch

    return weight.dequantize(torch.tensor([0, weight.shape[0] - 1]))


def notes_of(reader: WeightReader) -> tuple[str, ...]:
    """What is said of what a reader has read, as sentences."""
    if not isinstance(reader, CheckpointReader) or reader.packed:
        return ()
    return (
        "config.json says that the model is quantized, but all of its matrices are plain floats; they are "
        "run as they are",
    )


class GgufReader:
    """A WeightReader of one GGUF file."""

    def __init__(self, source: GgufSource) -> None:
        self._source = source

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        source = self._source
        if name not in source.names() or not source.is_packed(name):
            return FloatWeight(read_tensor(source, name, shape))
        return BlockWeight(source.tensor(name), source.kind(name).name)

    def stored(self, name: str) -> tuple[str, ...]:
        return (name,)


class CheckpointReader:
    """A WeightReader of a transformers folder, quantized by another library or not at all."""

    def __init__(self, source: ModelSource) -> None:
        settings = source.config.get("quantization_config") or {}
        self._source, self._settings = source, settings
        self._layout = LAYOUTS.get(str(settings.get("quant_method")))
        self.packed = 0  # matrices so far

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        module = name.removesuffix(".weight")
        suffixes = self._suffixes(module)
        if self._layout is None or not suffixes.intersection(self._layout.marks):
            return self._floats(name, shape)
        self.packed += 1
        packed = Module(self._source, module, shape, suffixes)
        try:
            weight = self._layout.read(packed, self._settings)
            fits = weight.shape == shape and ends_of(weight).shape == (2, shape[1])
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise packed.unreadable(
                f"is damaged ({first[:200]}); get a complete copy of the model"
            ) from error
        if not fits:
            raise packed.unreadable(
                f"has not {shape[0]} rows of {shape[1]}; get a complete copy of the model"
            )
        return weight

    def _floats(self, name: str, shape: tuple[int, int]) -> Weight:
        """A matrix that was left as it is."""
        values = read_tensor(self._source, name, shape)
        return FloatWeight(values.float() if values.dtype.itemsize > 4 else values)

    def stored(self, name: str) -> Collection[str]:
        module = name.removesuffix(".weight")
        suffixes = self._suffixes(module)
        bias = "bias" in suffixes and "qweight" in suffixes and not self._bias(module).any()
        return [f"{module}.{suffix}" for suffix in suffixes if suffix != "bias" or bias]

    def _suffixes(self, module: str) -> frozenset[str]:
        """The ends of the names of a module's tensors."""
        begin = f"{module}."
        return frozenset(name[len(begin) :] for name in self._source.names() if name.startswith(begin))

    def _bias(self, module: str) -> "Tensor":
        """GPTQ's tools store a bias of zeros where the model has none."""
        return self._source.tensor(f"{module}.bias")
