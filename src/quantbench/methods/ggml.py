"""q8_0, q4_0 and q4_k_m: matrices in GGUF blocks, made as llama.cpp makes them.

q8_0 and q4_0 are pure: llama.cpp's files of these names may keep the head in another type. The native engine
multiplies the blocks as they are, on a CPU and on CUDA; quantizing takes place on the CPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.calibrating import Strengths
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.mixtures import Mixture, familiar, pure, q4_k_m
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import VECTOR_BYTES
from quantbench.sources import ModelSource
from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.sources.layout import count, stays_float, tensor_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader

INSTALL = "pip install 'quantbench[gguf]'"
FLOAT_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlMethod:
    """Blocks of the types that a mixture names; a matrix that has none stays at 16 bits."""

    description: str
    mixture: Callable[[Mapping[str, Any]], Mixture]  # of a model's configuration
    scheme: str = ""  # where the matrices differ
    group_size: int | None = None
    parts: tuple[str, ...] = ("ggml",)

    def unavailable(self, device: str) -> str | None:
        """gguf-py quantizes what has no K in its name."""
        return None if find_spec("gguf") else f"it needs the package gguf: {INSTALL}"

    def unsupported_reason(self, engine: str) -> str | None:
        """Blocks are held in both engines' layers."""
        return None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Whole blocks, and 16 bits for what stays."""
        shapes = tensor_shapes(config)
        if shapes is None:
            return None
        mixture = self.mixture(config)
        return sum(
            matrix_bytes(mixture(name, shape[1]), *shape)
            if len(shape) == 2 and not stays_float(name)
            else VECTOR_BYTES * count(shape)
            for name, shape in shapes.items()
        )

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """Each matrix in blocks on its way; UsageError where they cannot be made here."""
        from quantbench.weights.readers import Quantizing

        if find_spec("gguf") is None:
            raise UsageError(f"this method cannot run: {self.unavailable('cpu')}")
        return Quantizing(source, Blocks(self.mixture(source.config), Strengths()))

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Quantize each matrix on its way to our engine, or in a model that transformers has loaded."""
        if reason := self.unavailable(settings.device) or self.unsupported_reason(settings.engine):
            raise UsageError(f"this method cannot run: {reason}")
        if settings.engine == "transformers":
            from quantbench.methods.packing import load_packed

            mixture = self.mixture(source.config if self.scheme else as_transformers_reads(source))
            by_own_name = partial(Blocks, lambda name, inputs: mixture(familiar(name), inputs))
            return load_packed(source, settings, by_own_name)
        blocks = Blocks(self.mixture(source.config), Strengths())
        loaded = load_quantized(source, settings, blocks)
        return replace(loaded, warnings=(*blocks.warnings(), *loaded.warnings))


def as_transformers_reads(source: ModelSource) -> dict[str, Any]:
    """A configuration with its number of layers and whether it is tied, by whatever names it has for them."""
    from transformers import AutoConfig

    given = {key: value for key, value in source.config.items() if key != "model_type"}
    try:
        full: Any = AutoConfig.for_model(source.config["model_type"], **given).get_text_config()
    except (KeyError, ValueError) as error:  # the repository brings its own class
        if "num_hidden_layers" not in source.config:
            raise UsageError(
                f"'{source.name}' does not say its num_hidden_layers, by which q4_k_m goes; use q4_0"
            ) from error
        return dict(source.config)
    facts = {"num_hidden_layers": full.num_hidden_layers, "tie_word_embeddings": full.tie_word_embeddings}
    return {**source.config, **facts}


def matrix_bytes(kind: str | None, rows: int, columns: int) -> int:
    """Bytes of a matrix in blocks of a type, or as float16."""
    if kind is None:
        return FLOAT_BYTES * rows * columns
    return rows * columns // TYPES_BY_NAME[kind].values * TYPES_BY_NAME[kind].nbytes


class Blocks:
    """A quantizer that counts what stays a float."""

    def __init__(self, mixture: Mixture, strengths: Strengths) -> None:
        self._mixture = mixture
        self._kept: list[str] = []

    def __call__(self, name: str, tensor: "Tensor") -> "Weight":
        kind = self._mixture(name, tensor.shape[1])
        if kind is None:
            self._kept.append(name)
        return blocks_of(name, tensor, kind)

    def warnings(self) -> tuple[str, ...]:
        """One sentence where something stayed."""
        if not self._kept:
            return ()
        return (
            f"{len(self._kept)} matrices stay at 16 bits, because their width is no whole number of "
            f"blocks: {', '.join(self._kept[:3])}{', ...' if len(self._kept) > 3 else ''}",
        )


def blocks_of(name: str, tensor: "Tensor", kind: str | None) -> "Weight":
    """A matrix [out, in] in blocks; as float16 where there is no type."""
    import gguf
    import torch

    from quantbench.weights.finite import cast_finite
    from quantbench.weights.formats import BlockWeight, FloatWeight
    from quantbench.weights.quantizers.k_quants import quantize_k

    if kind is None:
        return FloatWeight(cast_finite(name, tensor, dtype=torch.float16, device="cpu"))
    values = cast_finite(name, tensor, dtype=torch.float32, device="cpu")
    if kind.endswith("_K"):
        return quantize_k(values, kind)
    data = gguf.quantize(values.numpy(), gguf.GGMLQuantizationType[kind])
    return BlockWeight(torch.from_numpy(data), kind)


GGML = {
    "q8_0": GgmlMethod(
        description="GGUF's 8 bits: a 16-bit scale for 32 weights",
        mixture=pure("Q8_0"),
        scheme="W8",
        group_size=32,
    ),
    "q4_0": GgmlMethod(
        description="GGUF's plain 4 bits: symmetric, a 16-bit scale for 32 weights",
        mixture=pure("Q4_0"),
        scheme="W4",
        group_size=32,
    ),
    "q4_k_m": GgmlMethod(
        description="llama.cpp's mixture of 4 and 6 bits; of 5 and 8 where 256 does not divide a width",
        mixture=q4_k_m,
        parts=("ggml", "k-quants"),
    ),
}
