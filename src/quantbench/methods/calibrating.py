"""Texts or token ids drawn at random that calibrate a method, and what a pass of them through it gives."""

import hashlib
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.methods.kept import digest_of, kept_or_made, opened_weight, packed_weight
from quantbench.records import Calibration
from quantbench.settings import LoadSettings
from quantbench.sources import ModelSource, load_tokenizer
from quantbench.sources.layout import tensor_shapes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from quantbench.methods.feedback import Feedback
    from quantbench.weights.formats import Weight

    Measure = Callable[[Sequence[Sequence[int]]], Mapping[str, Tensor]]  # texts -> squares by matrix name
    Passed = tuple[Mapping[str, Tensor], dict[str, Weight]]  # mean squares, weights; both by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much of which text is read, unless the user names another text."""

    shipped: str  # among the assets
    tokens: int
    window: int
    feedback: bool = False


# Attention of many models rests on a text's first token, whose activations are far stronger than all others:
# many short windows give it the weight that its products need.
OF_SQUARES = Extent(shipped="calibration.txt", tokens=2048, window=64)
# Second moments of thousands of inputs take more text than their squares: with 4,096 tokens GPTQ fits those.
OF_MOMENTS = Extent(shipped="calibration-long.txt", tokens=32768, window=64, feedback=True)
DRAWN_TOKENS, DRAWN_WINDOW, SEED = 4096, 64, 0  # of token ids that stand for a text


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Mean square of each input by matrix name, and weights made on the way; none where there was no pass."""

    squares: "Mapping[str, Tensor]" = field(default_factory=dict)
    weights: "dict[str, Weight]" = field(default_factory=dict)
    calibration: Calibration | None = None
    warning: str | None = None
    seconds: float = 0.0


def calibrate(source: ModelSource, settings: LoadSettings, measure: "Measure | None" = None) -> Strengths:
    """Run a text through the unquantized model on its device. ModelError as for loading it.

    `measure` does that with a model that is loaded already; without it our engine reads the source's.
    """

    return passed(source, settings, OF_SQUARES, squares_by(source, settings, measure))


def probe(source: ModelSource, settings: LoadSettings, measure: "Measure | None" = None) -> Strengths:
    """The same with token ids drawn at random in place of a text: what the model tells without any data."""
    start = time.perf_counter()
    known = source.config.get("vocab_size") or source.config.get("text_config", {}).get("vocab_size")
    if known is None:
        return Strengths(warning="no token ids were drawn, since the model does not say its vocab_size")
    ids = drawn_ids(int(known))
    made = Calibration(text=None, sha256=digest_of(ids), tokens=len(ids))
    cut = [ids[at : at + DRAWN_WINDOW] for at in range(0, len(ids), DRAWN_WINDOW)]
    found = strengths_of(source, settings, cut, made, squares_by(source, settings, measure))
    return replace(found, seconds=time.perf_counter() - start)


def drawn_ids(known: int) -> list[int]:
    """Token ids below `known`, the same on every machine."""
    draw = random.Random(SEED)
    return [int(known * draw.random()) for _ in range(DRAWN_TOKENS)]


def squares_by(
    source: ModelSource, settings: LoadSettings, measure: "Measure | None"
) -> "Callable[[Sequence[Sequence[int]]], Passed]":
    """What finds mean squares: a model that is loaded already, or our engine reading the source's."""

    def run(ids: Sequence[Sequence[int]]) -> "Passed":
        if measure is not None:
            return measure(ids), {}
        from quantbench.engine.calibration import input_mean_squares

        device = settings.device
        return input_mean_squares(source, ids, device=device, dtype=pass_dtype(device)), {}

    return run


def quantize_in_sequence(
    source: ModelSource,
    settings: LoadSettings,
    feedback: "Feedback",
    in_turn: "Callable[[Sequence[Sequence[int]]], Passed] | None" = None,
) -> Strengths:
    """Quantize matrix by matrix while a text runs; `squares` are the head's and those of matrices left as
    floats. ModelError as above.

    `in_turn` does that with a model that is loaded already; without it our engine reads the source's.
    """

    def run(ids: Sequence[Sequence[int]]) -> "Passed":
        if in_turn is not None:
            squares, weights = in_turn(ids)
            return {**feedback.squares, **squares}, weights
        from quantbench.engine.sequential import Sequential

        device = settings.device
        sequence = Sequential(source, ids, feedback, device=device, dtype=pass_dtype(device))
        sequence.run()
        return {**feedback.squares, **sequence.squares}, sequence.weights

    return passed(source, settings, OF_MOMENTS, run, feedback.told)


