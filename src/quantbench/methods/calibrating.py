"""The text that ships with the package, and what a pass of it says of each matrix's inputs."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from quantbench.records import Calibration
from quantbench.sources import ModelSource, load_tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TEXT = "calibration.txt"
# Attention of many models rests on a text's first token, whose activations are far stronger than all others:
# many short windows give it the weight that its products need.
TOKENS, WINDOW = 4096, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """Mean square of each input by matrix name; none with a reason where there was no pass."""

    squares: "Mapping[str, Tensor]" = field(default_factory=dict)
    calibration: Calibration | None = None
    warning: str | None = None
    seconds: float = 0.0


def calibrate(source: ModelSource, device: str) -> Strengths:
    """Run the shipped text through the unquantized model on `device`. ModelError as for loading it."""
    start = time.perf_counter()
    text = (files("quantbench.assets") / TEXT).read_bytes()
    ids = windows(source, text.decode())
    if not ids:
        return Strengths(
            warning="not calibrated, since the model has no tokenizer that reads the text for it"
        )
    from quantbench.engine.calibration import input_mean_squares

    squares = input_mean_squares(source, ids, device=device, dtype=pass_dtype(device))
    kept = {name: values for name, values in squares.items() if bool(values.isfinite().all())}
    lost = len(squares) - len(kept)
    return Strengths(
        squares=kept,
        calibration=Calibration(
            text=f"quantbench's own {TEXT}",
            sha256=hashlib.sha256(text).hexdigest(),
            tokens=sum(map(len, ids)),
        ),
        warning=f"{lost} matrices are not calibrated, since their inputs are not finite" if lost else None,
        seconds=time.perf_counter() - start,
    )


def windows(source: ModelSource, text: str) -> Sequence[Sequence[int]]:
    """Token ids of the text's beginning; none without a tokenizer, or where the model lacks a token."""
    tokenizer = load_tokenizer(source)
    if tokenizer is None:
        return []
    ids = tokenizer.encode(text, add_special_tokens=False).ids[:TOKENS]
    if not ids or max(ids) >= int(source.config["vocab_size"]):
        return []
    return [ids[at : at + WINDOW] for at in range(0, len(ids), WINDOW)]


def pass_dtype(device: str) -> "torch.dtype":
    """bfloat16, which holds every activation, where the device multiplies it; float32 elsewhere."""
    import torch

    fast = device.startswith("cuda") or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if fast else torch.float32
