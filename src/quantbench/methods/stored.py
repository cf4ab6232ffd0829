"""stored: a checkpoint that is quantized already, every matrix as its file holds it.

The native engine multiplies the packed weights where it has kernels for their format. On CUDA that are GGUF
blocks and the 4-bit ones whose scales and zero points fit its own layout exactly; the others are held there
as 16-bit floats, which the record says.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_native
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMethod:
    """Weights as another tool made them; nothing is requantized."""

    description: str
    scheme: str = ""  # the files decide
    group_size: int | None = None

    def unavailable(self, device: str) -> str | None:
        """Reading needs no library."""
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """`support` knows which checkpoints transformers is for: those with experts in MXFP4."""
        return None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Not known from a configuration."""
        return None

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """Each matrix as it is stored."""
        from quantbench.weights.readers import stored_reader

        return stored_reader(source)

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Read each matrix as it is stored."""
        from quantbench.weights.readers import notes_of, stored_reader

        if settings.engine == "transformers":
            return load_in_transformers(source, settings)
        stored = stored_reader(source)
        reader = Placed(stored, settings)
        loaded = load_native(source, settings, reader)
        sentences = (*notes_of(stored), *reader.warnings(), *activation_notes(source.config))
        return replace(loaded, warnings=(*sentences, *loaded.warnings))


def load_in_transformers(source: ModelSource, settings: LoadSettings) -> Loaded:
    """Experts in MXFP4 in the model of transformers, whose code asks for those that a token meets."""
    from quantbench.decoding.mxfp4_loading import load_mxfp4_model
    from quantbench.decoding.transformers_loading import Change
    from quantbench.methods.transformers_engine import load_transformers

    return load_transformers(source, settings, Change(load=load_mxfp4_model))


class Placed:
    """A WeightReader that on CUDA dequantizes what the kernels there do not multiply, and counts it."""

    def __init__(self, reader: "WeightReader", settings: LoadSettings) -> None:
        self._reader, self._settings, self.device = reader, settings, settings.device
        self._dequantized: dict[str, int] = {}  # format -> matrices

    def __call__(self, name: str, shape: tuple[int, int], /) -> "Weight":
        weight = self._reader(name, shape)
        if not self._settings.device.startswith("cuda"):
            return weight
        import torch

        from quantbench.weights.finite import cast_finite
        from quantbench.weights.formats import FloatWeight

        if not weight.is_float and weight.has_gpu_kernel:
            return weight
        if not weight.is_float:
            self._dequantized[weight.format] = self._dequantized.get(weight.format, 0) + 1
        dtype = getattr(torch, self._settings.dtype)
        placed = weight.map(lambda tensor: tensor.to(self.device))
        values = cast_finite(name, placed.dequantize(), dtype=dtype, device=self.device)
        return FloatWeight(values, "" if weight.is_float else weight.format)

    def stored(self, name: str) -> Collection[str]:
        return self._reader.stored(name)

    def warnings(self) -> tuple[str, ...]:
        """One sentence for the formats that are held as floats here."""
        if not self._dequantized:
            return ()
        counted = ", ".join(f"{count} of {name}" for name, count in self._dequantized.items())
        return (
            f"{sum(self._dequantized.values())} matrices are held as 16-bit floats on this device, because "
            f"no GPU kernel here multiplies them as stored: {counted}",
        )


def activation_notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a checkpoint asks of the activations and the native engine does not do, as sentences."""
    settings = config.get("quantization_config") or {}
    asked = None
    groups = settings.get("config_groups")
    if isinstance(groups, Mapping):
        wanted = [group.get("input_activations") for group in groups.values() if isinstance(group, Mapping)]
        bits = {(w.get("num_bits"), w.get("type")) for w in wanted if isinstance(w, Mapping)}
        asked = ", ".join(f"{bit} bits ({kind})" for bit, kind in sorted(bits, key=str))
    if settings.get("quant_method") == "fp8":
        asked = "8 bits (float)"
    if settings.get("load_in_8bit"):
        asked = "8 bits (int, outliers apart)"
    if "DynamicActivation" in str(settings.get("quant_type")):
        asked = "8 bits (int)"
    if not asked:
        return ()
    return (
        f"the checkpoint asks for activations of {asked}; here activations have the bits that the scheme "
        "column names, so answers may differ a little from its own library's",
    )


STORED = {
    "stored": StoredMethod(description="a checkpoint that is quantized already, exactly as its files hold it")
}
