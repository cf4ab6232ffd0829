"""Loads a model into our own engine and times it: with any reader, or quantizing what is read."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from quantbench.methods.method import Loaded, LoadSettings
from quantbench.records import Startup
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import Quantizer, WeightReader


class MakesWeights(Protocol):
    """A method of the native engine, as far as its weights are concerned: what an export writes."""

    def reader(self, source: ModelSource, settings: LoadSettings) -> "WeightReader":
        """What makes the matrices that `load` gives the engine, one at a time."""
        ...


NOT_INVARIANT = "batch invariance was asked for, but plain torch ran, which cannot promise it"


def load_native(source: ModelSource, settings: LoadSettings, reader: "WeightReader") -> Loaded:
    """A native decoder over the weights that `reader` makes; `startup` has the seconds of loading.

    CPU kernels are compiled before the clock of loading starts: the first trial on a machine loads no slower.
    """
    import torch

    from quantbench.engine.load import load_decoder

    if settings.threads:
        torch.set_num_threads(settings.threads)
    compile_s = compile_kernels() if settings.device == "cpu" else None
    start = time.perf_counter()
    decoder = load_decoder(
        source,
        reader,
        device=settings.device,
        dtype=settings.dtype,
        batch_invariant=settings.batch_invariant,
        exact_prompts=settings.exact_prompts,
        kv=settings.kv,
    )
    decoder.synchronize()
    startup = Startup(compile_s=compile_s, load_s=time.perf_counter() - start)
    broken = settings.batch_invariant and not decoder.batch_invariant
    warnings = (*((NOT_INVARIANT,) if broken else ()), *decoder.warnings)
    return Loaded(decoder=decoder, startup=startup, warnings=warnings)


def compile_kernels() -> float:
    """Compile the CPU kernels where nobody did yet in this process; the seconds it took, then or now."""
    from quantbench.engine.cpu.build import load_kernels

    return load_kernels().seconds


def load_quantized(
    source: ModelSource, settings: LoadSettings, quantizer: "Quantizer", *, before: float = 0.0
) -> Loaded:
    """The same from stored floats; `startup` also has the seconds of quantizing, within those of loading.

    `before` are seconds of calibration, part of both.
    """
    from quantbench.weights.readers import Quantizing

    timed = TimedQuantizer(quantizer, settings.device)
    loaded = load_native(source, settings, Quantizing(source, timed))
    seconds = {"quantize_s": timed.seconds + before, "load_s": (loaded.startup.load_s or 0.0) + before}
    return replace(loaded, startup=loaded.startup.model_copy(update=seconds))


class TimedQuantizer:
    """A quantizer that adds up its own seconds, the device's work included."""

    def __init__(self, quantizer: "Quantizer", device: str) -> None:
        self.seconds = 0.0
        self._quantizer = quantizer
        self._device = device

    def __call__(self, name: str, tensor: "Tensor") -> "Weight":
        self._synchronize()
        start = time.perf_counter()
        weight = self._quantizer(name, tensor)
        self._synchronize()
        self.seconds += time.perf_counter() - start
        return weight

    def _synchronize(self) -> None:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self._device)
