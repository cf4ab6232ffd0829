"""Methods of other libraries, made on the fly: they run with transformers, in the library's own kernels.

A library is imported when its method loads a model, never before. Scales and tables count as bytes where the
library keeps them outside the parameters, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from quantbench.errors import UsageError
from quantbench.methods import hqq, torchao
from quantbench.methods.method import Loaded, LoadSettings
from quantbench.sources import ModelSource

if TYPE_CHECKING:
    from torch import nn

    from quantbench.decoding.module_tensors import ModuleForm

DEQUANTIZED = "weights dequantized, float products"
INTEGERS = "integer products, activations of 8 bits a row"


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryMethod:
    """Linear layers as the library quantizes them; embedding, head and norms stay floats."""

    description: str
    scheme: str
    format: str
    package: str  # what is imported, and the name of the extra that installs it
    packed: tuple[str, ...]  # class names of its layers, or of the tensors in them
    configuration: Callable[[LoadSettings], Any] | None = None  # as `from_pretrained` takes it
    convert: Callable[[Any], None] | None = None  # instead: quantizes a loaded model in place
    arithmetic: str = DEQUANTIZED
    activation_bits: int | None = None  # that weights are multiplied with; None is their type's
    dtype: str | None = None  # the only one of activations that the library takes
    lacks: Callable[[str], str | None] = lambda device: None  # why it cannot run on a device, with the fix
    group_size: int | None = None

    def unavailable(self, device: str) -> str | None:
        """The library must be there, and a device that its kernels take."""
        if find_spec(self.package) is None:
            return f"it needs the package {self.package}: pip install 'quantbench[{self.package}]'"
        return self.lacks(device)

    def unsupported_reason(self, engine: str) -> str | None:
        """The library's layers are transformers' own."""
        return f"{self.package} runs with transformers" if engine == "native" else None

    def fixes_activations(self, engine: str, device: str) -> bool:
        """Layers compute in the type that is asked for, save where the library takes one alone."""
        return self.dtype is not None

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        """Only the library knows."""
        return None

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        """Load through transformers with the library's configuration, or convert what was loaded."""
        from quantbench.decoding.transformers_loading import Change
        from quantbench.methods.transformers_engine import load_transformers

        if reason := self.unavailable(settings.device):
            raise UsageError(f"this method cannot run: {reason}")
        own = settings.changed(dtype=self.dtype) if self.dtype else settings
        change = Change(
            quantization=self.configuration(own) if self.configuration else None,
            convert=self.convert,
            form_of=self._form_of,
            activation_bits=self.activation_bits,
        )
        return load_transformers(source, own, change)

    def _form_of(self, name: str, module: "nn.Module") -> "ModuleForm":
        from quantbench.decoding.module_tensors import ModuleForm, float_form

        weight: Any = getattr(module, "weight", None)
        packed = {type(module).__name__, type(weight).__name__} & set(self.packed)
        if not packed:
            return float_form(name, module)
        inputs, outputs = int(module.in_features), int(module.out_features)  # type: ignore[arg-type]
        return ModuleForm(
            scheme=self.scheme,
            parameters=inputs * outputs,
            format=self.format,
            group_size=self.group_size,
            kernel=f"{self.package} {min(packed)}, {self.arithmetic}",
        )


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


def four_bits(kind: str, what: str, *, double: bool = False) -> LibraryMethod:
    """A 4-bit method of bitsandbytes."""
    return LibraryMethod(
        description=f"bitsandbytes' {what}; embedding and head stay floats",
        scheme="W4",
        format=f"{kind}, double quantization" if double else kind,
        package="bitsandbytes",
        configuration=lambda settings: bitsandbytes_4bit(settings, kind=kind, double=double),
        packed=("Linear4bit",),
        group_size=64,
    )


TORCHAO_TENSORS = ("AffineQuantizedTensor", "LinearActivationQuantizedTensor")  # of older releases

LIBRARIES = {
    "bnb-nf4": four_bits("nf4", "NormalFloat, 4 bits in groups of 64"),
    "bnb-nf4-dq": four_bits("nf4", "NormalFloat, its scales quantized once more", double=True),
    "bnb-fp4": four_bits("fp4", "4-bit floats in groups of 64"),
    "bnb-int8": LibraryMethod(
        description="bitsandbytes' LLM.int8(); embedding and head stay floats",
        scheme="W8",
        format="int8",
        package="bitsandbytes",
        configuration=bitsandbytes_8bit,
        packed=("Linear8bitLt",),
        arithmetic=f"{INTEGERS}, outliers in 16 bits",
        activation_bits=8,
    ),
    "torchao-int8wo": LibraryMethod(
        description="torchao's 8 bits, a scale per output channel; embedding and head stay floats",
        scheme="W8",
        format="int8",
        package="torchao",
        configuration=torchao.int8,
        dtype="bfloat16",  # its codes are multiplied before their scale: 127 times a sum is beyond float16
        packed=("Int8Tensor", *TORCHAO_TENSORS),
    ),
    "torchao-int8dq": LibraryMethod(
        description="torchao's 8 bits with 8-bit activations; embedding and head stay floats",
        scheme="W8",
        format="int8",
        package="torchao",
        configuration=torchao.int8_dynamic,
        packed=("Int8Tensor", *TORCHAO_TENSORS),
        arithmetic=INTEGERS,
        activation_bits=8,
    ),
    "torchao-int4wo": LibraryMethod(
        description="torchao's 4 bits in groups of 128; embedding and head stay floats",
        scheme="W4",
        format="int4",
        package="torchao",
        configuration=torchao.int4,
        packed=("Int4TilePackedTo4dTensor", "Int4Tensor", *TORCHAO_TENSORS),
        dtype="bfloat16",
        lacks=torchao.needs_ampere,
        group_size=128,
    ),
    "torchao-fp8wo": LibraryMethod(
        description="torchao's 8-bit floats, a scale per output channel; embedding and head stay floats",
        scheme="W8",
        format="fp8 e4m3",
        package="torchao",
        configuration=torchao.float8,
        dtype="bfloat16",  # likewise
        packed=("Float8Tensor", *TORCHAO_TENSORS),
    ),
    "torchao-fp8dq": LibraryMethod(
        description="torchao's 8-bit floats with 8-bit activations; embedding and head stay floats",
        scheme="W8",
        format="fp8 e4m3",
        package="torchao",
        configuration=torchao.float8_dynamic,
        packed=("Float8Tensor", *TORCHAO_TENSORS),
        arithmetic="8-bit float products, activations of 8 bits a row",
        activation_bits=8,
        dtype="bfloat16",
        lacks=torchao.needs_ada,
    ),
    "hqq4": LibraryMethod(
        description="HQQ's 4 bits in groups of 64, without data; embedding and head stay floats",
        scheme="W4",
        format="hqq",
        package="hqq",
        convert=hqq.quantize_linears,
        packed=("HQQLinear",),
        group_size=64,
    ),
}
