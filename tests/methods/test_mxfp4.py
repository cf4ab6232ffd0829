"""Folders whose experts are stored as MXFP4 (gpt-oss): run as they are, and by every method."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Mxfp4Config

from quantbench.errors import ModelError, UsageError
from quantbench.measure.storage import audit
from quantbench.methods import METHODS, LoadSettings
from quantbench.settings import Engine
from quantbench.sources import open_source
from quantbench.support import measurable, support_of

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "sliding_window": 6,
}
IDS = (5, 9, 1, 40, 17, 3, 77, 21, 60, 8)


def write(folder: Path) -> Path:
    """A tiny random gpt-oss as its makers' folders are: experts in blocks of 32 inputs."""
    config = AutoConfig.for_model("gpt_oss", **SHAPE)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "down_proj"))]:
        number, inputs, out = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(256, (number, out, inputs // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.randint(119, 124, (number, out, inputs // 32), dtype=torch.uint8)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    told = json.loads(path.read_text())
    told["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    path.write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "oss")


def load(folder: Path, method: str) -> Any:
    settings = LoadSettings(device="cpu", dtype="float32", engine=Engine.TRANSFORMERS)
    return METHODS[method].load(open_source(str(folder)), settings).decoder


def logits(folder: Path, method: str) -> torch.Tensor:
    (found,) = load(folder, method).score([IDS])
    return found


def test_stored_experts_have_the_values_that_transformers_gives_them(folder: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=Mxfp4Config(dequantize=True)
    )
    ours = load(folder, "stored")._model.model.layers[1].mlp.experts
    for field in ("gate_up_proj", "down_proj"):
        values = getattr(model.model.layers[1].mlp.experts, field)
        assert torch.equal(getattr(ours, field).whole(), values)
        assert torch.equal(getattr(ours, field)[torch.tensor(2)], values[2])
    with torch.no_grad():
        wanted = model(torch.tensor([IDS])).logits[0]
    assert torch.allclose(logits(folder, "stored"), wanted, rtol=1e-5, atol=1e-5)


def test_stored_experts_stay_in_four_bits_with_a_scale_for_32(folder: Path) -> None:
    held = {kind.module: kind for kind in audit(load(folder, "stored"), open_source(str(folder)))}
    for module in ("gate, up of experts", "down of experts"):
        assert (held[module].format, held[module].group_size) == ("mxfp4", 32)
        assert 8 * held[module].nbytes / held[module].parameters == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(("method", "error"), [("fp32", 0), ("int8", 0.01), ("int4", 0.15)])
def test_methods_start_from_the_values_that_are_stored(method: str, error: float, folder: Path) -> None:
    stored, made = (load(folder, name)._model.model.layers[0].mlp.experts for name in ("stored", method))
    for field in ("gate_up_proj", "down_proj"):
        wanted, found = getattr(stored, field).whole(), getattr(made, field)
        values = found.data if isinstance(found, torch.nn.Parameter) else found.whole()
        assert (values - wanted).norm() <= error * wanted.norm()


def test_a_plan_runs_it_as_it_is_stored(folder: Path) -> None:
    support = support_of(open_source(str(folder)), "auto")
    assert (support.engine, support.quantized, support.engine_of("stored")) == (
        "transformers",
        True,
        "transformers",
    )


def test_other_libraries_do_not_quantize_it_again(folder: Path) -> None:
    support = support_of(open_source(str(folder)), "auto")
    with pytest.raises(UsageError, match="'bnb-nf4' cannot run here: its library quantizes what is not"):
        measurable(("bnb-nf4",), support)
    assert measurable(("stored", "int4", "fp16"), support)[0] == ("stored", "int4", "fp16")


def test_our_own_engine_refuses_it_in_one_sentence(folder: Path) -> None:
    with pytest.raises((ModelError, UsageError), match="model_type 'gpt_oss' is not among"):
        support_of(open_source(str(folder)), "native")


def without_scales(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.layers.0.mlp.experts.down_proj_scales"]


def cut_blocks(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.layers.0.mlp.experts.down_proj_blocks"
    tensors[name] = tensors[name][:, 1:].contiguous()


def without_router(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.layers.1.mlp.router.weight"]


@pytest.mark.parametrize("damage", [without_scales, cut_blocks, without_router])
def test_a_damaged_folder_is_one_sentence(
    damage: Callable[[dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    tensors = load_file(write(tmp_path) / "model.safetensors")
    damage(tensors)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="get a complete copy of the model"):
        load(tmp_path, "stored")
