"""q8_0 and q4_0: every matrix in GGUF blocks, made by gguf-py's quantizers as llama.cpp's own make them.

They are pure: llama.cpp's files of these names may keep the head in another type. The blocks run on the
CPU's kernels; no GPU kernel here multiplies them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource
from quantbench.sources.ggml_types import TYPES_BY_NAME

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

INSTALL = "pip install 'quantbench[gguf]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlMethod:
    """Blocks of one type; a matrix whose width is no whole number of blocks stays at 16 bits."""

    description: str
    kind: str  # of TYPES_BY_NAME
    scheme: str
    group_size: int | None = 32

    def unavailable(self, device: str) -> str | None:
        """gguf-py quantizes; the kernels are the CPU's."""
        if find_spec("gguf") is None:
            return f"it needs the package gguf: {INSTALL}"
        return "no GPU kernel here multiplies GGUF blocks; use --device cpu" if device != "cpu" else None

    def unsupported_reason(self, engine: str) -> str | None:
        """Only our engine reads this packing."""
        return "its weights are packed for the native engine" if engine == "transformers" else None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Whole blocks, and 16 bits for what stays."""
        return total_bytes(config, self._matrix_bytes)

    def _matrix_bytes(self, rows: int, columns: int) -> int:
        kind = TYPES_BY_NAME[self.kind]
        if columns % kind.values:
            return 2 * rows * columns
        return rows * columns // kind.values * kind.nbytes

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Quantize each matrix on its way to the engine."""
        if reason := self.unavailable(settings.device) or self.unsupported_reason(settings.engine):
            raise UsageError(f"this method cannot run: {reason}")
        kept: list[str] = []

        def quantize(name: str, tensor: "Tensor") -> "Weight":
            weight = blocks_of(name, tensor, self.kind)
            if weight.is_float:
                kept.append(name)
            return weight

        loaded = load_quantized(source, settings, quantize)
        if not kept:
            return loaded
        sentence = (
            f"{len(kept)} matrices stay at 16 bits, because {self.group_size} does not divide their width"
        )
        return replace(loaded, warnings=(sentence, *loaded.warnings))


def blocks_of(name: str, tensor: "Tensor", kind: str) -> "Weight":
    """A matrix [out, in] in blocks; as float16 where the width is no whole number of them."""
    import gguf
    import torch

    from quantbench.weights.finite import cast_finite
    from quantbench.weights.formats import BlockWeight, FloatWeight

    if tensor.shape[1] % TYPES_BY_NAME[kind].values:
        return FloatWeight(cast_finite(name, tensor, dtype=torch.float16, device="cpu"))
    values = cast_finite(name, tensor, dtype=torch.float32, device="cpu")
    data = gguf.quantize(values.numpy(), gguf.GGMLQuantizationType[kind])
    return BlockWeight(torch.from_numpy(data), kind)


GGML = {
    "q8_0": GgmlMethod(description="GGUF's 8 bits: a 16-bit scale for 32 weights", kind="Q8_0", scheme="W8"),
    "q4_0": GgmlMethod(
        description="GGUF's plain 4 bits: symmetric, a 16-bit scale for 32 weights", kind="Q4_0", scheme="W4"
    ),
}
