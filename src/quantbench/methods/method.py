"""What a method is: how the weights of a model are made, and what that costs. It imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from quantbench.decoding import Decoder
from quantbench.records import Calibration, Startup
from quantbench.settings import LoadSettings as LoadSettings
from quantbench.sources import ModelSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model under a method, ready to run; `warnings` are sentences for the record."""

    decoder: Decoder
    startup: Startup
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None


class Method(Protocol):
    """One entry of METHODS. Whoever adds one for another library imports that library inside `load`."""

    @property
    def description(self) -> str:
        """One line for `quantbench methods`."""
        ...

    @property
    def scheme(self) -> str:
        """How weights are held, 'W4'; empty where the files decide. Activations join it in the record."""
        ...

    @property
    def group_size(self) -> int | None:
        """Weights that share a scale; None is a scale per output channel, or no scale."""
        ...

    def unavailable(self, device: str) -> str | None:
        """Why the method cannot run on 'cpu' or 'cuda:N' here, with the fix; None when it can."""
        ...

    def unsupported_reason(self, engine: str) -> str | None:
        """Why the method cannot run with 'native' or 'transformers', with the fix; None when it can."""
        ...

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Whether activations have the weights' own type here, whatever `dtype` says."""
        ...

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Weight bytes to expect, from config.json alone; None where the layout is not known."""
        ...

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Load `source` under this method."""
        ...
