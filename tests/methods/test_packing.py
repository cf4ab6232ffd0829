"""int8 and int4 of architectures that our engine does not know: transformers over packed weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from quantbench.decoding import Request
from quantbench.decoding.packed_modules import CONV, PackedMatrix
from quantbench.decoding.packed_stacks import PackedStack, stacks_of
from quantbench.engine.calibration import input_mean_squares
from quantbench.measure import audit, measure_size
from quantbench.methods import METHODS, Loaded, LoadSettings, calibrating
from quantbench.methods.calibrating import OF_MOMENTS, OF_SQUARES, windows
from quantbench.methods.layers import Layers
from quantbench.methods.mixtures import familiar
from quantbench.settings import Engine
from quantbench.sources import ModelSource, open_source
from quantbench.weights.quantizers.int8 import quantize_int8

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
    "gpt_oss": {**GROUPED, "intermediate_size": 64, "head_dim": 16, "num_local_experts": 4},
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
        for name, module in model_of(loaded).named_modules():
            for field, stack in stacks_of(module).items():
                getattr(modules[name], field).copy_(stack.whole())
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


@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
def test_experts_in_one_tensor_are_packed_too(kind: str, folders: Path) -> None:
    source = open_source(str(folder(folders, kind)))
    loaded = load(source, "int8")
    held = {k.module: k for k in audit(loaded.decoder, source)}
    assert (held["gate, up of experts"].format, held["down of experts"].format) == ("W8", "W8")
    assert 8 * held["down of experts"].nbytes / held["down of experts"].parameters < 9
    assert "Experts's own code" in held["down of experts"].kernel


def test_one_expert_of_a_stack_is_its_part_of_the_whole() -> None:
    values = torch.randn(3 * 16, 32, generator=torch.Generator().manual_seed(0))
    stack = PackedStack(quantize_int8("w", values), torch.Size((3, 16, 32)), torch.float32, "")
    whole = stack.whole()
    assert whole.shape == (3, 16, 32)
    for index in (0, 2, -1, torch.tensor(1)):
        assert torch.equal(stack[index], whole[index])
    assert torch.equal(stack[torch.tensor([2, 0])], whole[[2, 0]])
    assert torch.equal(torch.bmm(whole, stack.transpose(1, 2)), torch.bmm(whole, whole.transpose(1, 2)))
    assert torch.equal(torch.add(stack, 1), whole + 1)


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


TEXTS = [
    tuple(torch.randint(3, 128, (24,), generator=torch.Generator().manual_seed(n)).tolist()) for n in range(8)
]


def far(source: ModelSource, method: str) -> float:
    """Mean square of what a method changes of the logits, on the text that GPTQ reads."""
    exact, found = (load(source, name).decoder.score(TEXTS) for name in ("fp32", method))
    return float(sum((a - b).square().mean() for a, b in zip(exact, found, strict=True)))


@pytest.mark.parametrize("kind", ["gpt2", pytest.param("falcon", marks=pytest.mark.long)])
def test_gptq_runs_through_hooks_and_is_closer_on_its_text(
    kind: str, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantbench.methods.calibrating.windows", lambda *_: TEXTS)
    monkeypatch.setattr("quantbench.methods.layers.MOMENT_BYTES", 2 * 4 * 64**2)  # several turns
    source = open_source(str(folder(folders, kind)))
    loaded = load(source, "int4-gptq-head16")
    assert loaded.calibration is not None and loaded.calibration.feedback
    assert far(source, "int4-gptq-head16") < far(source, "int4-head16")


@pytest.mark.long
def test_gptq_by_hooks_is_near_that_of_our_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "OF_MOMENTS", replace(OF_MOMENTS, tokens=512))
    source = open_source("builtin")
    text = [(1, 5, 9, 20, 33, 2, 7)]
    (exact,) = load(source, "fp32").decoder.score(text)
    errors = [
        float(
            (next(iter(load(source, "int4-gptq-head16", engine=engine).decoder.score(text))) - exact).norm()
        )
        for engine in (Engine.TRANSFORMERS, Engine.NATIVE)
    ]
    assert errors[0] == pytest.approx(errors[1], rel=0.5)


def test_the_mixture_of_other_architectures_goes_by_gguf_pys_names(folders: Path) -> None:
    pytest.importorskip("gguf")
    assert familiar("transformer.h.3.mlp.c_proj.weight") == "model.layers.3.mlp.down_proj.weight"
    assert familiar("transformer.h.3.attn.c_attn.weight") == "model.layers.3.self_attn.qkv_proj.weight"
    source = open_source(str(folder(folders, "gpt2")))
    held = {
        kind.module: kind.format for kind in audit(load(source, "q4_k_m").decoder, source) if kind.matrices
    }
    assert set(held.values()) == {"Q5_0", "Q5_1", "Q6_K", "Q8_0"}  # 256 divides one width
