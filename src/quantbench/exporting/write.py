"""From a model and a method to the files of a format."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench.errors import ModelError
from quantbench.exporting.card import Made, Measured, card
from quantbench.exporting.checkpoint import Misfit, write_checkpoint
from quantbench.exporting.fitting import PACKINGS, fitting_methods, misfit_of
from quantbench.exporting.gguf_writer import write_gguf
from quantbench.exporting.matrices import parameters_of, shapes_of
from quantbench.exporting.target import new_folder
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings.commands import ExportFormat
from quantbench.sources import ModelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be written where."""

    source: ModelSource
    method: str
    format: ExportFormat
    folder: Path
    device: str  # that makes the weights

    @property
    def made(self) -> Made:
        """What a card says of it."""
        last = Path(self.source.name.replace(":", "-")).name.removesuffix(".gguf")
        name = f"{last}-{self.method}"
        file = f"{name}.gguf" if self.format is ExportFormat.GGUF else ""
        return Made(
            source=self.source,
            method=self.method,
            format=self.format.value,
            name=name,
            file=file,
            device=self.device,
        )


def export_model(asked: Asked, measured: Measured | None) -> Path:
    """Write the folder, with the figures on its card where there are any; its path.

    ModelError for a model or a method that the format cannot say exactly, StoreError for a folder that cannot
    be written; then nothing is left behind.
    """
    source, made = asked.source, asked.made
    method = METHODS[asked.method]
    if asked.method != "stored" and (reason := misfit_of(asked.method, asked.format)):
        raise unfit(asked, reason)
    shapes_of(source)
    load = LoadSettings(device=asked.device, dtype="float32")
    with new_folder(asked.folder) as work:
        parameters = parameters_of(source, method.reader(source, load))  # type: ignore[attr-defined]
        try:
            if asked.format is ExportFormat.GGUF:
                write_gguf(source, parameters, work / made.file, name=made.name)
            else:
                write_checkpoint(source, parameters, PACKINGS[asked.format], work)
        except Misfit as misfit:
            raise unfit(asked, str(misfit)) from None
        (work / "README.md").write_text(card(made, measured), encoding="utf-8")
    return asked.folder


def unfit(asked: Asked, reason: str) -> ModelError:
    """The sentence for weights that the format cannot hold exactly."""
    ways = [
        f"{form} holds its weights"
        for form in ExportFormat
        if form != asked.format and holds(asked.method, form)
    ]
    fitting = fitting_methods(asked.format)
    if near := nearest(asked.method, fitting):
        ways.append(f"the nearest to it that {asked.format} holds is {near}")
    ways.append(f"of the methods for unquantized models {asked.format} holds {', '.join(fitting)}")
    return ModelError(
        f"{asked.method} cannot be written as {asked.format} exactly ({reason}); {'; '.join(ways)}"
    )


def holds(method: str, form: ExportFormat) -> bool:
    """Whether a format holds the weights that a method makes of an unquantized model."""
    return method != "stored" and misfit_of(method, form) is None


def nearest(method: str, fitting: Sequence[str]) -> str | None:
    """Of methods of the same bits the one with the next groups, embedding and head alike if possible."""
    own = METHODS[method]
    alike = [name for name in fitting if own.scheme and METHODS[name].scheme == own.scheme]

    def distance(name: str) -> tuple[bool, float]:
        scales = [1 / (found.group_size or math.inf) for found in (METHODS[name], own)]  # a weight
        return name.endswith("-head16") != method.endswith("-head16"), abs(scales[0] - scales[1])

    return min(alike, key=distance, default=None)
