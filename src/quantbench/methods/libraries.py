"""Methods of other libraries, made on the fly: they run with transformers, in the library's own kernels.

A library is imported when its method loads a model, never before. Scales and tables count as bytes where the
library keeps them outside the parameters, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryMethod:
    """Linear layers as the library quantizes them; embedding, head and norms stay floats."""

    description: str
    scheme: str
    package: str  # what is imported, and the name of the extra that installs it
    configuration: Callable[[LoadSettings], Any]  # as `from_pretrained` takes it
    packed: tuple[str, ...]  # class names of its layers, or of the tensors in them
    group_size: int | None = None

    def unavailable(self, device: str) -> str | None:
        """The library must be there."""
        if find_spec(self.package) is None:
            return f"it needs the package {self.package}: pip install 'quantbench[{self.package}]'"
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        """The library's layers are transformers' own."""
        return f"{self.package} runs with transformers" if engine == "native" else None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Layers compute in the type that is asked for."""
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Only the library knows."""
        return None

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Load through transformers with the library's configuration."""
        from quantbench.methods.transformers_engine import load_transformers

        if reason := self.unavailable(settings.device):
            raise UsageError(f"this method cannot run: {reason}")
        return load_transformers(
            source, settings, quantization=self.configuration(settings), scheme_of=self._scheme_of
        )

    def _scheme_of(self, name: str, module: "nn.Module") -> tuple[str, int]:
        from quantbench.decoding.module_tensors import float_scheme

        weight: Any = module.weight
        if {type(module).__name__, type(weight).__name__} & set(self.packed):
            return self.scheme, int(module.in_features) * int(module.out_features)  # type: ignore[arg-type]
        return float_scheme(name, module)


def bitsandbytes_4bit(settings: LoadSettings, *, kind: str, double: bool = False) -> Any:
    """4 bits, computed in the type of the activations."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=getattr(torch, settings.dtype),
    )


def bitsandbytes_8bit(settings: LoadSettings) -> Any:
    """LLM.int8()."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


def torchao_int8(settings: LoadSettings) -> Any:
    """int8 weights, a scale per output channel."""
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


LIBRARIES = {
    "bnb-nf4": LibraryMethod(
        description="bitsandbytes' NormalFloat, 4 bits in groups of 64; embedding and head stay floats",
        scheme="W4",
        package="bitsandbytes",
        configuration=lambda settings: bitsandbytes_4bit(settings, kind="nf4"),
        packed=("Linear4bit",),
        group_size=64,
    ),
    "bnb-int8": LibraryMethod(
        description="bitsandbytes' LLM.int8(); embedding and head stay floats",
        scheme="W8",
        package="bitsandbytes",
        configuration=bitsandbytes_8bit,
        packed=("Linear8bitLt",),
    ),
    "torchao-int8wo": LibraryMethod(
        description="torchao's 8 bits, a scale per output channel; embedding and head stay floats",
        scheme="W8",
        package="torchao",
        configuration=torchao_int8,
        packed=("Int8Tensor", "AffineQuantizedTensor", "LinearActivationQuantizedTensor"),
    ),
}
