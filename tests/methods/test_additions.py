"""What is added costs few files: a format of weights three, a method of another library two.

Everything of each addition stands in this file; beside it only its line in METHODS is set.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from quantbench.decoding import Request
from quantbench.decoding.module_tensors import ModuleForm
from quantbench.decoding.transformers_loading import Change
from quantbench.engine.cuda.support import unsupported_format
from quantbench.methods import METHODS, Loaded, LoadSettings
from quantbench.methods.quantized import QuantizedMethod
from quantbench.methods.transformers_engine import load_transformers
from quantbench.sources import ModelSource
from quantbench.weights.formats import Weight
from tests.engine.models import ran
from tests.model_folders import tiny_source

REQUEST = Request(prompt_ids=(3, 1, 4, 1, 5), max_new_tokens=6)


@dataclass(frozen=True, slots=True)
class SignWeight(Weight):
    """First file, weights/formats/sign.py: w = sign * scale; sign int8 [out, in], scale float32 [out]."""

    sign: Tensor
    scale: Tensor

    @staticmethod
    def bytes_of(rows: int, columns: int) -> int:
        return rows * columns + 4 * rows

    @property
    def shape(self) -> tuple[int, int]:
        return (self.sign.shape[0], self.sign.shape[1])

    @property
    def scheme(self) -> str:
        return "W1"

    def dequantize(self, rows: Tensor | None = None) -> Tensor:
        sign, scale = (self.sign, self.scale) if rows is None else (self.sign[rows], self.scale[rows])
        return sign.float() * scale[:, None]


def quantize_sign(name: str, weight: Tensor, squares: Tensor | None) -> Weight:
    """Second file, weights/quantizers/sign.py."""
    return SignWeight(weight.sign().to(torch.int8), weight.float().abs().mean(dim=1))


SIGN = QuantizedMethod(  # third file: its entry in methods/quantized.py
    description="signs with a scale per output channel",
    scheme="W1",
    group_size=None,
    quantize=quantize_sign,
    matrix_bytes=SignWeight.bytes_of,
)


@pytest.fixture
def signs(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    monkeypatch.setitem(METHODS, "sign", SIGN)
    return METHODS["sign"].load(tiny_source(), LoadSettings(device="cpu", dtype="float32"))


def test_a_format_of_three_files_generates_and_scores(signs: Loaded) -> None:
    (found,) = signs.decoder.generate([REQUEST], batch_size=1)
    text = REQUEST.prompt_ids + found.token_ids
    (logits,) = signs.decoder.score([text])
    assert logits[len(REQUEST.prompt_ids) - 1 : -1].argmax(-1).tolist() == list(found.token_ids)


def test_its_bytes_and_schemes_are_its_own(signs: Loaded) -> None:
    source = tiny_source()
    vectors = sum(2 * t.numel() for t in map(source.tensor, source.names()) if t.dim() == 1)
    held = sum(tensor.nbytes for _, tensor in signs.decoder.resident_tensors())
    assert held == (SIGN.expected_bytes_of(source.config) or 0) + vectors
    assert {scheme for scheme, _ in signs.decoder.schemes().values()} == {"W1"}


def test_what_no_kernel_takes_runs_in_plain_torch_and_is_named(signs: Loaded) -> None:
    assert ran(signs.decoder, "linear").name.startswith("torch linear, W1 dequantized")
    assert unsupported_format(signs.decoder._parameters) == "weights held as W1 have no GPU kernel"  # type: ignore[attr-defined]


@register_quantization_config("toy")
class ToyConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """The library's own configuration."""

    def __init__(self, **unused: Any) -> None:
        self.quant_method = "toy"


class ToyLinear(nn.Module):
    """The library's own packed matrix."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = linear.weight.abs().amax(dim=1, keepdim=True) / 127
        self.register_buffer("weight", (linear.weight / self.scale).round().to(torch.int8))
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)


@register_quantizer("toy")
class ToyQuantizer(HfQuantizer):  # type: ignore[misc]
    """What the library does when transformers has read the weights."""

    requires_calibration = False

    def _process_model_before_weight_loading(self, model: Any, **unused: Any) -> Any:
        return model

    def _process_model_after_weight_loading(self, model: Any, **unused: Any) -> Any:
        for layer in model.model.layers:
            layer.mlp.down_proj = ToyLinear(layer.mlp.down_proj)
        return model

    @property
    def is_trainable(self) -> bool:
        return False

    def is_serializable(self, *unused: Any, **more: Any) -> bool:
        return False


def form_of(name: str, module: nn.Module) -> ModuleForm:
    weight: Any = module.weight
    scheme = "W8" if isinstance(module, ToyLinear) else "W32"
    return ModuleForm(scheme=scheme, parameters=weight.numel())


@dataclass(frozen=True, slots=True)
class ToyMethod:
    """First file, methods/toy.py; the second is METHODS."""

    description: str = "the toy library's 8 bits"
    scheme: str = "W8"
    group_size: int | None = None

    def unavailable(self, device: str) -> str | None:
        return None

    def unsupported_reason(self, engine: str) -> str | None:
        return None if engine == "transformers" else "the toy library needs --engine transformers"

    def fixes_activations(self, engine: str, device: str) -> bool:
        return False

    def expected_bytes_of(self, config: Mapping[str, Any]) -> int | None:
        return None

    def load(self, source: ModelSource, settings: LoadSettings) -> Loaded:
        return load_transformers(source, settings, Change(quantization=ToyConfig(), form_of=form_of))


def test_a_method_of_another_library_of_two_files_is_loaded_by_transformers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(METHODS, "toy", ToyMethod())
    settings = LoadSettings(device="cpu", dtype="float32", engine="transformers")
    loaded = METHODS["toy"].load(tiny_source(), settings)
    assert len(loaded.decoder.generate([REQUEST], batch_size=1)[0].token_ids) == 6
    held = loaded.decoder.schemes()
    assert {name for name, (scheme, _) in held.items() if scheme == "W8"} == {
        name for name in held if "down_proj" in name
    }
    assert "ToyLinear" in ran(loaded.decoder, "linear").name
    assert transformers.__version__ in ran(loaded.decoder, "engine").name
