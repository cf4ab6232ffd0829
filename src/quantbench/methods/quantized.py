"""int8, int4, int4-rtn and their variants: packed weights in our own engine.

A variant's name is its method's with what it changes, in this order: `-hq` for 4 bits in groups of 32,
`-g128` and `-g32` for 8 bits in groups instead of a scale per output channel, `-nocal` without calibration,
`-head16` for an embedding and a head that stay at 16 bits, as in most published checkpoints.

Each matrix is quantized on the target device as it is read, so that the model never exists unquantized.
Calibrated methods first run a short text through it, layer by layer. What cannot be quantized stays at 16
bits and is named in the warnings; norms and biases always stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.calibrating import Strengths, calibrate
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD
from quantbench.weights.formats import Int4DoubleWeight, Int4Weight, Int8GroupsWeight, Int8Weight

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

    # name, weight [out, in], mean squares of its inputs if known -> None: this matrix cannot be quantized
    Quantize = Callable[[str, Tensor, Tensor | None], Weight | None]

PAIRED = (64, 32)  # groups of double quantization, of which kernels take pairs
LEAST = 32  # the group with 16-bit scales and zeros where no pair divides the input width


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedMethod:
    """A method that the native engine defines: how a matrix is quantized, and what it then weighs."""

    description: str
    scheme: str
    group_size: int | None
    quantize: "Quantize"
    matrix_bytes: Callable[[int, int], int]  # of [out, in]
    kept: frozenset[str] = frozenset()  # matrices that stay at 16 bits by choice
    calibrated: bool = False
    paired: bool = False  # whether kernels take groups two at a time

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
        strengths = calibrate(source, settings.device) if self.calibrated else Strengths()
        noted = Noted(self, strengths, device=settings.device, dtype=settings.dtype)
        loaded = load_quantized(source, settings, noted, before=strengths.seconds)
        told = (strengths.warning,) if strengths.warning else ()
        warnings = (*told, *noted.warnings(), *loaded.warnings)
        return replace(loaded, warnings=warnings, calibration=strengths.calibration)


class Noted:
    """A quantizer that keeps at 16 bits what its method cannot quantize, and counts all exceptions."""

    def __init__(self, method: QuantizedMethod, strengths: Strengths, *, device: str, dtype: str) -> None:
        self._quantize, self._chosen = method.quantize, method.kept
        self._group_size = method.group_size
        self._whole = f"{'pair' if method.paired else 'group'} of {method.group_size}"
        self._squares = strengths.squares
        self._device = device
        self._kept_dtype = "bfloat16" if dtype == "bfloat16" else "float16"
        self._kept: list[str] = []
        self._regrouped: dict[int, int] = {}  # group size -> matrices

    def __call__(self, name: str, tensor: "Tensor") -> "Weight":
        chosen = name in self._chosen
        squares = self._squares.get(name)
        weight = None if chosen else self._quantize(name, tensor.to(self._device), squares)
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
            f"because no {self._whole} divides their input width"
            for size, count in sorted(self._regrouped.items(), reverse=True)
        ]
        if self._kept:
            sentences.append(
                f"{len(self._kept)} matrices stay at 16 bits, because no group size divides their input "
                f"width: {', '.join(self._kept[:3])}{', ...' if len(self._kept) > 3 else ''}"
            )
        return tuple(sentences)


def int8(name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
    """W8, see quantizers.int8."""
    from quantbench.weights.quantizers.int8 import quantize_int8

    return quantize_int8(name, weight)


@dataclass(frozen=True, slots=True)
class Int8Groups:
    """W8 in groups of `most` inputs, or of the largest half, quarter or so down to 32 that divides the width.

    Where none does, a scale per output channel.
    """

    most: int

    def group_of(self, columns: int) -> int | None:
        """The group for an input width; None where there is none."""
        sizes = (self.most >> halvings for halvings in range(self.most.bit_length()))
        return next((size for size in sizes if size >= LEAST and columns % size == 0), None)

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
        from quantbench.weights.quantizers.int8 import quantize_int8, quantize_int8_groups

        if group := self.group_of(weight.shape[1]):
            return quantize_int8_groups(name, weight, group_size=group)
        return quantize_int8(name, weight)

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]."""
        if group := self.group_of(columns):
            return Int8GroupsWeight.bytes_of(rows, columns, group)
        return Int8Weight.bytes_of(rows, columns)


