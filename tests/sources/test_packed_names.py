"""A packed checkpoint's names and its head mean what they mean to transformers."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from quantbench.errors import ModelError
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import open_source
from tests.model_folders import tiny_config, tiny_tensors, write_folder

EMBEDDING, HEAD, NORM = "model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"
SETTINGS = {"quant_method": "compressed-tensors", "format": "int-quantized"}
Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def packed() -> dict[str, Tensor]:
    """The projections as int8 with a scale a row."""
    found: dict[str, Tensor] = {}
    for name, tensor in tiny_tensors().items():
        if "_proj.weight" in name:
            scale = tensor.float().abs().amax(1, keepdim=True) / 127
            found[name] = (tensor.float() / scale).round().to(torch.int8)
            found[f"{name}_scale"] = scale
        else:
            found[name] = tensor
    return found


def read(folder: Path, change: Change = dict) -> tuple[Tensor, tuple[str, ...]]:
    """Logits and warnings of the changed checkpoint."""
    write_folder(folder, change(packed()), tiny_config(quantization_config=SETTINGS))
    source = open_source(str(folder))
    loaded = METHODS["stored"].load(source, LoadSettings(engine="native", device="cpu", dtype="float32"))
    return next(iter(loaded.decoder.score([(1, 2, 3, 4)]))), source.warnings


SAME: dict[str, Change] = {
    "names without the prefix": lambda t: {name.removeprefix("model."): v for name, v in t.items()},
    "names with the prefix twice": lambda t: {f"model.{name}": v for name, v in t.items()},
    "tied, the same head stored": lambda t: t | {HEAD: t[EMBEDDING].clone()},
    "tied, only the head stored": lambda t: {HEAD if name == EMBEDDING else name: v for name, v in t.items()},
}


@pytest.mark.parametrize("way", SAME)
def test_other_ways_of_storing_the_same_change_nothing(way: str, tmp_path: Path) -> None:
    expected, _ = read(tmp_path / "a")
    found, warnings = read(tmp_path / "b", SAME[way])
    assert torch.equal(found, expected)
    assert warnings == ()


def test_a_tied_model_with_another_head_uses_the_stored_one_and_says_so(tmp_path: Path) -> None:
    expected, _ = read(tmp_path / "a")
    found, warnings = read(tmp_path / "b", lambda t: t | {HEAD: -t[EMBEDDING]})
    assert torch.allclose(found, -expected, atol=1e-6)
    assert "another head is stored" in warnings[0]


def test_tensors_that_the_model_does_not_have_are_ignored_and_said(tmp_path: Path) -> None:
    expected, _ = read(tmp_path / "a")
    found, warnings = read(tmp_path / "b", lambda t: t | {"model.layers.0.self_attn.k_scale": torch.ones(1)})
    assert torch.equal(found, expected)
    assert warnings[0].startswith("1 stored tensor that a qwen2 model does not have was ignored")


@pytest.mark.parametrize("name", [NORM, EMBEDDING, "model.layers.0.self_attn.q_proj.bias"])
def test_whole_numbers_are_not_taken_for_floats(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"'{name}' .* holds int32, .*get a complete copy"):
        read(tmp_path, lambda t: t | {name: torch.ones_like(t[name], dtype=torch.int32)})


def test_8_bit_floats_that_nothing_scales_are_no_weights(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors = tiny_tensors()
    write_folder(tmp_path, tensors | {name: tensors[name].to(torch.float8_e4m3fn)})
    with pytest.raises(ModelError, match="holds float8_e4m3fn, and no scales"):
        METHODS["fp16"].load(
            open_source(str(tmp_path)), LoadSettings(engine="native", device="cpu", dtype="float32")
        )


def test_a_configuration_that_says_quantized_beside_floats_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path, tiny_tensors(), tiny_config(quantization_config={"quant_method": "gptq"}))
    loaded = METHODS["stored"].load(
        open_source(str(tmp_path)), LoadSettings(engine="native", device="cpu", dtype="float32")
    )
    assert "all of its matrices are plain floats" in loaded.warnings[0]
