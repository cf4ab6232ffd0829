"""int8, int4, int4-rtn and their variants: packed weights in our own engine, or in layers of transformers.

A variant's name is its method's with what it changes, in this order: `-hq` for 4 bits in groups of 32,
`-g128` and `-g32` for 8 bits in groups instead of a scale per output channel, `-nocal` without calibration,
`-gptq` with error feedback (GPTQ), `-head8` for an embedding and a head of 8 bits in groups of 128 beside
layers of 4, `-head16` for such as stay at 16 bits, as in most published checkpoints.

Each matrix is quantized on the target device as it is read, so that the model never exists unquantized.
Calibrated methods first run a short text through it, layer by layer; `-nocal` token ids drawn at random. What
cannot be quantized stays at 16 bits and is named in the warnings; norms and biases always stay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from quantbench.decoding import Phase
from quantbench.errors import UsageError
from quantbench.methods.calibrating import Strengths, calibrate, probe, quantize_in_sequence
from quantbench.methods.feedback import feedback_in
from quantbench.methods.groups import Int4Groups, Int8Groups, Int8Rows, int4_rtn, int4_rtn_bytes
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.native import load_quantized
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader

    # name, weight [out, in], mean squares of its inputs if known -> None: this matrix cannot be quantized
    Quantize = Callable[[str, Tensor, Tensor | None], Weight | None]

ENDS = (EMBEDDING, HEAD)
NO_FLOAT8 = "products of 8-bit floats need a GPU of compute capability 8.9 or more"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedMethod:
    """A method that the native engine defines: how a matrix is quantized, and what it then weighs."""

    description: str
    scheme: str
    group_size: int | None
    quantize: "Quantize"
    matrix_bytes: Callable[[int, int], int]  # of [out, in]
    kept: frozenset[str] = frozenset()  # matrices that stay at 16 bits by choice
    ends: Int8Groups | None = None  # what embedding and head become, where it is not what the layers do
    calibrated: bool = False
    probed: bool = False  # calibrated by token ids drawn at random, without any text
    feedback: Int4Groups | None = None  # the groups of matrices that are rounded with error feedback
    activation_bits: int | None = None  # that weights ask for, where the device multiplies such
    paired: bool = False  # whether kernels take groups two at a time
    quantizer: str = ""  # its name, by which its version is found

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes its weights: each has a version."""
        data = {"text": self.calibrated, "drawn": self.probed, "feedback": self.feedback is not None}
        ends = ("int8",) if self.ends else ()
        return (self.quantizer, *ends, *(name for name, used in data.items() if used))

    def unavailable(self, device: str) -> str | None:
        """Plain torch is enough, so it runs everywhere."""
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """Layers of transformers hold the same weights."""
        return None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Packed bytes with scales and zero points, and 16 bits for what stays."""
        ends = {} if self.ends is None else dict.fromkeys(ENDS, self.ends.matrix_bytes)
        return total_bytes(config, self.matrix_bytes, self.kept, ends)

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """Each matrix quantized on its way, after the pass of calibration."""
        return self.reader_after(self._strengths(source, settings), source, settings)

    def reader_after(
        self, strengths: Strengths, source: ModelSource, settings: LoadSettings
    ) -> "WeightReader":
        """The same after a pass that has been made."""
        from quantbench.weights.readers import Quantizing

        return Quantizing(source, Noted(self, strengths, device=settings.device, dtype=settings.dtype))

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Quantize each matrix on its way to our engine, or in a model that transformers has loaded."""
        if reason := self.unsupported_reason(settings.engine):
            raise UsageError(f"this method cannot run: {reason}")
        if settings.engine == "transformers":
            loaded = self._load_packed(source, settings)
        else:
            loaded = self.load_after(self._strengths(source, settings), source, settings)
        bits = loaded.decoder.activation_bits()[Phase.DECODE]
        if self.activation_bits is None or bits == self.activation_bits:
            return loaded
        sentence = f"activations have {bits} bits instead of {self.activation_bits}: {NO_FLOAT8}"
        return replace(loaded, warnings=(sentence, *loaded.warnings))

    def load_after(self, strengths: Strengths, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Into our engine, after a pass that has been made."""
        noted = Noted(self, strengths, device=settings.device, dtype=settings.dtype, once=True)
        loaded = load_quantized(source, settings, noted, before=strengths.seconds)
        told = (strengths.warning,) if strengths.warning else ()
        warnings = (*told, *noted.warnings(), *loaded.warnings)
        return replace(loaded, warnings=warnings, calibration=strengths.calibration)

    def _load_packed(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        from quantbench.methods.layers import Layers
        from quantbench.methods.packing import load_packed

        def strengths(layers: Layers) -> Strengths:
            if self.feedback is not None:
                feedback = feedback_in(self.feedback)
                in_turn = partial(layers.quantize_in_turn, quantize=feedback)
                return quantize_in_sequence(source, settings, feedback, in_turn)
            run = calibrate if self.calibrated else probe
            return run(source, settings, layers.mean_squares)

        noted = partial(Noted, self, device=settings.device, dtype=settings.dtype)
        return load_packed(source, settings, noted, strengths if self.calibrated or self.probed else None)

    def _strengths(self, source: ModelSource, settings: LoadSettings) -> Strengths:
        """What a text or drawn ids say of the matrices' inputs, and with feedback what they become."""
        if self.feedback is not None:
            feedback = feedback_in(self.feedback)
            return quantize_in_sequence(source, settings, feedback)
        if self.probed:
            return probe(source, settings)
        return calibrate(source, settings) if self.calibrated else Strengths()


class Noted:
    """A quantizer that keeps at 16 bits what its method cannot quantize, and counts all exceptions."""

    def __init__(
        self, method: QuantizedMethod, strengths: Strengths, *, device: str, dtype: str, once: bool = False
    ) -> None:
        """`once`: no matrix is asked for again, so that what the pass made is handed out, not kept."""
        self._quantize, self._chosen, self._ends = method.quantize, method.kept, method.ends
        self._group_size = method.group_size
        self._whole = f"{'pair' if method.paired else 'group'} of {method.group_size}"
        self._squares = strengths.squares
        self._made = strengths.weights.pop if once else strengths.weights.get
        self._device = device
        self._kept_dtype = "bfloat16" if dtype == "bfloat16" else "float16"
        self._kept: list[str] = []
        self._regrouped: dict[int, int] = {}  # group size -> matrices

    def __call__(self, name: str, tensor: "Tensor") -> "Weight":
        if self._ends is not None and name in ENDS:
            return self._ends(name, tensor.to(self._device), None)
        chosen = name in self._chosen
        squares = self._squares.get(name)
        weight: Weight | None = self._made(name, None)
        if weight is None or weight.is_float:
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
        quantizer="int4",
    )


