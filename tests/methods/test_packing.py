"""int8 and int4 of architectures that our engine does not know: transformers over packed weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from quantbench.decoding import Request
from quantbench.decoding.packed_modules import CONV, PackedMatrix
from quantbench.engine.calibration import input_mean_squares
from quantbench.measure import audit, measure_size
from quantbench.methods import METHODS, Loaded, LoadSettings
from quantbench.methods.calibrating import OF_SQUARES, windows
from quantbench.methods.packing import Layers
from quantbench.settings import Engine
from quantbench.sources import ModelSource, open_source

WIDE = {"hidden_size": 64, "num_hidden_layers": 2}
HEADS = {**WIDE, "num_attention_heads": 4}
GROUPED = {**HEADS, "intermediate_size": 128, "num_key_value_heads": 2}
GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4}
MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {**GPT, "n_positions": 64},
    "opt": {**HEADS, "word_embed_proj_dim": 64, "ffn_dim": 128, "max_position_embeddings": 64},
    "bloom": {"hidden_size": 64, "n_layer": 2, "n_head": 4},
    "falcon": HEADS,
    "gpt_neox": {**HEADS, "intermediate_size": 128},
    "mamba": {**WIDE, "state_size": 8},
    "mixtral": {**GROUPED, "num_local_experts": 4},
    "gemma3_text": {**GROUPED, "head_dim": 32},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def folder(folders: Path, kind: str) -> Path:
    """A tiny random model of a family, as transformers saves it."""
    place = folders / kind
    if not place.exists():
        ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = AutoConfig.for_model(kind, vocab_size=128, **MODELS[kind], **ends)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).float()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() >= 2:
                    parameter.normal_(std=0.1)
        model.save_pretrained(place)
    return place


def load(source: ModelSource, method: str, **settings: Any) -> Loaded:
    asked = {"device": "cpu", "dtype": "float32", "engine": Engine.TRANSFORMERS} | settings
    return METHODS[method].load(source, LoadSettings(**asked))


def model_of(loaded: Loaded) -> Any:
    return loaded.decoder._model  # type: ignore[attr-defined]


def packed_layers(model: Any) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if isinstance(module, PackedMatrix)}


@pytest.mark.parametrize("method", ["int8", "int4"])
@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_those_of_the_dequantized_weights(kind: str, method: str, folders: Path) -> None:
    place = folder(folders, kind)
    loaded = load(open_source(str(place)), method)
    reference = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    modules = dict(reference.named_modules())
    with torch.no_grad():
        for name, layer in packed_layers(model_of(loaded)).items():
            values = layer.packed.dequantize()
            modules[name].weight.copy_(values.T if type(modules[name]).__name__ == CONV else values)
        ids = (5, 6, 7, 8, 9, 10, 11)
        expected = reference(torch.tensor([ids]), use_cache=False).logits[0]
    (logits,) = loaded.decoder.score([ids])
    assert float((logits - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    requests = [Request(prompt_ids=ids[:n], max_new_tokens=3) for n in (3, 5)]
    found = loaded.decoder.generate(requests, batch_size=2)
    assert [len(generation.token_ids) for generation in found] == [3, 3]


@pytest.mark.parametrize("kind", MODELS)
def test_every_linear_layer_and_embedding_is_packed_and_all_bytes_are_counted(
    kind: str, folders: Path
) -> None:
    source = open_source(str(folder(folders, kind)))
    loaded = load(source, "int8")
    left = [
        name
        for name, module in model_of(loaded).named_modules()
        if (isinstance(module, torch.nn.Linear | torch.nn.Embedding) or type(module).__name__ == CONV)
        and not isinstance(module, PackedMatrix)
    ]
    assert left == []
    kinds = audit(loaded.decoder, source)
    size = measure_size(loaded.decoder, source)
    assert sum(kind.nbytes for kind in kinds) == size.weight_bytes
    assert size.quantized_parameters == sum(kind.parameters for kind in kinds if kind.format == "W8")


@pytest.mark.parametrize("kind", ["gpt2", "bloom", "gemma3_text"])
def test_a_tied_head_stays_the_embedding(kind: str, folders: Path) -> None:
    source = open_source(str(folder(folders, kind)))
    loaded = load(source, "int4")
    model = model_of(loaded)
    assert model.get_input_embeddings().packed is model.get_output_embeddings().packed
    (row,) = [kind for kind in audit(loaded.decoder, source) if "tied head" in kind.module]
    assert "as the head own C++" in row.kernel or "as the head torch linear" in row.kernel


def test_embedding_and_head_stay_at_16_bits_where_that_is_asked(folders: Path) -> None:
    source = open_source(str(folder(folders, "gpt_neox")))
    kinds = audit(load(source, "int8-head16").decoder, source)
    assert {kind.module for kind in kinds if kind.format == "W16"} == {"embedding", "head"}


def test_what_no_layer_holds_alone_stays_a_float_and_is_told(folders: Path) -> None:
    source = open_source(str(folder(folders, "mamba")))
    loaded = load(source, "int8")
    (told,) = [sentence for sentence in loaded.warnings if "stay" in sentence]
    assert told.startswith("4 tensors stay float32, since no linear layer or embedding holds them")
    kinds = audit(loaded.decoder, source)
    assert {kind.module for kind in kinds if kind.format == "W32"} == {"A_log", "conv1d"}


def test_kernels_say_what_multiplies(folders: Path) -> None:
    source = open_source(str(folder(folders, "falcon")))
    linear = next(k.name for k in load(source, "int8").decoder.kernels() if k.operation == "linear")
    assert linear.startswith(("own C++, W8 read packed", "torch linear, W8 dequantized"))


def test_gguf_blocks_hold_other_architectures_too(folders: Path) -> None:
    pytest.importorskip("gguf")
    source = open_source(str(folder(folders, "gpt2")))
    kinds = audit(load(source, "q8_0").decoder, source)
    assert {kind.format for kind in kinds if kind.matrices} == {"Q8_0"}


def test_calibration_sees_the_inputs_that_our_engine_sees() -> None:
    source = open_source("builtin")
    texts = windows(source, "def add(a, b):\n    return a + b\n" * 8, OF_SQUARES)
    ours = input_mean_squares(source, texts, device="cpu", dtype=torch.float32)
    loaded = load(source, "fp32")
    theirs = Layers(model_of(loaded)).mean_squares(texts)
    assert theirs.keys() == ours.keys()
    for name, values in ours.items():
        assert torch.allclose(theirs[name], values, rtol=1e-3, atol=1e-6), name


def test_calibrated_weights_are_near_those_of_our_engine() -> None:
    source = open_source("builtin")
    packed = load(source, "int4")
    native = load(source, "int4", engine=Engine.NATIVE)
    assert packed.calibration == native.calibration
    text = [(1, 5, 9, 20, 33, 2, 7)]
    (one,), (other,) = packed.decoder.score(text), native.decoder.score(text)
    assert float((one - other).abs().max()) < 0.05 * float(other.abs().max())