def passed(
    source: ModelSource,
    settings: LoadSettings,
    extent: Extent,
    run: "Callable[[Sequence[Sequence[int]]], Passed]",
    what: str = "",
) -> Strengths:
    """What `run` finds on a text's windows; none with a warning for a model that cannot read it.

    `what` tells runs of one text apart.
    """
    start = time.perf_counter()
    label, text = read_text(settings.calibration, extent.shipped)
    ids = windows(source, text.decode(), extent)
    if not ids:
        return Strengths(
            warning="not calibrated, since the model has no tokenizer that reads the text for it"
        )
    tokens = sum(map(len, ids))
    made = Calibration(
        text=label, sha256=hashlib.sha256(text).hexdigest(), tokens=tokens, feedback=extent.feedback
    )
    found = strengths_of(source, settings, ids, made, run, what)
    short = f"calibrated on {tokens} tokens, where {extent.tokens} are wanted; give a longer text"
    told = (short if tokens < extent.tokens else None, found.warning)
    return replace(
        found,
        warning="; ".join(sentence for sentence in told if sentence) or None,
        seconds=time.perf_counter() - start,
    )


def strengths_of(
    source: ModelSource,
    settings: LoadSettings,
    ids: Sequence[Sequence[int]],
    made: Calibration,
    run: "Callable[[Sequence[Sequence[int]]], Passed]",
    what: str = "",
) -> Strengths:
    """What `run` finds on windows of token ids, or found for the first trial of several that ask the same;
    and which matrices it tells nothing of."""

    def plain() -> dict[str, Any]:
        squares, weights = run(ids)
        packed = {name: packed_weight(weight) for name, weight in weights.items() if not weight.is_float}
        return {"squares": dict(squares), "weights": packed}

    found, taken_over = kept_or_made(source, settings, (what, digest_of(ids)), plain)
    squares = found["squares"]
    weights = {name: opened_weight(weight) for name, weight in found["weights"].items()}
    made = made.model_copy(update={"kept": taken_over})
    kept = {name: values for name, values in squares.items() if bool(values.isfinite().all())}
    lost = uncalibrated(len(squares) - len(kept), unreached_experts(source, squares))
    return Strengths(squares=kept, weights=weights, calibration=made, warning=lost)


def texts_of(source: ModelSource, settings: LoadSettings, extent: Extent) -> Sequence[Sequence[int]]:
    """The windows of a text; none for a model that cannot read it."""
    return windows(source, read_text(settings.calibration, extent.shipped)[1].decode(), extent)


def read_text(path: str | None, shipped: str) -> tuple[str, bytes]:
    """What a text is called, and its bytes: the user's, or one of the package's."""
    if path is not None:
        return Path(path).name, Path(path).read_bytes()
    return f"quantbench's own {shipped}", (files("quantbench.assets") / shipped).read_bytes()


def unreached_experts(source: ModelSource, found: Collection[str]) -> int:
    """Matrices of experts to which no token of the text went."""
    names = tensor_shapes(source.config) or {}
    return sum(
        1 for name, shape in names.items() if ".experts." in name and name not in found and len(shape) == 2
    )


def uncalibrated(infinite: int, unreached: int) -> str | None:
    """Which matrices were quantized without data, as a sentence; None for none."""
    reasons = []
    if infinite:
        reasons.append(f"{infinite} matrices are not calibrated, since their inputs are not finite")
    if unreached:
        reasons.append(f"{unreached} matrices of experts are not calibrated, since no token reached them")
    return "; ".join(reasons) or None


def windows(source: ModelSource, text: str, extent: Extent) -> Sequence[Sequence[int]]:
    """Token ids of the text's beginning; none without a tokenizer, or where the model lacks a token."""
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        return []
    ids = tokenizer.encode(text, add_special_tokens=False).ids[: extent.tokens]
    known = source.config.get("vocab_size")  # not where the text model's settings are nested
    if not ids or (known is not None and max(ids) >= int(known)):
        return []
    return [ids[at : at + extent.window] for at in range(0, len(ids), extent.window)]


def pass_dtype(device: str) -> "torch.dtype":
    """bfloat16, which holds every activation, where the device multiplies it; float32 elsewhere."""
    import torch

    fast = device.startswith("cuda") or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
