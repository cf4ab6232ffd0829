"""int8, int4, int4-rtn and their variants: packed weights in our own engine.

A variant's name is its method's with what it changes, in this order: `-g64` or `-g32` for smaller groups,
`-head16` for an embedding and a head that stay at 16 bits, as in most published checkpoints.

Each matrix is quantized on the target device as it is read, so that the model never exists unquantized.
What cannot be quantized stays at 16 bits and is named in the warnings; norms and biases always stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import Int4Weight, Int8Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

    # None: this matrix cannot be quantized
    Quantize = Callable[[ModelSource, str, Tensor], Weight | None]

GROUP_SIZES = (128, 64, 32)  # the first that divides the input width is used


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedMethod:
    """A method that the native engine defines: how a matrix is quantized, and what it then weighs."""

    description: str
    scheme: str
    group_size: int | None
    quantize: "Quantize"
    matrix_bytes: Callable[[int, int], int]  # of [out, in]
    kept: frozenset[str] = frozenset()  # matrices that stay at 16 bits by choice

    def unavailable(self, device: str) -> str | None:
        """Plain torch is enough, so it runs everywhere."""
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """Only our engine reads this packing."""
        return "its weights are packed for the native engine" if engine == "transformers" else None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Packed bytes with scales and zero points, and 16 bits for what stays."""
        return total_bytes(config, self.matrix_bytes, self.kept)

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Quantize each matrix on its way to the engine; UsageError for another engine."""
        if reason := self.unsupported_reason(settings.engine):
            raise UsageError(f"this method cannot run: {reason}")
        noted = Noted(self, source, device=settings.device, dtype=settings.dtype)
        loaded = load_quantized(source, settings, noted)
        return replace(loaded, warnings=(*noted.warnings(), *loaded.warnings))


class Noted:
    """A quantizer that keeps at 16 bits what its method cannot quantize, and counts all exceptions."""

    def __init__(self, method: QuantizedMethod, source: ModelSource, *, device: str, dtype: str) -> None:
        self._quantize, self._chosen = method.quantize, method.kept
        self._group_size = method.group_size
        self._source = source
        self._device = device
        self._kept_dtype = "bfloat16" if dtype == "bfloat16" else "float16"
        self._kept: list[str] = []
        self._regrouped: dict[int, int] = {}  # group size -> matrices

    def __call__(self, name: str, tensor: "Tensor") -> "Weight":
        chosen = name in self._chosen
        weight = None if chosen else self._quantize(self._source, name, tensor.to(self._device))
        if weight is None:
            import torch

            from quantbench.weights.finite import cast_finite
            from quantbench.weights.formats import FloatWeight

            if not chosen:
                self._kept.append(name)
            dtype = getattr(torch, self._kept_dtype)
            return FloatWeight(cast_finite(name, tensor, dtype=dtype, device=self._device))
        size = weight.group_size
        if self._group_size is not None and size is not None and size != self._group_size:
            self._regrouped[size] = self._regrouped.get(size, 0) + 1
        return weight

    def warnings(self) -> tuple[str, ...]:
        """One sentence for each kind of exception that occurred."""
        sentences = [
            f"{count} matrices have groups of {size} instead of {self._group_size}, "
            f"because {self._group_size} does not divide their input width"
            for size, count in sorted(self._regrouped.items(), reverse=True)
        ]
        if self._kept:
            sentences.append(
                f"{len(self._kept)} matrices stay at 16 bits, because no group size divides their input "
                f"width: {', '.join(self._kept[:3])}{', ...' if len(self._kept) > 3 else ''}"
            )
        return tuple(sentences)


def dividing_group(columns: int, most: int = GROUP_SIZES[0]) -> int | None:
    """The largest of GROUP_SIZES up to `most` that divides the input width; None when none does."""
    return next((size for size in GROUP_SIZES if size <= most and columns % size == 0), None)


def int8(source: ModelSource, name: str, weight: "Tensor") -> "Weight | None":
    """W8, see quantizers.int8."""
    from quantbench.weights.quantizers.int8 import quantize_int8

    return quantize_int8(name, weight)


def int4(source: ModelSource, name: str, weight: "Tensor", most: int = GROUP_SIZES[0]) -> "Weight | None":
    """W4 with the search, see quantizers.int4."""
    from quantbench.weights.quantizers.importance import input_importance
    from quantbench.weights.quantizers.int4 import quantize_int4

    group_size = dividing_group(weight.shape[1], most)
    if group_size is None:
        return None
    return quantize_int4(name, weight, group_size=group_size, importance=input_importance(source, name))


def int4_rtn(source: ModelSource, name: str, weight: "Tensor") -> "Weight | None":
    """W4 rounded naively, see quantizers.int4; two codes share a byte, so an odd width cannot be held."""
    from quantbench.weights.quantizers.int4 import round_int4

    return None if weight.shape[1] % 2 else round_int4(name, weight)


def int4_bytes(rows: int, columns: int, most: int = GROUP_SIZES[0]) -> int:
    """In the largest groups that divide the width; 16 bits a weight where none does."""
    group_size = dividing_group(columns, most)
    return 2 * rows * columns if group_size is None else Int4Weight.bytes_of(rows, columns, group_size)


def int4_rtn_bytes(rows: int, columns: int) -> int:
    """In one group a row; 16 bits a weight where the width is odd."""
    return 2 * rows * columns if columns % 2 else Int4Weight.bytes_of(rows, columns, columns)


PLAIN = {
    "int8": QuantizedMethod(
        description="8 bits, symmetric, a scale per output channel; embedding and head included",
        scheme="W8",
        group_size=None,
        quantize=int8,
        matrix_bytes=Int8Weight.bytes_of,
    ),
    "int4": QuantizedMethod(
        description="4 bits, asymmetric, scale search in groups of 128; embedding and head included",
        scheme="W4",
        group_size=128,
        quantize=int4,
        matrix_bytes=int4_bytes,
    ),
    "int4-rtn": QuantizedMethod(
        description="naive 4 bits: round to nearest, symmetric, a scale per output channel",
        scheme="W4",
        group_size=None,
        quantize=int4_rtn,
        matrix_bytes=int4_rtn_bytes,
    ),
}


def with_groups(method: QuantizedMethod, size: int) -> QuantizedMethod:
    """int4 in groups of at most this many inputs."""
    return replace(
        method,
        description=method.description.replace("128", str(size)),
        group_size=size,
        quantize=partial(int4, most=size),
        matrix_bytes=partial(int4_bytes, most=size),
    )


def with_head16(method: QuantizedMethod) -> QuantizedMethod:
    """The method with embedding and head at 16 bits."""
    description = method.description.partition("; embedding")[0]
    return replace(
        method,
        description=f"{description}; embedding and head stay at 16 bits",
        kept=frozenset((EMBEDDING, HEAD)),
    )


GROUPED = {f"int4-g{size}": with_groups(PLAIN["int4"], size) for size in GROUP_SIZES[1:]}
HEAD16 = {
    f"{name}-head16": with_head16(method)
    for name, method in {**PLAIN, **GROUPED}.items()
    if name != "int4-rtn"
}
VARIANTS = {**GROUPED, **HEAD16}
QUANTIZED = {**PLAIN, **VARIANTS}
