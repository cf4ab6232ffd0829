"""Families from the files that transformers writes: under every kind of weights, and beyond their windows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.decoding import Request
from quantbench.decoding.transformers_loading import load_transformers_decoder
from quantbench.engine.config import read_config
from quantbench.engine.head_rows import rows_in_order
from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.methods import METHODS
from quantbench.methods.method import LoadSettings
from quantbench.sources import open_source
from quantbench.sources.family_table import FAMILIES
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.int8 import quantize_int8
from quantbench.weights.readers import Quantizing
from tests.engine.models import VARIANTS, keep_float, native, prompts, reference_greedy, reference_model
from tests.model_folders import tiny_source

NEW = (
    "gemma2",
    "gemma3",
    "phi3",
    "phi4-mini",
    "olmo2",
    "smollm3",
    "granite",
    "gpt-neox",
    "qwen2-moe",
    "qwen3-moe",
    "mixtral",
)


def wide_model(variant: str) -> Any:
    """Large enough for groups of 64 weights and for the compiled kernels everywhere."""
    changes: dict[str, Any] = {"intermediate_size": 128, "vocab_size": 96}
    if variant != "phi4-mini":
        changes |= {"hidden_size": 128, "head_dim": 32}
    if "moe_intermediate_size" in VARIANTS[variant]:
        changes["moe_intermediate_size"] = 64
    return reference_model(variant, **changes)


@pytest.mark.parametrize("variant", NEW)
def test_a_saved_folder_means_what_it_means_to_transformers(variant: str, tmp_path: Path) -> None:
    model = reference_model(variant)
    model.save_pretrained(tmp_path)
    source = open_source(str(tmp_path))
    assert source.warnings == ()
    (text,) = prompts((12,))
    decoder = load_decoder(source, Quantizing(source, keep_float), device="cpu", dtype="float32")
    (ours,) = decoder.score([text])
    with torch.no_grad():
        theirs = model(torch.tensor([text])).logits[0]
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("variant", NEW)
def test_quantized_weights_shrink_and_stay_near(variant: str, tmp_path: Path) -> None:
    wide_model(variant).save_pretrained(tmp_path)
    source = open_source(str(tmp_path))
    sizes, logits = {}, {}
    (text,) = prompts((24,), vocab=96)
    for name in ("fp16", "int8", "int4"):
        loaded = METHODS[name].load(source, LoadSettings(engine="native", device="cpu", dtype="float32"))
        sizes[name] = sum(tensor.nbytes for _, tensor in loaded.decoder.resident_tensors())
        (logits[name],) = loaded.decoder.score([text])
        assert sizes[name] == pytest.approx(METHODS[name].expected_bytes_of(source.config), rel=0.05)
    assert sizes["int8"] < 0.6 * sizes["fp16"]
    assert sizes["int4"] < 0.7 * sizes["int8"]
    assert (logits["int8"] - logits["fp16"]).norm() < 0.2 * logits["fp16"].norm()


@pytest.mark.parametrize("variant", ["gemma2", "gemma3", "phi3", "qwen2-moe-mixed"])
def test_tokens_far_beyond_the_window_are_those_of_transformers(variant: str) -> None:
    model = reference_model(variant)
    texts = prompts((2, 25), seed=4)
    requests = [Request(prompt_ids=p, max_new_tokens=25) for p in texts]
    found = native(model).generate(requests, batch_size=2)
    assert [g.token_ids for g in found] == [reference_greedy(model, p, 25) for p in texts]


@pytest.mark.parametrize("variant", ["gemma2", "olmo2", "gpt-neox", "qwen2-moe"])
def test_a_row_does_not_depend_on_its_neighbours(variant: str) -> None:
    decoder = native(wide_model(variant), quantize_int8)
    if not decoder.batch_invariant:  # type: ignore[attr-defined]
        pytest.skip("no compiled kernels here")
    texts = prompts((3, 20, 9, 14), vocab=96)
    requests = [Request(prompt_ids=p, max_new_tokens=12) for p in texts]
    alone = [decoder.generate([request], batch_size=1)[0] for request in requests]
    assert decoder.generate(requests, batch_size=4) == alone


@pytest.mark.parametrize("key", ["short_factor", "long_factor"])
def test_longrope_needs_both_kinds_of_factors(key: str) -> None:
    config = reference_model("phi4-mini").config.to_dict()
    assert read_config(config).max_positions == 128
    del config["rope_parameters"][key]
    with pytest.raises(ModelError, match=f"6 positive '{key}'"):
        read_config(config)


@pytest.mark.parametrize("length", [63, 64, 65, 120])
def test_a_prompt_has_the_long_factors_once_it_is_longer_than_the_original_length(length: int) -> None:
    model = reference_model("phi4-mini")
    (text,) = prompts((length,))
    (ours,) = native(model).score([text])
    with torch.no_grad():
        theirs = model(torch.tensor([text])).logits[0]
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_generation_crosses_the_original_length_as_in_transformers() -> None:
    model = reference_model("phi4-mini")
    decoder = native(model)
    for length in (50, 63, 64, 65, 90):
        (text,) = prompts((length,))
        (found,) = decoder.generate([Request(prompt_ids=text, max_new_tokens=30)], batch_size=1)
        with torch.no_grad():
            theirs = model.generate(torch.tensor([text]), max_new_tokens=30, do_sample=False, use_cache=True)
        assert list(found.token_ids) == theirs[0, length:].tolist()


def test_each_text_of_a_batch_has_the_factors_of_its_own_length() -> None:
    decoder = native(wide_model("phi4-mini"))
    texts = prompts((20, 70, 64, 80, 65), vocab=96)
    requests = [Request(prompt_ids=text, max_new_tokens=10) for text in texts]
    alone = [decoder.generate([request], batch_size=1)[0].token_ids for request in requests]
    assert [found.token_ids for found in decoder.generate(requests, batch_size=5)] == alone
    for together, text in zip(decoder.score(texts), texts, strict=True):
        (single,) = decoder.score([text])
        assert torch.allclose(together, single, atol=1e-4)


def test_rows_are_reordered_within_their_own_matrices() -> None:
    first, second = torch.arange(8.0).view(4, 2), torch.arange(8.0, 12.0).view(2, 2)
    weights: list[Weight] = [FloatWeight(first), FloatWeight(second)]
    found = rows_in_order(weights, torch.tensor([2, 3, 0, 1, 5, 4]))
    assert torch.equal(found[0].dequantize(), first[[2, 3, 0, 1]])
    assert torch.equal(found[1].dequantize(), second[[1, 0]])


def test_a_step_reads_the_experts_that_its_rows_choose() -> None:
    model = native(reference_model("mixtral", num_local_experts=8))
    held = sum(tensor.nbytes for name, tensor in model.resident_tensors() if ".experts." in name)
    few, many = (model.step_bytes(rows, 1)[0] - rows * 32 * 4 for rows in (1, 1000))
    assert many - few == pytest.approx(held * 6 / 8, rel=1e-6)


def test_what_is_no_parameter_in_published_files_is_left_out(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    reference_model("gpt-neox").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    prefix = "gpt_neox.layers.0.attention"
    tensors |= {f"{prefix}.bias": torch.ones(1), f"{prefix}.masked_bias": torch.ones(1)}
    save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    del config["rope_parameters"]
    config |= {"rotary_pct": 0.25, "rotary_emb_base": 5000}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = open_source(str(tmp_path))
    rope = read_config(source.config).rope
    assert (source.warnings, rope.turned, rope.theta) == ((), 4, 5000)


@pytest.mark.parametrize("kind", FAMILIES)
def test_random_weights_are_the_same_model_in_both_engines(kind: str) -> None:
    """The configuration also has keys of other families, which must mean nothing here either."""
    few = {"num_experts_per_tok": 2, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
    experts = {"num_experts": 3, **few} if FAMILIES[kind].experts else {}
    if kind == "mixtral":
        experts = {"num_local_experts": 3}
    source = tiny_source(model_type=kind, architectures=None, pad_token_id=0, **experts)
    (text,) = prompts((9,), vocab=64)
    theirs = load_transformers_decoder(source, device="cpu", dtype="float32")
    ours = load_decoder(source, Quantizing(source, keep_float), device="cpu", dtype="float32")
    for found, wanted in zip(ours.score([text]), theirs.score([text]), strict=True):
        assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