PLAIN = {
    "int8": QuantizedMethod(
        description="8 bits, symmetric, a scale per output channel; embedding and head included",
        scheme="W8",
        group_size=None,
        quantize=Int8Rows(),
        matrix_bytes=Int8Rows().matrix_bytes,
        quantizer="int8",
    ),
    "int4": int4_in(64),
    "int4-rtn": QuantizedMethod(
        description="naive 4 bits: round to nearest, symmetric, a scale per output channel",
        scheme="W4",
        group_size=None,
        quantize=int4_rtn,
        matrix_bytes=int4_rtn_bytes,
        quantizer="int4-rtn",
    ),
}


def without_calibration(method: QuantizedMethod) -> QuantizedMethod:
    """The method without any data but token ids drawn at random."""
    description = method.description.replace("calibrated on a short text", "calibrated without any text")
    return replace(method, description=description, calibrated=False, probed=True)


def with_head16(method: QuantizedMethod) -> QuantizedMethod:
    """The method with embedding and head at 16 bits."""
    description = method.description.partition("; embedding")[0]
    return replace(
        method,
        description=f"{description}; embedding and head stay at 16 bits",
        kept=frozenset(ENDS),
    )


def with_head8(method: QuantizedMethod) -> QuantizedMethod:
    """The method with 8 bits in embedding and head."""
    description = method.description.partition("; embedding")[0]
    return replace(method, description=f"{description}; embedding and head of 8 bits", ends=Int8Groups(128))


def int8_in(size: int) -> QuantizedMethod:
    """W8 in groups of `size`."""
    groups = Int8Groups(size)
    return QuantizedMethod(
        description=f"8 bits, symmetric, groups of {size}; embedding and head included",
        scheme="W8",
        group_size=size,
        quantize=groups,
        matrix_bytes=groups.matrix_bytes,
        quantizer="int8",
    )


def with_feedback(method: QuantizedMethod, groups: Int4Groups) -> QuantizedMethod:
    """The method, its layers by GPTQ."""
    description = method.description.replace("calibrated on a short text", "by GPTQ on a text")
    return replace(method, description=description, feedback=groups)


FINE = {"int4-hq": int4_in(32)}
GROUPED = {f"int8-g{size}": int8_in(size) for size in (128, 32)}
BLIND = {
    f"{name}-nocal": without_calibration(method) for name, method in {"int4": PLAIN["int4"], **FINE}.items()
}
GPTQ = {
    "int4-gptq": with_feedback(PLAIN["int4"], Int4Groups(64)),
    "int4-hq-gptq": with_feedback(FINE["int4-hq"], Int4Groups(32)),
}
HEAD16 = {
    f"{name}-head16": with_head16(method)
    for name, method in {**PLAIN, **FINE, **GROUPED, **BLIND, **GPTQ}.items()
    if name != "int4-rtn"
}
HEAD8 = {
    f"{name}-head8": with_head8(method)
    for name, method in {"int4": PLAIN["int4"], **FINE, **BLIND, **GPTQ}.items()
}
VARIANTS = {**FINE, **GROUPED, **BLIND, **GPTQ, **HEAD8, **HEAD16}
QUANTIZED = {**PLAIN, **VARIANTS}
