"""A folder means here what it means to transformers: the same logits, or a refusal that says why."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from quantbench.engine.load import load_decoder
from quantbench.errors import ModelError
from quantbench.sources import eos_ids, open_source
from quantbench.weights.formats import FloatWeight
from quantbench.weights.readers import Quantizing
from tests.engine.models import prompts, reference_model
from tests.sources.folders import FOLDERS

LONG = pytest.mark.long
VARIANTS = (
    "qwen2",
    "mistral",
    pytest.param("qwen3", marks=LONG),
    pytest.param("llama-biases", marks=LONG),
)
REFUSED = {  # transformers would draw the missing weights at random, or fails as well
    "a foreign prefix": "no tensor 'model.embed_tokens.weight'",
    "no head": "no tensor 'lm_head.weight'",
    "no norm": "no tensor 'model.norm.weight'",
    "no layer matrix": "no tensor 'model.layers.0.mlp.up_proj.weight'",
    "a head of another height": r"'lm_head.weight' of .* has shape \[50, 32\]",
    "tied, a head of another height": r"'lm_head.weight' of .* has shape \[50, 32\]",
}
SPOKEN_OF = {  # what is read otherwise than the configuration says stands in the record
    "tied, another head stored": "another head is stored",
    "tied, one value of the head differs": "another head is stored",
    "tied, another head, names without the prefix": "another head is stored",
    "tensors that are not used": "stored tensors that a .* model does not have were ignored",
    "both names": "stored tensors that a .* model does not have were ignored",
}


@cache
def saved(variant: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and configuration as save_pretrained writes them."""
    model = reference_model(variant, tie_word_embeddings=False)
    config = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]}
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, config


def theirs(folder: Path, text: tuple[int, ...]) -> Tensor:
    """transformers' logits."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits: Tensor = model(torch.tensor([text])).logits[0]
    return logits


def as_float(name: str, tensor: Tensor) -> FloatWeight:
    return FloatWeight(tensor.float())


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_has_transformers_logits_or_is_refused(variant: str, kind: str, tmp_path: Path) -> None:
    FOLDERS[kind](tmp_path, *saved(variant))
    if kind in REFUSED:
        with pytest.raises(ModelError, match=REFUSED[kind]):
            open_source(str(tmp_path))
        return
    source = open_source(str(tmp_path))
    decoder = load_decoder(source, Quantizing(source, as_float), device="cpu", dtype="float32")
    (text,) = prompts((20,))
    (ours,) = decoder.score([text])
    torch.testing.assert_close(ours, theirs(tmp_path, text), rtol=1e-4, atol=1e-4)
    if kind in SPOKEN_OF:
        assert len(source.warnings) == 1
        assert re.search(SPOKEN_OF[kind], source.warnings[0])
    else:
        assert source.warnings == ()


def test_an_adapter_beside_a_model_is_not_passed_over(tmp_path: Path) -> None:
    FOLDERS["plain"](tmp_path, *saved("qwen2"))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        open_source(str(tmp_path))


EOS = {
    "both": ({"eos_token_id": [5, 6]}, {"eos_token_id": 7}),
    "generation alone": ({"eos_token_id": 5}, {}),
    "generation without": ({"bos_token_id": 1}, {"eos_token_id": 7}),
    "generation null": ({"eos_token_id": None}, {"eos_token_id": 7}),
    "config alone": (None, {"eos_token_id": 7}),
    "config with several": (None, {"eos_token_id": [7, 8]}),
    "neither": (None, {}),
}


@pytest.mark.parametrize("kind", EOS)
def test_a_text_ends_where_transformers_ends_it(kind: str, tmp_path: Path) -> None:
    generation, settings = EOS[kind]
    tensors, config = saved("llama")
    left = {key: value for key, value in config.items() if key != "eos_token_id"}
    FOLDERS["plain"](tmp_path, tensors, left | settings)
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    expected = model.generation_config.eos_token_id
    expected = expected if isinstance(expected, list) else [] if expected is None else [expected]
    assert eos_ids(open_source(str(tmp_path))) == frozenset(expected)
