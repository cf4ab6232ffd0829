"""GGUF files of every family mean what the models mean that they were made from."""

from pathlib import Path
from typing import Any

import pytest
import torch

import quantbench
from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.sources import open_source
from quantbench.sources.gguf_config import config_of
from quantbench.sources.gguf_families import GGUF_FAMILIES
from quantbench.sources.gguf_file import read_gguf
from quantbench.weights.formats import FloatWeight
from quantbench.weights.readers import Quantizing, stored_reader
from tests.engine.models import prompts, reference_model

pytest.importorskip("gguf")
from tests.gguf_files import write_gguf
from tests.gguf_models import write_model

OWN_SCALE = {"query_pre_attn_scalar": 16}  # files do not say another one than head_dim
VARIANTS: dict[str, dict[str, Any]] = {
    "llama-biases": {"hidden_act": "silu", "mlp_bias": False},
    "llama-linear": {},
    "qwen2": {},
    "qwen3": {},
    "gemma2": OWN_SCALE,
    "gemma3": OWN_SCALE | {"num_hidden_layers": 7, "layer_types": None},
    "gemma3-linear": OWN_SCALE | {"num_hidden_layers": 7},
    "phi3": {},
    "phi4-mini": {},
    "olmo2": {},
    "smollm3": {"num_hidden_layers": 5, "no_rope_layers": None},
    "granite": {},
    "granite-tied": {},
    "gpt-neox": {},
    "gpt-neox-serial": {"hidden_act": "gelu"},
    "qwen2-moe": {},
    "qwen3-moe": {},
    "mixtral": {},
}


def model_of(variant: str, **changes: Any) -> Any:
    given = {**VARIANTS[variant], **changes}
    return reference_model(variant, **given)


def scored(file: Path, text: tuple[int, ...], *, stored: bool = True) -> torch.Tensor:
    source = open_source(str(file))
    reader = stored_reader(source) if stored else Quantizing(source, lambda _, t: FloatWeight(t.float()))
    decoder = load_decoder(source, reader, device="cpu", dtype="float32", exact_prompts=True)
    return next(iter(decoder.score([text])))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_gives_the_logits_of_its_model(variant: str, tmp_path: Path) -> None:
    model = model_of(variant)
    (text,) = prompts((15,))
    ours = scored(write_model(model, tmp_path / "m.gguf"), text)
    with torch.no_grad():
        theirs = model(torch.tensor([text])).logits[0]
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


@pytest.mark.parametrize("variant", ["gemma2", "phi3", "smollm3", "gpt-neox", "qwen2-moe", "mixtral"])
def test_packed_rows_find_their_places(variant: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4}
    if "moe" in variant:
        sizes |= {"moe_intermediate_size": 32}
    file = write_model(model_of(variant, **sizes), tmp_path / "m.gguf", "Q8_0")
    (text,) = prompts((9,))
    packed, values = scored(file, text), scored(file, text, stored=False)
    assert (packed - values).abs().max() <= 1e-4 * values.abs().max()


def test_every_family_has_a_file_here() -> None:
    named = {model_of(variant).config.model_type for variant in VARIANTS}
    assert named == {family.model_type for family in GGUF_FAMILIES.values()} | {"mixtral"}


@pytest.mark.parametrize(
    ("variant", "key", "value"),
    [
        ("qwen3-moe", "qwen3moe.expert_gating_func", 2),
        ("qwen3-moe", "qwen3moe.expert_weights_scale", 2.5),
        ("gemma3", "gemma3.attention.sliding_window_pattern", 4),
        ("olmo2", "olmo2.attention.sliding_window", 8),
        ("olmo2", "olmo2.rope.dimension_count", 4),
        ("phi3", "phi3.rope.dimension_count", 3),
        ("phi3", "phi3.rope.scaling.type", "longrope"),
        ("qwen2", "qwen2.attention.scale", 0.5),
    ],
)
def test_what_would_change_numbers_is_refused(variant: str, key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"sets '{key}' to"):
        open_source(str(changed(write_model(model_of(variant), tmp_path / "m.gguf"), {key: value})))


def changed(file: Path, metadata: dict[str, Any]) -> Path:
    """A copy with other metadata."""
    header, whole = read_gguf(file), file.read_bytes()
    tensors = {
        name: (t.kind.name, t.shape, whole[t.offset : t.offset + t.size])
        for name, t in header.tensors.items()
    }
    return write_gguf(file.with_name("changed.gguf"), header.metadata | metadata, tensors)


def test_widths_of_experts_that_old_files_do_not_say_are_those_of_the_tensors(tmp_path: Path) -> None:
    file = write_model(model_of("qwen2-moe"), tmp_path / "m.gguf")
    header = read_gguf(file)
    for key in ("expert_feed_forward_length", "expert_shared_feed_forward_length"):
        del header.metadata[f"qwen2moe.{key}"]
    assert config_of(header.metadata, header.tensors, "m") == open_source(str(file)).config


def test_a_file_of_a_family_that_is_not_written_is_not_exported_as_one(tmp_path: Path) -> None:
    file = write_model(model_of("olmo2"), tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="its family is olmo2, and those written are qwen2, qwen3, llama"):
        quantbench.export(
            str(file), method="stored", format="gguf", output_dir=tmp_path / "out", device="cpu"
        )
    assert not (tmp_path / "out").exists()


def test_tensors_with_names_of_their_own_are_not_exported_under_ours(tmp_path: Path) -> None:
    file = write_model(model_of("gpt-neox"), tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="names of its own for tensors, which are not written"):
        quantbench.export(
            str(file),
            method="int8-head16",
            format="compressed-tensors",
            output_dir=tmp_path / "out",
            device="cpu",
        )