@dataclass(frozen=True, slots=True)
class Int4Groups:
    """W4 with double quantization in groups of at most `most`, in pairs.

    Where no pair divides the width, groups of 32 with 16-bit scales and zeros; None where those do not
    either.
    """

    most: int

    def group_of(self, columns: int) -> int | None:
        """The group of double quantization for an input width; None where there is none."""
        sizes = (size for size in PAIRED if size <= self.most)
        return next((size for size in sizes if columns % (2 * size) == 0), None)

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
        from quantbench.weights.quantizers.int4 import quantize_int4
        from quantbench.weights.quantizers.int4_double import quantize_int4_double

        columns = weight.shape[1]
        if group := self.group_of(columns):
            return quantize_int4_double(name, weight, group_size=group, importance=squares)
        if columns % LEAST == 0:
            return quantize_int4(name, weight, group_size=LEAST, importance=squares)
        return None

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Of [rows, columns]; 16 bits a weight where nothing divides the width."""
        if group := self.group_of(columns):
            return Int4DoubleWeight.bytes_of(rows, columns, group)
        if columns % LEAST == 0:
            return Int4Weight.bytes_of(rows, columns, LEAST)
        return 2 * rows * columns


def int4_rtn(name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
    """W4 rounded naively, see quantizers.int4; two codes share a byte, so an odd width cannot be held."""
    from quantbench.weights.quantizers.int4 import round_int4

    return None if weight.shape[1] % 2 else round_int4(name, weight)


def int4_rtn_bytes(rows: int, columns: int) -> int:
    """In one group a row; 16 bits a weight where the width is odd."""
    return 2 * rows * columns if columns % 2 else Int4Weight.bytes_of(rows, columns, columns)


def int4_in(size: int) -> QuantizedMethod:
    """W4 in groups of `size`, calibrated."""
    groups = Int4Groups(size)
    return QuantizedMethod(
        description=f"4 bits, groups of {size}, calibrated on a short text; embedding and head included",
        scheme="W4",
        group_size=size,
        quantize=groups,
        matrix_bytes=groups.matrix_bytes,
        calibrated=True,
        paired=True,
    )


PLAIN = {
    "int8": QuantizedMethod(
        description="8 bits, symmetric, a scale per output channel; embedding and head included",
        scheme="W8",
        group_size=None,
        quantize=int8,
        matrix_bytes=Int8Weight.bytes_of,
    ),
    "int4": int4_in(64),
    "int4-rtn": QuantizedMethod(
        description="naive 4 bits: round to nearest, symmetric, a scale per output channel",
        scheme="W4",
        group_size=None,
        quantize=int4_rtn,
        matrix_bytes=int4_rtn_bytes,
    ),
}


def without_calibration(method: QuantizedMethod) -> QuantizedMethod:
    """The method without any data."""
    description = method.description.replace("calibrated on a short text", "scales searched without data")
    return replace(method, description=description, calibrated=False)


def with_head16(method: QuantizedMethod) -> QuantizedMethod:
    """The method with embedding and head at 16 bits."""
    description = method.description.partition("; embedding")[0]
    return replace(
        method,
        description=f"{description}; embedding and head stay at 16 bits",
        kept=frozenset((EMBEDDING, HEAD)),
    )


def int8_in(size: int) -> QuantizedMethod:
    """W8 in groups of `size`."""
    groups = Int8Groups(size)
    return QuantizedMethod(
        description=f"8 bits, symmetric, groups of {size}; embedding and head included",
        scheme="W8",
        group_size=size,
        quantize=groups,
        matrix_bytes=groups.matrix_bytes,
    )


FINE = {"int4-hq": int4_in(32)}
GROUPED = {f"int8-g{size}": int8_in(size) for size in (128, 32)}
BLIND = {
    f"{name}-nocal": without_calibration(method) for name, method in {"int4": PLAIN["int4"], **FINE}.items()
}
HEAD16 = {
    f"{name}-head16": with_head16(method)
    for name, method in {**PLAIN, **FINE, **GROUPED, **BLIND}.items()
    if name != "int4-rtn"
}
VARIANTS = {**FINE, **GROUPED, **BLIND, **HEAD16}
QUANTIZED = {**PLAIN, **VARIANTS}
