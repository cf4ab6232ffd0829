"""mixed: bits go where they save most, to a budget of bits a weight, scales and zeros included.

Matrices that are held as one (queries, keys and values; gates and ups) get one of four formats: 4 bits in
groups of 64 or of 32, 5 bits in blocks of 32 (GGUF's Q5_0), or 8 bits in groups of 128. What each would cost
is measured by one pass back through the unquantized model (engine.divergence); the sum of that is made least
under the budget.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.budget import Choice, share_out
from quantbench.methods.calibrating import Extent, Strengths, calibrate, quantize_in_sequence, texts_of
from quantbench.methods.feedback import Feedback
from quantbench.methods.groups import LEAST, FiveBits, Int4Groups, Int8Groups
from quantbench.methods.kept import digest_of, kept_or_made
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.methods.names import BUDGETS
from quantbench.methods.quantized import QuantizedMethod
from quantbench.methods.sizes import total_bytes
from quantbench.sources import ModelSource
from quantbench.sources.layout import EMBEDDING, HEAD, MatrixParts, count, matrices_as_held

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader

FORMATS = (Int4Groups(64), Int4Groups(32), FiveBits(), Int8Groups(128))  # lightest first
PLACES = range(len(FORMATS))
NOMINAL = (4.0, 4.5, 5.2, 8.0)  # bits, by which they are shared out where no text can be read
OF_GRADIENTS = Extent(shipped="calibration.txt", tokens=2048, window=64)
UNREAD = "bits are shared out by the matrices' sizes alone, since no text could be read"


def format_for(place: int, columns: int) -> Int4Groups | FiveBits | Int8Groups:
    """One of FORMATS for an input width: 8 bits where no groups of 4 divide it."""
    return FORMATS[place] if columns % LEAST == 0 else FORMATS[-1]


def weight_in(place: int, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight":
    """A matrix in one of FORMATS."""
    made = format_for(place, weight.shape[1])(name, weight, squares)
    assert made is not None  # the format fits the width
    return made


@dataclass(frozen=True, slots=True)
class Shared:
    """Which of FORMATS each matrix gets."""

    places: Mapping[str, int]

    def __call__(self, name: str, weight: "Tensor", squares: "Tensor | None") -> "Weight | None":
        return weight_in(self.places[name], name, weight, squares)

    def format_of(self, name: str, columns: int) -> Int4Groups | FiveBits | Int8Groups:
        """What a matrix becomes."""
        return format_for(self.places[name], columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedMethod:
    """Formats by matrix, all together of `bits` a weight."""

    bits: float
    feedback: bool = False
    kept: frozenset[str] = frozenset()  # matrices that stay at 16 bits, outside the budget
    scheme: str = ""  # matrices differ
    group_size: int | None = None
    calibrated: bool = True

    @property
    def parts(self) -> tuple[str, ...]:
        """What makes its weights: each has a version."""
        return ("int4", "q5_0", "int8", "text", "sharing", *(("feedback",) if self.feedback else ()))

    @property
    def description(self) -> str:
        """With the budget."""
        what = "4 and 5 bits by GPTQ, 8 bits" if self.feedback else "4, 5 and 8 bits"
        ends = "embedding and head stay at 16 bits" if self.kept else "embedding and head included"
        return f"{what} by matrix, {self.bits:g} in all, calibrated on a short text; {ends}"

    def unavailable(self, device: str) -> str | None:
        """Plain torch is enough."""
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """The pass back runs through our own engine's layers."""
        needs_own = engine == "transformers"
        return "quantbench's engine alone shares out its bits" if needs_own else None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Packed weights leave the type of activations open."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """The budget, and 16 bits for what stays."""
        return total_bytes(config, lambda rows, columns: int(self.bits / 8 * rows * columns), self.kept)

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """Each matrix in its format on its way."""
        method, strengths = self._shared_out(source, settings)
        return method.reader_after(strengths, source, settings)

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Measure, share out, quantize each matrix on its way. ModelError for layers that are not plain."""
        if reason := self.unsupported_reason(settings.engine):
            raise UsageError(f"this method cannot run: {reason}")
        method, strengths = self._shared_out(source, settings)
        return method.load_after(strengths, source, settings)

    def _shared_out(self, source: ModelSource, settings: LoadSettings) -> tuple[QuantizedMethod, Strengths]:
        """The method with every matrix's format, and what its pass found."""
        strengths = calibrate(source, settings)
        start = time.perf_counter()
        shared = Shared(self._places(source, settings, strengths))
        seconds = time.perf_counter() - start
        if strengths.calibration is None:
            strengths = replace(strengths, warning=f"{strengths.warning}; {UNREAD}")
        elif self.feedback:
            seconds += strengths.seconds
            feedback = Feedback(shared.format_of, repr(sorted(shared.places.items())))
            found = quantize_in_sequence(source, settings, feedback)
            strengths = replace(found, squares={**strengths.squares, **found.squares})
        method = QuantizedMethod(
            description=self.description,
            scheme=self.scheme,
            group_size=None,
            quantize=shared,
            matrix_bytes=lambda rows, columns: int(self.bits / 8 * rows * columns),
            kept=self.kept,
            calibrated=True,
            quantizer="sharing",
        )
        return method, replace(strengths, seconds=strengths.seconds + seconds)

    def _places(self, source: ModelSource, settings: LoadSettings, strengths: Strengths) -> dict[str, int]:
        """Matrix name -> its place in FORMATS."""
        held = {
            parts[0][0]: parts for parts in matrices_as_held(source.config) if parts[0][0] not in self.kept
        }
        weights = {name: sum(count(shape) for _, shape in parts) for name, parts in held.items()}
        sizes = {name: [bytes_in(place, parts) for place in PLACES] for name, parts in held.items()}
        check_budget(source, self.bits, sum(weights.values()), sum(map(min, sizes.values())))
        losses = self._losses(source, settings, strengths) or {
            name: [number * 4**-bits for bits in NOMINAL] for name, number in weights.items()
        }
        choices = {name: list(map(Choice, sizes[name], losses[name])) for name in held}
        found = share_out(choices, int(self.bits * sum(weights.values()) / 8))
        return {part: found[name] for name, parts in held.items() for part, _ in parts}

    def _losses(
        self, source: ModelSource, settings: LoadSettings, strengths: Strengths
    ) -> dict[str, list[float]]:
        """Nats a token that each format costs; none where no text could be read."""
        if strengths.calibration is None:
            return {}
        from quantbench.engine.divergence import candidate_divergences

        def candidates(names: "Sequence[str]", values: "Sequence[Tensor]") -> "list[list[Weight]]":
            if names[0] in self.kept:
                return []
            squares = strengths.squares.get(names[0])
            return [
                [weight_in(place, name, value, squares) for name, value in zip(names, values, strict=True)]
                for place in PLACES
            ]

        texts = texts_of(source, settings, OF_GRADIENTS)

        def losses() -> dict[str, list[float]]:
            return candidate_divergences(source, texts, candidates, device=settings.device)

        what = ("losses", FORMATS, sorted(self.kept), strengths.calibration.sha256, digest_of(texts))
        found: dict[str, list[float]] = kept_or_made(source, settings, what, losses)[0]
        return found


def bytes_in(place: int, parts: MatrixParts) -> int:
    """Of matrices that are held as one."""
    return sum(format_for(place, columns).matrix_bytes(rows, columns) for _, (rows, columns) in parts)


def check_budget(source: ModelSource, bits: float, weights: int, least: int) -> None:
    """UsageError for a budget that the lightest formats exceed."""
    if least > bits * weights / 8:
        raise UsageError(
            f"'{source.name}' takes {8 * least / weights:.3f} bits a weight in the lightest formats, more "
            f"than the {bits:g} of this method; choose a larger budget, as mixed:bits=5, or use int4"
        )


def named(bits: str) -> dict[str, MixedMethod]:
    """One budget's methods."""
    method = MixedMethod(bits=float(bits))
    kept = frozenset((EMBEDDING, HEAD))
    name = "mixed" + BUDGETS.parts[bits]
    return {
        name: method,
        f"{name}-gptq": replace(method, feedback=True),
        f"{name}-head16": replace(method, kept=kept),
        f"{name}-gptq-head16": replace(method, feedback=True, kept=kept),
    }


MIXED = {name: method for bits in BUDGETS.parts for name, method in named(bits).items()}
