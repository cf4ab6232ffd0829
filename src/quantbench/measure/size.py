"""Bytes a loaded model really holds, found by walking its tensors; no library's own figure is believed."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from quantbench.decoding import FLOAT_SCHEMES, Decoder
from quantbench.records import Size
from quantbench.sources import ModelSource
from quantbench.sources.layout import parameter_count

if TYPE_CHECKING:
    import torch


def measure_size(decoder: Decoder, source: ModelSource) -> Size:
    """Size of the weights as they are now: call it after a forward, since some libraries repack on the first.

    Matrices held as floats count as kept when others are quantized.
    """
    schemes = decoder.schemes()
    weight_bytes = storage_bytes(tensor for _, tensor in decoder.resident_tensors())
    kept = {name: count for name, (scheme, count) in schemes.items() if scheme in FLOAT_SCHEMES}
    quantized = sum(count for _, count in schemes.values()) - sum(kept.values())
    if not quantized:
        kept = {}
    return Size(
        weight_bytes=weight_bytes,
        checkpoint_bytes=source.checkpoint_bytes,
        effective_bits=8 * weight_bytes / max(1, count_parameters(decoder, source)),
        quantized_parameters=quantized,
        kept_parameters=sum(kept.values()),
        kept_layers=tuple(kept),
        schemes=parameters_by_scheme(schemes),
    )


def storage_bytes(tensors: "Iterable[torch.Tensor]") -> int:
    """Bytes of the storages behind the tensors, each storage once and whole."""
    storages = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        storages[tensor.device, storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def parameters_by_scheme(schemes: Mapping[str, tuple[str, int]]) -> dict[str, int]:
    """Scheme -> parameters of all matrices held that way."""
    totals: dict[str, int] = {}
    for scheme, count in schemes.values():
        totals[scheme] = totals.get(scheme, 0) + count
    return totals


def count_parameters(decoder: Decoder, source: ModelSource) -> int:
    """Parameters of the model, tied ones once: from its configuration, or counted where that is not known.

    Counted: every matrix's own number, and the elements of the tensors that belong to no matrix.
    """
    known = parameter_count(source.config)
    if known is not None:
        return known
    schemes = decoder.schemes()
    matrices = tuple(schemes)
    total = sum(count for _, count in schemes.values())
    return total + sum(t.numel() for name, t in decoder.resident_tensors() if not name.startswith(matrices))
