"""Which methods a format holds exactly: found out on a tiny model, never listed by hand."""

from functools import cache

from quantbench.exporting.checkpoint import Misfit, pack_all
from quantbench.exporting.matrices import parameters_of
from quantbench.exporting.packing import CompressedTensors, Gptq, Packing
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings.commands import ExportFormat
from quantbench.sources.architectures import TINY
from quantbench.sources.random_weights import RandomSource
from quantbench.weights.writers import Unfit, ggml_tensor

PACKINGS: dict[ExportFormat, type[Packing]] = {
    ExportFormat.COMPRESSED_TENSORS: CompressedTensors,
    ExportFormat.GPTQ: Gptq,
}
SMALL = {"vocab_size": 64, "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1}
LOAD = LoadSettings(device="cpu", dtype="float32")


def makes_weights(method: str) -> bool:
    """Whether a method's weights can be had one at a time: those of our own engine."""
    return hasattr(METHODS[method], "reader")


@cache
def fitting_methods(form: ExportFormat) -> tuple[str, ...]:
    """Methods of unquantized models that the format holds without rounding anything."""
    return tuple(name for name in METHODS if makes_weights(name) and misfit_of(name, form) is None)


@cache
def misfit_of(method: str, form: ExportFormat) -> str | None:
    """Why the format does not hold a tiny model under the method, as a phrase; None where it does."""
    source = RandomSource("tiny", TINY | SMALL, seed=0)
    if method == "stored":
        return "only files that are quantized already have it"
    if reason := METHODS[method].unavailable("cpu"):
        return reason
    parameters = parameters_of(source, METHODS[method].reader(source, LOAD))  # type: ignore[attr-defined]
    try:
        if form in PACKINGS:
            pack_all(parameters, PACKINGS[form](lambda name, tensor: None))
        else:
            for parameter in parameters:
                if parameter.weight is not None:
                    ggml_tensor(parameter.weight)
    except (Misfit, Unfit) as error:
        return str(error)
    return None
