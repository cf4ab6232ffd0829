"""fp32, bf16, fp16: matrices as floats, nothing quantized. fp16 is the usual baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatMethod:
    """Weights of one floating-point type. On CUDA activations have the same type; so have those of fp32."""

    description: str
    scheme: str
    dtype: str  # 'float32', 'bfloat16' or 'float16'
    bytes_per_weight: int
    group_size: int | None = None

    def unavailable(self, device: str) -> str | None:
        """Floats run everywhere."""
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """Both engines run floats."""
        return None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """With transformers and on CUDA always, and those of fp32 everywhere."""
        return engine == "transformers" or device.startswith("cuda") or self.dtype == "float32"

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Bytes of all weights at this type's width."""
        return total_bytes(config, lambda rows, columns: rows * columns * self.bytes_per_weight)

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """Each matrix cast on its way."""
        from quantbench.weights.readers import Quantizing

        return Quantizing(source, partial(cast, dtype=self.dtype, device=settings.device))

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Cast each matrix on its way; transformers loads by itself and computes in the weights' type."""
        own = settings.changed(dtype=self.dtype)
        if settings.engine == "transformers":
            from quantbench.methods.transformers_engine import load_transformers

            return load_transformers(source, own)
        computes_in_it = self.fixes_activations(settings.engine, settings.device)
        quantizer = partial(cast, dtype=self.dtype, device=settings.device)
        return load_quantized(source, own if computes_in_it else settings, quantizer)


def cast(name: str, tensor: "Tensor", *, dtype: str, device: str) -> "Weight":
    """A FloatWeight of the named type on the device; ModelError for values that do not fit it."""
    import torch

    from quantbench.weights.finite import cast_finite
    from quantbench.weights.formats import FloatWeight

    return FloatWeight(cast_finite(name, tensor, dtype=getattr(torch, dtype), device=device))


FLOATS = {
    "fp32": FloatMethod(description="32-bit floats", scheme="W32", dtype="float32", bytes_per_weight=4),
    "bf16": FloatMethod(
        description="16-bit floats with 8 bits of mantissa",
        scheme="WBF16",
        dtype="bfloat16",
        bytes_per_weight=2,
    ),
    "fp16": FloatMethod(
        description="16-bit floats with 11 bits of mantissa; the usual baseline",
        scheme="W16",
        dtype="float16",
        bytes_per_weight=2,
    ),
}
