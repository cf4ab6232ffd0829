"""Loading: what does not fit is named, what fits is read once, and packed weights stay packed."""

import pytest
import torch
from torch import Tensor

from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.weights.formats import FloatWeight, Int8Weight, Weight
from tests.engine.models import DictSource, keep_float, prompts, read, reference_model, source_of


def source(variant: str = "qwen2-tied") -> DictSource:
    return source_of(reference_model(variant))


def load(model: DictSource, quantize: object = keep_float) -> object:
    return load_decoder(*read(model, quantize), device="cpu", dtype="float32")  # type: ignore[arg-type]


def to_int8(name: str, tensor: Tensor) -> Weight:
    scale = tensor.abs().amax(dim=1) / 127
    return Int8Weight((tensor / scale[:, None]).round().to(torch.int8), scale)


def test_a_missing_tensor_is_named_with_its_shape() -> None:
    model = source()
    del model.tensors["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(
        ModelError, match=r"lacks the tensor 'model.layers.1.mlp.up_proj.weight' of shape \[48, 32\]"
    ):
        load(model)


def test_a_wrong_shape_is_named_with_both_shapes() -> None:
    model = source()
    model.tensors["model.layers.0.self_attn.k_proj.bias"] = torch.zeros(7)
    with pytest.raises(ModelError, match=r"k_proj.bias' .* has shape \[7\], .* asks for \[16\]"):
        load(model)


def test_a_tensor_that_the_architecture_does_not_have_is_refused() -> None:
    model = source("llama")
    model.tensors["model.layers.0.self_attn.q_norm.weight"] = torch.ones(8)
    with pytest.raises(ModelError, match=r"q_norm\.weight', which a LlamaForCausalLM does not have"):
        load(model)


def test_a_stored_copy_of_a_tied_head_and_old_rotary_buffers_are_ignored() -> None:
    model = source()
    model.tensors["lm_head.weight"] = torch.zeros(97, 32)
    model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.zeros(4)
    load(model)
    assert "lm_head.weight" not in model.reads


def test_an_untied_head_must_be_there() -> None:
    model = source("llama")
    del model.tensors["lm_head.weight"]
    with pytest.raises(ModelError, match=r"lacks the tensor 'lm_head\.weight'"):
        load(model)


def test_every_tensor_is_read_once_and_every_matrix_quantized_once() -> None:
    model = source()
    seen: list[str] = []

    def quantize(name: str, tensor: Tensor) -> Weight:
        seen.append(name)
        return FloatWeight(tensor)

    load(model, quantize)
    assert sorted(model.reads) == sorted(model.tensors)
    assert sorted(seen) == sorted(name for name, tensor in model.tensors.items() if tensor.dim() == 2)


def test_a_quantized_model_equals_the_model_of_its_dequantized_weights() -> None:
    model = source("qwen3")
    held = load(model, to_int8)
    plain = load(model, lambda name, tensor: FloatWeight(to_int8(name, tensor).dequantize()))
    (text,) = prompts((20,))
    (ours,), (theirs,) = held.score([text]), plain.score([text])  # type: ignore[attr-defined]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert {scheme for scheme, _ in held.schemes().values()} == {"W8"}  # type: ignore[attr-defined]


def test_projections_quantized_in_unlike_ways_keep_their_ways() -> None:
    def mixed(name: str, tensor: Tensor) -> Weight:
        return to_int8(name, tensor) if "q_proj" in name else FloatWeight(tensor)

    held = load(source(), mixed).schemes()
    assert {scheme for name, (scheme, _) in held.items() if "q_proj" in name} == {"W8"}
    assert "W8" not in {scheme for name, (scheme, _) in held.items() if "k_proj" in name}
