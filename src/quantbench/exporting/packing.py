"""Which modules of a checkpoint are packed how, and what its quantization_config says of them.

Layouts: compressed-tensors' pack-quantized (codes of 4 or 8 bits, a scale a group or a row) and GPTQ's. The
programs that read them take linear layers packed, and embedding and head as floats.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.exporting.matrices import Parameter
from quantbench.version import __version__
from quantbench.weights.writers import Integers, Unfit, compressed_tensors_module, gptq_module

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight

HEAD_MODULE = "lm_head"
OUTSIDE = ("model.embed_tokens", HEAD_MODULE)


@dataclass(frozen=True, slots=True)
class Scheme:
    """What the packed matrices of one kind have in common."""

    bits: int
    group_size: int | None  # None: a scale a row
    symmetric: bool


class Packing(ABC):
    """The modules of one checkpoint; `put` takes each tensor by its name."""

    def __init__(self, put: "Callable[[str, Tensor], None]") -> None:
        self._put = put
        self.schemes: dict[Scheme, list[str]] = {}  # scheme -> modules
        self.floats: list[str] = []  # modules of matrices that are not packed, embeddings apart

    def add(self, parameter: Parameter) -> None:
        """Hand out the tensors of one parameter; Unfit where the layout cannot hold it."""
        weight, module = parameter.weight, parameter.module
        if weight is None:
            assert parameter.vector is not None
            self._put(parameter.name, parameter.vector)
        elif weight.is_float:
            self._add_float(parameter, weight)
        elif module in OUTSIDE:
            raise Unfit("embedding and head must be floats there, and it packs them")
        else:
            held, tensors = self._pack(weight)
            self._check(weight, module, held, tensors)
            self.schemes.setdefault(Scheme(held.bits, held.group_size, held.symmetric), []).append(module)
            for suffix, tensor in tensors.items():
                self._put(f"{module}.{suffix}", tensor)

    def _add_float(self, parameter: Parameter, weight: "Weight") -> None:
        if parameter.module not in OUTSIDE:
            self.floats.append(parameter.module)
        self._put(parameter.name, dict(weight.tensors())["values"])

    def _check(self, weight: "Weight", module: str, held: Integers, tensors: "dict[str, Tensor]") -> None:
        """Read the module back as any checkpoint is read; AssertionError where a value is another one."""
        import torch

        from quantbench.weights.readers import stored_reader

        scheme = Scheme(held.bits, held.group_size, held.symmetric)
        source = InMemory(module, tensors, {"quantization_config": self._settings({scheme: [module]})})
        read = stored_reader(source)(f"{module}.weight", weight.shape)
        if not torch.equal(read.dequantize(), weight.dequantize()):
            raise AssertionError(f"'{module}' is not read back as it was written")

    def settings(self) -> dict[str, Any]:
        """The quantization_config of what was added; Unfit where there is none."""
        if not self.schemes:
            raise Unfit("it packs nothing there: its matrices are floats")
        return self._settings(self.schemes)

    @abstractmethod
    def _pack(self, weight: "Weight") -> "tuple[Integers, dict[str, Tensor]]": ...

    @abstractmethod
    def _settings(self, schemes: dict[Scheme, list[str]]) -> dict[str, Any]: ...


class CompressedTensors(Packing):
    """compressed-tensors: kinds of modules may differ, and some may stay floats."""

    def _pack(self, weight: "Weight") -> "tuple[Integers, dict[str, Tensor]]":
        return compressed_tensors_module(weight)

    def _settings(self, schemes: dict[Scheme, list[str]]) -> dict[str, Any]:
        groups = {
            f"group_{number}": {
                "targets": ["Linear"] if len(schemes) == 1 else sorted(modules),
                "weights": weights_arguments(scheme),
                "input_activations": None,
                "output_activations": None,
                "format": "pack-quantized",
            }
            for number, (scheme, modules) in enumerate(schemes.items())
        }
        return {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "config_groups": groups,
            "ignore": [HEAD_MODULE, *self.floats],
            "kv_cache_scheme": None,
        }


def weights_arguments(scheme: Scheme) -> dict[str, Any]:
    """How compressed-tensors names a scheme of weights."""
    grouped = scheme.group_size is not None
    return {
        "num_bits": scheme.bits,
        "type": "int",
        "symmetric": scheme.symmetric,
        "strategy": "group" if grouped else "channel",
        "group_size": scheme.group_size,
        "dynamic": False,
        "actorder": None,
    }


class Gptq(Packing):
    """GPTQ: every matrix of every layer packed, all of one kind."""

    def _pack(self, weight: "Weight") -> "tuple[Integers, dict[str, Tensor]]":
        return gptq_module(weight)

    def settings(self) -> dict[str, Any]:
        if self.floats and self.schemes:
            raise Unfit(f"every matrix of a layer is packed there, and '{self.floats[0]}' is not")
        return super().settings()

    def _settings(self, schemes: dict[Scheme, list[str]]) -> dict[str, Any]:
        bits, sizes = {s.bits for s in schemes}, {s.group_size for s in schemes}
        if len(bits) > 1 or len(sizes) > 1:
            raise Unfit("all matrices have the same bits and groups there, and its matrices differ")
        return {
            "quant_method": "gptq",
            "bits": bits.pop(),
            "group_size": sizes.pop() or -1,
            "sym": all(scheme.symmetric for scheme in schemes),
            "desc_act": False,
            "checkpoint_format": "gptq",
            "lm_head": False,
            "meta": {"quantizer": [f"quantbench:{__version__}"]},
        }


class InMemory:
    """A ModelSource of the tensors of one module."""

    def __init__(self, module: str, tensors: "dict[str, Tensor]", config: dict[str, Any]) -> None:
        self.name, self.config = "export", config
        self.revision: str | None = None
        self.note: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.folder: Path | None = None
        self.checkpoint_bytes: int | None = None
        self._tensors = {f"{module}.{suffix}": tensor for suffix, tensor in tensors.items()}

    def names(self) -> list[str]:
        return list(self._tensors)

    def tensor(self, name: str) -> "Tensor":
        return self._tensors[name]
