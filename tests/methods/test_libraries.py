"""Methods of other libraries hold what they say, or say what is missing; none is imported unasked."""

import io
import subprocess
import sys

import pytest
import torch
from rich.console import Console

from quantbench.commands.methods import methods
from quantbench.engine.load import load_decoder
from quantbench.measure import audit, measure_size
from quantbench.measure.storage import REST
from quantbench.methods import METHODS, LoadSettings
from quantbench.methods.libraries import LIBRARIES
from quantbench.output import Output
from quantbench.settings import Engine
from quantbench.settings.commands import MethodsSettings
from quantbench.weights.formats import Int8Weight, Weight
from quantbench.weights.quantizers.int8 import quantize_int8
from quantbench.weights.readers import Quantizing
from tests.model_folders import tiny_source

PACKED = ("q", "k", "v", "o", "gate", "up", "down")


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_is_missing_is_said_with_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantbench.methods.libraries.find_spec", lambda package: None)
    package = LIBRARIES[name].package
    assert METHODS[name].unavailable("cpu") == (
        f"it needs the package {package}: pip install 'quantbench[{package}]'"
    )


@pytest.mark.parametrize("name", LIBRARIES)
def test_layers_are_packed_and_all_bytes_are_counted(name: str) -> None:
    if reason := METHODS[name].unavailable("cpu"):
        pytest.skip(reason)
    source = tiny_source(hidden_size=128, intermediate_size=256, num_attention_heads=4, num_key_value_heads=2)
    settings = LoadSettings(device="cpu", dtype="bfloat16", engine=Engine.TRANSFORMERS)
    decoder = METHODS[name].load(source, settings).decoder
    list(decoder.score([(1, 2, 3, 4)]))
    kinds = {kind.module: kind for kind in audit(decoder, source)}
    bits = int(LIBRARIES[name].scheme.removeprefix("W"))
    for module in PACKED:
        kind = kinds[module]
        assert (kind.format, kind.group_size) == (LIBRARIES[name].format, LIBRARIES[name].group_size)
        assert LIBRARIES[name].package in kind.kernel
        assert bits < 8 * kind.nbytes / kind.parameters < bits + 1.5
    assert sum(kind.nbytes for kind in kinds.values()) == measure_size(decoder, source).weight_bytes
    vectors = sum(t.numel() for t in map(source.tensor, source.names()) if t.dim() == 1)
    assert kinds[REST].nbytes == vectors * 2


def test_bitsandbytes_int8_and_torchaos_are_near_our_own_rounding() -> None:
    """Per-channel symmetric rounding is one and the same in all; activations and head differ."""
    source = tiny_source(hidden_size=128, intermediate_size=256, num_attention_heads=4, num_key_value_heads=2)
    names = [name for name in ("bnb-int8", "torchao-int8wo") if METHODS[name].unavailable("cpu") is None]
    if not names:
        pytest.skip("neither library is installed")

    def own(name: str, tensor: torch.Tensor) -> Weight:
        held: Int8Weight = quantize_int8(name, tensor)
        return held

    text = [(1, 2, 3, 4, 5, 6)]
    (ours,) = load_decoder(source, Quantizing(source, own), device="cpu", dtype="float32").score(text)
    for name in names:
        settings = LoadSettings(device="cpu", dtype="float32", engine=Engine.TRANSFORMERS)
        (theirs,) = METHODS[name].load(source, settings).decoder.score(text)
        assert float((ours - theirs).abs().max()) < 0.05 * float(ours.abs().max())


def test_listing_methods_imports_no_library() -> None:
    code = (
        "import sys; from quantbench.methods import METHODS;"
        "[m.unavailable('cpu') for m in METHODS.values()];"
        "asked = {'bitsandbytes', 'torchao', 'gguf', 'hqq', 'torch', 'transformers'};"
        "print(sorted(asked & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_that_installs_a_library_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantbench.methods.libraries.find_spec", lambda package: None)
    text = io.StringIO()
    out = Output(Console(file=text, width=300))
    methods(MethodsSettings(device="cpu"), out, Console(file=io.StringIO()))
    assert "pip install 'quantbench[torchao]'" in text.getvalue()
